"""A site's own patients reach the minima where nothing else hides their numbers; the registry knows all."""

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress
from sites.exchange import analyses_of
from sites.patients import a_case
from sites.plans import LOGISTIC, SCALE, plan_of
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort

from common.cards.fourier_machine import NOBODY, Scales, SvmQuery, write_query
from common.errors import SmallNumberError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.protocol import decode_reply
from common.messages.questions import write_path
from common.plan.matrix import Cohort
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.stats.lasso_binomial import PathQuery
from server.exchange import Exchange
from server.phases.cohort import describe_cohorts
from server.phases.evaluation import evaluate_models
from server.phases.preparation import prepare_sites
from server.run import StudyRun
from simulations.backends.in_process import open_engines
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

MACHINE = {"kind": "svm", "name": "Machine", "covariates": ["age"], "fourier_features": 4}
RADIOMICS = LOGISTIC | {"covariates": ["radiomics"]}
AGE = {"candidates": ["age"]}
TWO = {"north": "train", "south": "train"}
THREE = {**TWO, "west": "train"}


def ask(analyses, operation, parameters, **fields):
    header = RequestHeader(operation=operation, plan_hash="0" * 64, site="north", **fields)
    return analyses.answer(header, parameters)


def machine_query(features=2):
    scales = Scales(np.array([0]), np.array([60.0]), np.array([9.0]))
    coefficients = np.zeros((1, 1 + features))
    return write_query(SvmQuery(scales, np.array([0.03]), np.array([NOBODY]), coefficients, 3))


def about_machine(arm="federated"):
    return {"model": "Machine", "arm": arm, "regressions": (("age",),)}


def patients(number, width=0):
    random = np.random.default_rng(3)
    cases = [a_case(f"P{n:03d}", grows=n % 3 == 0, age=60.0 + n % 7) for n in range(number)]
    if not width:
        return cases
    return [replace(case, features=random.normal(size=width)) for case in cases]


@pytest.mark.parametrize("operation", [Operation.RIDGE, Operation.HELD_OUT])
def test_a_machine_is_not_asked_of_six_patients_of_one_of_two_sites(tmp_path, operation):
    plan = plan_of(TWO, MACHINE, profile="standard", regression=AGE)
    enough = analyses_of(plan, "north", patients(60), tmp_path / "enough")
    assert ask(enough, operation, machine_query(), **about_machine()).reals

    few = analyses_of(plan, "north", patients(6), tmp_path / "few")
    with pytest.raises(SmallNumberError, match="too few patients"):
        ask(few, operation, machine_query(), **about_machine())


@pytest.mark.parametrize("operation", [Operation.RIDGE, Operation.HELD_OUT])
def test_a_machine_has_no_more_features_than_half_a_fold(tmp_path, operation):
    changes = {"profile": "standard", "regression": AGE, "privacy": {"largest_site": 60}}
    machine = MACHINE | {"fourier_features": 60}
    # Of 60 patients in three folds 20 here, and at most 20 at each of the two other sites
    one = analyses_of(plan_of(THREE, machine, **changes), "north", patients(60), tmp_path / "limited")
    assert ask(one, operation, machine_query(30), **about_machine()).reals
    with pytest.raises(SmallNumberError, match="31 features"):
        ask(one, operation, machine_query(31), **about_machine())

    accepted = plan_of(THREE, machine | {"wide_gram_accepted": True}, **changes)
    other = analyses_of(accepted, "north", patients(60), tmp_path / "accepted")
    assert ask(other, operation, machine_query(31), **about_machine()).reals


def feature_question(kept, *, path=False):
    every = len(FEATURES)
    asked = {
        "mean": np.zeros(every),
        "sd": np.ones(every),
        "kept": np.ones(every, dtype=bool),
        "folds": np.array([3]),
        "chosen": np.arange(kept),
    }
    if not path:
        return asked
    nothing = PathQuery(np.zeros((4, kept + 1)), np.full((4, 1), -1, dtype=np.int64), np.ones(4, dtype=bool))
    return asked | write_path(nothing)


def radiomics_plan(sites, family, **radiomics):
    settings = {"folds": 3, "family": family, **radiomics}
    return plan_of(sites, RADIOMICS, profile="standard", radiomics=settings, privacy={"largest_site": 90})


OF_FEATURES = {
    Operation.PRESCREEN: ("gaussian", feature_question(2)),
    Operation.GRAM: ("gaussian", feature_question(2)),
    Operation.PATH: ("binomial", feature_question(2, path=True)),
}


@pytest.mark.parametrize("operation", OF_FEATURES)
def test_a_cohort_that_lost_one_patient_gives_no_second_products(tmp_path, operation):
    family, question = OF_FEATURES[operation]
    plan, cases = radiomics_plan(TWO, family), patients(90, len(FEATURES))
    first = analyses_of(plan, "north", cases, tmp_path)
    assert ask(first, operation, question, arm="federated").layout()

    later = analyses_of(plan, "north", cases[1:], tmp_path)
    with pytest.raises(SmallNumberError, match="already released"):
        ask(later, operation, question, arm="federated")


@pytest.mark.parametrize("operation", [Operation.GRAM, Operation.PATH])
def test_a_plan_without_the_waiver_gives_no_wide_products(tmp_path, operation):
    family, path = OF_FEATURES[operation][0], operation is Operation.PATH
    cases = patients(90, len(FEATURES))
    limited = analyses_of(radiomics_plan(THREE, family), "north", cases, tmp_path / "limited")
    # Of 90 patients in three folds 30 here, and at most 30 at each of the two other sites
    assert ask(limited, operation, feature_question(45, path=path), arm="federated").layout()
    for number in (46, len(FEATURES)):
        with pytest.raises(SmallNumberError, match=f"{number} features"):
            ask(limited, operation, feature_question(number, path=path), arm="federated")

    waived = radiomics_plan(THREE, family, wide_gram_accepted=True)
    other = analyses_of(waived, "north", cases, tmp_path / "waived")
    assert ask(other, operation, feature_question(46, path=path), arm="federated").layout()


def test_a_sum_of_one_site_alone_asks_for_the_minima_of_a_site(tmp_path):
    """One training site beside external ones: its regression is its own, and no sum hides 18 patients."""
    roles = {"north": "train", "south": "external", "west": "external"}
    plan = plan_of(roles, LOGISTIC, profile="standard", two_site_ack=False)
    few = analyses_of(plan, "north", patients(18), tmp_path / "few")
    enough = analyses_of(plan, "north", patients(30), tmp_path / "enough")

    short = [
        one.answer(RequestHeader(**guard_fields()), {}).counts["short"].tolist() for one in (few, enough)
    ]

    assert short == [[1], [0]]
    with pytest.raises(SmallNumberError, match="a regression was asked for"):
        ask(few, Operation.SETUP, {}, regressions=(("age",),), arm="local-north")
    assert ask(enough, Operation.SETUP, {}, regressions=(("age",),), arm="local-north").layout()


def guard_fields():
    asked = {"stage": "regression", "regressions": (("age",),), "arm": "local-north"}
    return {"operation": Operation.GUARD, "plan_hash": "0" * 64, "site": "north", **asked}


# What is shown bare beside sums over several hospitals, through the whole way of the messages


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Three hospitals; the first has the score of 3 test patients, and the INR of 15 patients."""
    root = tmp_path_factory.mktemp("hospitals")
    habits = Habits(split=("train", "test"), synthetic=False)
    folders = {
        name: table_only_hospital(root / name, name, 60, seed, ("vendor",), habits=habits)
        for seed, name in enumerate("abc")
    }
    rows = read_cohort(folders["a"])
    scored = [row["patient"] for row in rows if row["split"] == "test"][:3]
    for number, row in enumerate(rows):
        row["inr"] = row["inr"] if number < 15 else ""
        if row["split"] == "test" and row["patient"] not in scored:
            row["vendor"] = ""
    write_cohort(folders["a"], rows)
    return folders


@pytest.fixture(scope="module")
def study(hospitals, tmp_path_factory):
    """Table 1 and the evaluation of an honest study, and what each hospital answered in the clear."""
    out, told = tmp_path_factory.mktemp("study"), {name: [] for name in hospitals}
    plan = StudyPlan.model_validate(
        {
            "name": "Few",
            "seed": 1,
            "sites": [{"name": name, "role": "train"} for name in hospitals],
            "models": [SCALE | {"low": 0, "high": 1}],
            "phases": ["cohort", "evaluation"],
            "cohort": {"validation_fraction": 0.0},
        }
    )
    run = StudyRun(plan=plan, out=out, key=derive_simulated_key(plan), roster=derive_simulated_roster(plan))

    def tap(name, handle):
        def answer(message):
            body = handle(message)
            told[name].append(decode_reply(body).summary)
            return body

        return answer

    engines = open_engines(run, hospitals, Progress(disable=True))
    grid = LocalGrid({name: tap(name, engine.handle) for name, engine in engines.items()})
    line = Exchange(grid, plan, run.key)
    line.hide(run.roster, out / "hiding", {})
    line.enrol(5.0)
    prepare_sites(line)
    return describe_cohorts(line), evaluate_models(line, "Scale"), told


def list_shown(told, start):
    """Whether any number of these cells was shown, answer by answer."""
    cells = [
        [
            array.any()
            for arrays in (summary.counts, summary.reals)
            for name, array in arrays.items()
            if name.startswith(start)
        ]
        for summary in told
    ]
    return [any(cell) for cell in cells if cell]


def test_the_scores_of_a_hospital_of_few_test_patients_are_not_shown_bare(study, hospitals):
    _, evaluated, told = study
    scored = sum(
        row["split"] == "test" and bool(row["vendor"])
        for folder in hospitals.values()
        for row in read_cohort(folder)
    )
    (together,) = [
        judgement for judgement in evaluated.judgements if judgement.cohort == Cohort(("a", "b", "c"), "test")
    ]
    assert together.roc.n_negative + together.roc.n_positive == scored

    shown = list_shown(told["a"], "test/0/")
    assert shown
    assert not any(shown)
    assert any(list_shown(told["b"], "test/0/"))


def test_table_1_shows_of_a_hospital_no_variable_that_few_of_its_patients_have(study):
    _, _, told = study
    assert not any(list_shown(told["a"], "whole/inr/"))
    assert any(list_shown(told["a"], "whole/sbp_mmhg/"))
    assert any(list_shown(told["b"], "whole/inr/"))
