"""A site's answers to the questions of statistics, counted by hand from its table."""

from dataclasses import replace

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.patients import cases_with
from sites.plans import LOGISTIC, SCALE, plan_of
from sites.tables import Habits, read_cohort, table_only_hospital

from client.answers.statistics import ANSWERS, find_half
from client.cohort.prepare import prepare_site
from common.errors import ProtocolError, SmallNumberError
from common.messages.catalogue import QUESTIONS, Operation, find_question
from common.messages.headers import RequestHeader
from common.messages.questions import write_grids, write_newton
from common.plan.comparisons import find_compared_scores
from common.plan.design import design_of
from common.plan.grids import MOST_PIECES
from common.plan.matrix import PARTS, TABLE_PARTS, scorers_of
from common.plan.variables import DESCRIBED
from common.stats.covariates import stack_models
from common.stats.newton import Query
from common.stats.score_grid import ScoreGrid

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


def test_every_question_of_statistics_is_bound_once_and_every_guard_round_to_what_it_precedes():
    statistics = [question for question in QUESTIONS.values() if question.is_statistic]

    assert {question.operation for question in statistics} == {*ANSWERS, Operation.GUARD}
    for question in statistics:
        half = find_half(question)
        assert question.operation is Operation.GUARD or half is ANSWERS[question.operation]
        if question.guard:
            guarded = find_half(find_question(Operation.GUARD, question.guard))
            assert guarded.list_cohorts is half.list_cohorts


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
    summary = analyses(a_plan()).answer(header(stage="cohort"), {}).part(part)

    for row, variable in enumerate(DESCRIBED):
        assert found(summary, row) == counted(folder, [variable.name], MEMBERS[part])
    assert summary.counts["sites"].tolist() == [1] * len(DESCRIBED)
    assert not summary.counts["short"].any()
    assert not summary.counts["close"].any()


def known(plan, reference=0):
    """Which scores exist, and which model is the reference."""
    return {"scored": np.ones(len(scorers_of(plan)), dtype=bool), "reference": np.array([reference])}


@pytest.mark.parametrize("part", PARTS)
def test_who_stands_behind_each_score(analyses, folder, part):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["evaluation"])
    summary = analyses(plan).answer(header(stage="evaluation"), known(plan))
    numbers = counted(folder, ["score_a"], MEMBERS[part])

    assert found(summary.part(part), 0) == found(summary.part(part), 1) == numbers
    # A class of fewer than ten: of two sites this one objects
    assert summary.part(part).counts["short"].tolist() == [int(min(numbers[:2]) < 10)] * 2


@pytest.mark.parametrize("reference", [0, 1, 2])
def test_who_stands_behind_each_comparison(analyses, folder, reference):
    """Of a pair those who have both scores, of a table those who have all; each has blanks of its own."""
    columns = ("dbp_mmhg", "sbp_mmhg", "inr")
    low_high = {"low": 0, "high": 400}
    models = [SCALE | low_high | {"name": column.replace("_", "-"), "column": column} for column in columns]
    plan = plan_of({"north": "train", "south": "train"}, *models, profile="standard", phases=["evaluation"])

    summary = analyses(plan).answer(header(stage="evaluation"), known(plan, reference))

    compared = find_compared_scores(plan, [True] * 3, plan.models[reference].name)
    assert len(compared) == 3 * len({scores.cohort for scores in compared})
    numbers = set()
    for scores in compared:
        names = [columns[number] for number in scores.scorers]
        here = "north" in scores.cohort.sites
        expected = counted(folder, names, MEMBERS[scores.cohort.part]) if here else [0, 0, 0]
        assert found(summary.part(scores.name), 0) == expected
        numbers.add((scores.cohort, tuple(expected)))
    # Each pair has patients of its own.
    both = [of for cohort, of in numbers if (cohort.sites, cohort.part) == (("north", "south"), "test")]
    assert len(both) == 3


@pytest.mark.parametrize("reference", [np.array([2]), np.array([-1]), np.array([0, 1]), np.array([0.0])])
def test_a_guard_round_with_a_reference_that_there_is_not_is_refused(analyses, reference):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["evaluation"])

    with pytest.raises(ProtocolError, match="reference"):
        analyses(plan).answer(header(stage="evaluation"), known(plan) | {"reference": reference})


def test_who_stands_behind_each_regression(analyses, folder):
    summary = analyses(a_plan()).answer(header(stage="regression", regressions=COVARIATES), {})

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
        analyses(a_plan()).answer(header(**fields), {})


def test_one_of_several_sites_does_not_object_alone(analyses, tmp_path):
    """Of three sites none can tell another's numbers: too few of one site may stand in the sum."""
    cases = cases_with(["train"], 3, 2, age=60.0)
    roles = {"north": "train", "south": "train", "west": "train"}
    plans = {
        ack: plan_of(roles, *SCORES, profile="standard", two_site_ack=ack, phases=["cohort"])
        for ack in (0, 1)
    }

    short = [
        analyses_of(plans[ack], "north", cases, tmp_path).answer(header(stage="cohort"), {}).part("whole")
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

    summary = site.answer(header(Operation.COHORT), asked_of_table(NORTH, TABLE_PARTS.index("whole"), age))

    told = {name for name, array in (summary.counts | summary.reals).items() if array.any()}
    assert told
    assert {name.rsplit("/", 1)[0] for name in told} == {"whole/age"}
    nothing = site.answer(header(Operation.COHORT), asked_of_table(SOUTH))
    assert nothing.counts.keys() == summary.counts.keys()
    assert not any(array.any() for array in (*nothing.counts.values(), *nothing.reals.values()))


def test_only_what_left_is_remembered(analyses, tmp_path):
    site = analyses(a_plan())
    site.answer(header(Operation.COHORT), asked_of_table(SOUTH))
    assert not (tmp_path / "released.json").exists()

    site.answer(header(Operation.COHORT), asked_of_table(NORTH, TABLE_PARTS.index("whole")))

    fewer = replace(site, cases=site.cases[1:])
    close = fewer.answer(header(stage="cohort"), {})
    assert close.part("whole").counts["close"].all()
    assert not close.part("training").counts["close"].any()
    # All less those who train and those who are tested would be the one patient
    assert close.part("test").counts["close"].all()
    assert not site.answer(header(stage="cohort"), {}).part("whole").counts["close"].any()


GUARDS = {
    "cohort": {},
    "regression": {"regressions": COVARIATES},
    "evaluation": {},
}


@pytest.mark.parametrize("stage", GUARDS)
@pytest.mark.parametrize("fewer", [1, 9])
def test_a_guard_round_counts_nobody_where_few_have_changed(analyses, stage, fewer):
    """The difference of two guard rounds would be the outcomes of these, and every level that they have."""
    plan = a_plan(phases=["cohort", "regression", "training", "evaluation"])
    site, parameters = analyses(plan), known(plan) if stage == "evaluation" else {}
    for arm in plan.all_arms():
        site.store.keep("Clinical", arm.name, site.cases, np.full(len(site.cases), 0.5))
    first = site.answer(header(stage=stage, **GUARDS[stage]), parameters)
    shown = {name for name, array in first.counts.items() if array.any() and not name.endswith("close")}
    assert shown

    others = replace(site, cases=site.cases[fewer:])
    for arm in plan.all_arms():
        others.store.keep("Clinical", arm.name, others.cases, np.full(len(others.cases), 0.5))
    second = others.answer(header(stage=stage, **GUARDS[stage]), parameters)

    for name in shown:
        prefix = name.rpartition("/")[0]
        close = second.counts[f"{prefix}/close" if prefix else "close"]
        is_same = name in second.counts and np.array_equal(first.counts[name], second.counts[name])
        assert is_same or (close.all() and not second.counts[name].any()), name
    assert any(array.any() for name, array in second.counts.items() if name.endswith("close"))


@pytest.fixture
def small(tmp_path):
    """Nine with expansion train, and nine are tested: enough for no class, and too few for a table."""
    cases = cases_with(["train", "test"], 30, 9, age=60.0, location="deep", inr=1.0)
    scores = {"score_a": 0.4, "score_b": 0.5}
    cases = tuple(replace(case, patient=replace(case.patient, scores=scores)) for case in cases)
    return lambda plan: analyses_of(plan, "north", cases, tmp_path)


GRIDS = write_grids([ScoreGrid.with_fine_ends(50)] * 2)


def of_scores(plan, part=None, paired=None):
    asked = np.zeros((2, len(PARTS), 2), dtype=bool)
    if part is not None:
        asked[NORTH, PARTS.index(part)] = True
    together = [
        (scores.cohort.sites, scores.cohort.part) == paired
        for scores in find_compared_scores(plan, [True] * len(scorers_of(plan)), "A")
    ]
    return {
        **known(plan),
        **GRIDS,
        "asked": asked,
        "recounted": np.array(together),
        "thresholds": np.full(2, 0.5),
    }


def test_an_evaluation_below_the_minima_is_refused_though_asked(small):
    plan = plan_of({"north": "train", "south": "train"}, *SCORES, profile="standard", phases=["evaluation"])
    site = small(plan)

    site.answer(header(Operation.EVALUATE), of_scores(plan))
    site.answer(header(Operation.EVALUATE), of_scores(plan, "whole", (("north", "south"), "whole")))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        site.answer(header(Operation.EVALUATE), of_scores(plan, "test"))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        site.answer(header(Operation.EVALUATE), of_scores(plan, paired=(("north", "south"), "test")))


# The rounds in which the bins of the scores are agreed on


def of_bins(plan, *parts, scorers=(0, 1), grids=None, site=NORTH):
    asked = np.zeros((2, len(PARTS), 2), dtype=bool)
    asked[site, [PARTS.index(part) for part in parts]] = True
    numbers = np.array(scorers, dtype=np.int64)
    grids = [ScoreGrid.even(20)] * len(numbers) if grids is None else grids
    return {"asked": asked, "scorers": numbers, **write_grids(grids)}


def scored_plan(profile="standard", **changes):
    roles = {"north": "train", "south": "train"}
    return plan_of(roles, *SCORES, profile=profile, phases=["evaluation"], **changes)


def test_patients_are_counted_by_bin_of_what_was_asked_alone(analyses, folder):
    site = analyses(scored_plan("simulation"))
    grid = ScoreGrid(np.array([0.2, 0.5, 0.55]))
    rows = [row for row in read_cohort(folder) if row["split"] == "test"]

    summary = site.answer(header(Operation.GRID), of_bins(site.plan, "test", scorers=(1,), grids=[grid]))

    expected = np.zeros((2, 4), dtype=int)
    for row in rows:
        grows = float(row["followup_ich_volume_ml"]) - float(row["ich_volume_ml"]) >= 6
        expected[int(grows), sum(float(row["score_b"]) >= edge for edge in (0.2, 0.5, 0.55))] += 1
    np.testing.assert_array_equal(summary.counts["test/1/histogram"], expected)
    assert (expected > 0).all(axis=0).any()
    assert {name for name, array in summary.counts.items() if array.any()} == {"test/1/histogram"}
    assert {name for _, name, _ in summary.layout()} == {f"{part}/1/histogram" for part in PARTS}


def test_of_another_site_nothing_is_counted_here(analyses):
    site = analyses(scored_plan("simulation"))

    summary = site.answer(header(Operation.GRID), of_bins(site.plan, *PARTS, site=SOUTH))

    assert summary.layout() == site.answer(header(Operation.GRID), of_bins(site.plan, *PARTS)).layout()
    assert not any(array.any() for array in summary.counts.values())


def test_bins_below_the_minima_are_refused_though_asked(small):
    plan = scored_plan()
    site = small(plan)

    site.answer(header(Operation.GRID), of_bins(plan, "whole"))
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        site.answer(header(Operation.GRID), of_bins(plan, "test"))
    # Not even bins of nothing of it
    with pytest.raises(SmallNumberError, match="too few patients at this site"):
        site.answer(header(Operation.GRID), of_bins(plan, "test", scorers=()))


def test_parts_of_which_bins_left_are_remembered(small, tmp_path):
    plan = scored_plan()
    site = small(plan)
    near = replace(site, cases=site.cases[1:])
    site.answer(header(Operation.GRID), of_bins(plan, "whole", site=SOUTH))
    assert not (tmp_path / "released.json").exists()

    site.answer(header(Operation.GRID), of_bins(plan, "whole"))

    close = near.answer(header(stage="evaluation"), known(plan))
    # Tested patients are withheld, too: what remains of all without the others would be the one patient
    assert [bool(close.part(part).counts["close"].any()) for part in PARTS] == [False, False, True, True]
    with pytest.raises(SmallNumberError, match="too few patients more or less"):
        near.answer(header(Operation.GRID), of_bins(plan, "whole"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scorers": np.array([0, 2])}, "scores 0 to 2 of 2 were asked for"),
        ({"scorers": np.array([-1, 1])}, "scores -1 to 1 of 2 were asked for"),
        ({"scorers": np.array([1])}, "'values' is bool of"),
        ({"scorers": np.array([[0, 1]])}, "'scorers' is int64 of shape"),
        ({"scorers": np.array([0.0, 1.0])}, "'scorers' is float64"),
        ({"asked": np.ones((2, len(PARTS), 3), dtype=bool)}, "'asked' is bool of"),
        ({"sizes": np.array([19, 18])}, "38 edges came for the grids of 2 scores"),
        ({"edges": np.tile(np.arange(19, 0, -1) / 20, 2)}, "do not ascend within"),
        ({"edges": np.tile(np.arange(19) / 20, 2)}, "do not ascend within"),
        ({"edges": np.tile(np.arange(2, 21) / 19, 2)}, "do not ascend within"),
        ({"edges": np.full(38, np.nan)}, "do not ascend within"),
    ],
)
def test_a_question_for_bins_that_are_none_is_refused(analyses, tmp_path, changes, said):
    site = analyses(scored_plan("simulation"))

    with pytest.raises(ProtocolError, match=said):
        site.answer(header(Operation.GRID), of_bins(site.plan, "test") | changes)
    assert not (tmp_path / "released.json").exists()


def test_more_bins_than_a_question_may_have_are_refused(analyses):
    site = analyses(scored_plan("simulation"))
    most, more = (
        of_bins(site.plan, "test", scorers=(0,), grids=[ScoreGrid.even(edges + 1)])
        for edges in (MOST_PIECES, MOST_PIECES + 1)
    )

    site.answer(header(Operation.GRID), most)
    with pytest.raises(ProtocolError, match=f"a grid of {MOST_PIECES + 1} edges came"):
        site.answer(header(Operation.GRID), more)


def test_table_1_below_the_minima_is_refused_though_asked(tmp_path):
    site = analyses_of(a_plan(), "north", cases_with(["train", "test"], 6, 3, age=60.0), tmp_path)
    whole, test = (asked_of_table(NORTH, TABLE_PARTS.index(part), 1) for part in ("whole", "test"))

    site.answer(header(Operation.COHORT), whole)
    with pytest.raises(SmallNumberError, match="Table 1, test: asked for with too few patients"):
        site.answer(header(Operation.COHORT), test)


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
        lambda: site.answer(header(Operation.SETUP, regressions=(("age",),)), {}),
        lambda: site.answer(header(Operation.NEWTON), newton_of(plan)),
    ):
        if ack:
            with pytest.raises(SmallNumberError, match="a regression was asked for with too few patients"):
                ask()
        else:
            assert ask().reals
