"""A site's answers to the questions of statistics, counted by hand from its table."""

from dataclasses import replace

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.patients import cases_with
from sites.plans import LOGISTIC, SCALE, plan_of
from sites.tables import Habits, read_cohort, table_only_hospital

from client.cohort.prepare import prepare_site
from common.errors import ProtocolError, SmallNumberError
from common.messages.headers import Operation, RequestHeader
from common.messages.questions import write_newton
from common.plan.design import design_of
from common.plan.matrix import PARTS, TABLE_PARTS, find_compared_cohorts, scorers_of
from common.plan.variables import DESCRIBED
from common.stats.covariates import stack_models
from common.stats.newton import Query

NORTH, SOUTH = 0, 1
SCORES = (SCALE | {"name": "A", "column": "score_a"}, SCALE | {"name": "B", "column": "score_b"})
COVARIATES = (("age",), ("location", "inr"))


def a_plan(profile="standard", **changes):
    models = (*SCORES, LOGISTIC | {"covariates": ["age", "location", "inr"]})
    settings = {"phases": ["cohort", "training"], "regression": {"candidates": ["age"]}, **changes}
    return plan_of({"north": "train", "south": "train"}, *models, profile=profile, **settings)


def header(operation=Operation.GUARD, **fields):
    return RequestHeader(operation=operation, plan_hash="0" * 64, site="north", **fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    habits = Habits(synthetic=False, split=("train", "validation", "test", "test"), blank=0.15)
    root = tmp_path_factory.mktemp("hospital")
    return table_only_hospital(root / "north", "north", 90, 3, ("score_a", "score_b"), habits=habits)


@pytest.fixture
def analyses(folder, tmp_path, progress):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["cohort"])
    prepared = prepare_site(folder, plan, tmp_path / "cache", progress)
    return lambda plan: analyses_of(plan, "north", prepared.cases, tmp_path)


def counted(folder, columns, parts):
    """Negatives, positives and the others of these parts who have a value in all these columns."""
    rows = [row for row in read_cohort(folder) if row["split"] in parts]
    grows = [float(row["followup_ich_volume_ml"]) - float(row["ich_volume_ml"]) >= 6 for row in rows]
    complete = [all(row[column] for column in columns) for row in rows]
    of_class = [sum(c and g == outcome for c, g in zip(complete, grows, strict=True)) for outcome in (0, 1)]
    return [*of_class, len(rows) - sum(complete)]


def found(summary, row):
    return [*summary.counts["classes"][row].tolist(), int(summary.counts["missing"][row])]


MEMBERS = {
    "train": ("train",),
    "validation": ("validation",),
    "test": ("test",),
    "training": ("train", "validation"),
    "whole": ("train", "validation", "test"),
}


# The guard round


@pytest.mark.parametrize("part", TABLE_PARTS)
def test_who_stands_behind_each_variable_of_table_1(analyses, folder, part):
    summary = analyses(a_plan()).guard(header(stage="cohort"), {}).part(part)

    for row, variable in enumerate(DESCRIBED):
        assert found(summary, row) == counted(folder, [variable.name], MEMBERS[part])
    assert summary.counts["sites"].tolist() == [1] * len(DESCRIBED)
    assert not summary.counts["short"].any()
    assert not summary.counts["close"].any()


@pytest.mark.parametrize("part", PARTS)
def test_who_stands_behind_each_score(analyses, folder, part):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["evaluation"])
    summary = analyses(plan).guard(
        header(stage="evaluation"), {"scored": np.ones(len(scorers_of(plan)), dtype=bool)}
    )
    numbers = counted(folder, ["score_a"], MEMBERS[part])

    assert found(summary.part(part), 0) == found(summary.part(part), 1) == numbers
    # A class of fewer than ten: of two sites this one objects
    assert summary.part(part).counts["short"].tolist() == [int(min(numbers[:2]) < 10)] * 2


def test_who_stands_behind_each_comparison(analyses, folder):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["evaluation"])
    summary = analyses(plan).guard(
        header(stage="evaluation"), {"scored": np.ones(len(scorers_of(plan)), dtype=bool)}
    )

    for index, cohort, _ in find_compared_cohorts(plan, [True] * len(scorers_of(plan))):
        expected = counted(folder, [], MEMBERS[cohort.part]) if "north" in cohort.sites else [0, 0, 0]
        assert found(summary.part(f"paired/{index}"), 0) == expected


def test_who_stands_behind_each_regression(analyses, folder):
    summary = analyses(a_plan()).guard(header(stage="regression", regressions=COVARIATES), {})

    for row, names in enumerate(COVARIATES):
        assert found(summary, row) == counted(folder, names, MEMBERS["training"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stage": "regression"},
        {"stage": "regression", "regressions": ((),)},
        {"stage": "regression", "regressions": (("sah",),)},
    ],
)
def test_a_guard_round_for_nothing_that_the_plan_has_is_refused(analyses, fields):
    with pytest.raises(ProtocolError):
        analyses(a_plan()).guard(header(**fields), {})


def test_one_of_several_sites_does_not_object_alone(analyses, tmp_path):
    """Of three sites none can tell another's numbers: too few of one site may stand in the sum."""
    cases = cases_with(["train"], 3, 2, age=60.0)
    roles = {"north": "train", "south": "train", "west": "train"}
    plans = {
        ack: plan_of(roles, *SCORES, profile="standard", two_site_ack=ack, phases=["cohort"])
        for ack in (0, 1)
    }

    short = [
        analyses_of(plans[ack], "north", cases, tmp_path).guard(header(stage="cohort"), {}).part("whole")
        for ack in (0, 1)
    ]

    age = [variable.name for variable in DESCRIBED].index("age")
    assert [int(one.counts["short"][age]) for one in short] == [0, 1]


# The payload


def asked_of_table(site, part=slice(None), variable=slice(None)):
    asked = np.zeros((2, len(TABLE_PARTS), len(DESCRIBED)), dtype=bool)
    asked[site, part, variable] = True
    return {"asked": asked}


def test_a_variable_that_was_not_asked_for_is_zero(analyses):
    age = [variable.name for variable in DESCRIBED].index("age")
    site = analyses(a_plan())

    summary = site.sum_tables(header(), asked_of_table(NORTH, TABLE_PARTS.index("whole"), age))

    told = {name for name, array in (summary.counts | summary.reals).items() if array.any()}
    assert told
    assert {name.rsplit("/", 1)[0] for name in told} == {"whole/age"}
    nothing = site.sum_tables(header(), asked_of_table(SOUTH))
    assert nothing.counts.keys() == summary.counts.keys()
    assert not any(array.any() for array in (*nothing.counts.values(), *nothing.reals.values()))


def test_only_what_left_is_remembered(analyses, tmp_path):
    site = analyses(a_plan())
    site.sum_tables(header(), asked_of_table(SOUTH))
    assert not (tmp_path / "released.json").exists()

    site.sum_tables(header(), asked_of_table(NORTH, TABLE_PARTS.index("whole")))

    fewer = replace(site, cases=site.cases[1:])
    close = fewer.guard(header(stage="cohort"), {})
    assert close.part("whole").counts["close"].all()
    assert not close.part("test").counts["close"].any()
    assert not site.guard(header(stage="cohort"), {}).part("whole").counts["close"].any()


@pytest.fixture
def small(tmp_path):
    """Nine with expansion train, and nine are tested: enough for no class, and too few for a table."""
    cases = cases_with(["train", "test"], 30, 9, age=60.0, location="deep", inr=1.0)
    scores = {"score_a": 0.4, "score_b": 0.5}
    cases = tuple(replace(case, patient=replace(case.patient, scores=scores)) for case in cases)
    return lambda plan: analyses_of(plan, "north", cases, tmp_path)


def of_scores(plan, part=None, paired=None):
    asked = np.zeros((2, len(PARTS), 2), dtype=bool)
    if part is not None:
        asked[NORTH, PARTS.index(part)] = True
    together = [
        (cohort.sites, cohort.part) == paired
        for _, cohort, _ in find_compared_cohorts(plan, [True] * len(scorers_of(plan)))
    ]
    return {
        "asked": asked,
        "paired": np.array(together),
        "thresholds": np.full(2, 0.5),
        "scored": np.ones(2, dtype=bool),
    }


def test_an_evaluation_below_the_minima_is_refused_though_asked(small):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["evaluation"])
    site = small(plan)

    site.evaluate(header(), of_scores(plan))
    site.evaluate(header(), of_scores(plan, "whole", (("north", "south"), "whole")))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        site.evaluate(header(), of_scores(plan, "test"))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        site.evaluate(header(), of_scores(plan, paired=(("north", "south"), "test")))


def test_table_1_below_the_minima_is_refused_though_asked(tmp_path):
    site = analyses_of(a_plan(), "north", cases_with(["train", "test"], 6, 3, age=60.0), tmp_path)
    whole, test = (asked_of_table(NORTH, TABLE_PARTS.index(part), 1) for part in ("whole", "test"))

    site.sum_tables(header(), whole)
    with pytest.raises(SmallNumberError, match="Table 1, test: asked for with too few patients"):
        site.sum_tables(header(), test)


def newton_of(plan):
    design = design_of(plan)
    problem = stack_models([design.model(("age",))])
    width = problem.free.shape[1]
    return write_newton(problem, Query(np.zeros((1, width)), np.array([True])))


@pytest.mark.parametrize("ack", [True, False])
def test_a_regression_below_the_minima_is_refused_though_asked(small, ack):
    """Three sites need none of it: no site can tell another's numbers."""
    roles = {"north": "train", "south": "train", **({} if ack else {"west": "external"})}
    plan = plan_of(roles, *SCORES, LOGISTIC, profile="standard", two_site_ack=ack)
    site = small(plan)

    for ask in (
        lambda: site.sum_setup(header(regressions=(("age",),)), {}),
        lambda: site.sum_newton(header(), newton_of(plan)),
    ):
        if ack:
            with pytest.raises(SmallNumberError, match="a regression was asked for with too few patients"):
                ask()
        else:
            assert ask().reals
