"""What an engine answers a coordinator that asks for statistics out of order, or although it objected."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort

from client.engine import open_engine
from common.messages.calibrations import write_calibrations
from common.messages.catalogue import Operation
from common.messages.headers import CODE_OK, RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.messages.questions import (
    write_coefficients,
    write_grids,
    write_newton,
    write_placements,
)
from common.plan.comparisons import find_compared_scores
from common.plan.design import design_of
from common.plan.matrix import PARTS, TABLE_PARTS, Cohort, cohorts_of, scorers_of
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED
from common.stats.covariates import Model, Term, stack_models
from common.stats.delong import Placements
from common.stats.newton import Query
from common.stats.score_grid import ScoreGrid
from common.stats.stack import Problem

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SCORES = ("alpha", "beta")
EVERY = ("age", "sbp_mmhg", "dbp_mmhg", "inr", "onset_to_ct_h", "ich_volume_ml", "ivh_volume_ml", "location")
"""So many covariates that 40 patients are too few."""
LOGISTIC = {"kind": "logistic", "name": "L", "covariates": ["age"]}


def a_plan(**changes):
    settings = {
        "name": "Tables",
        "regression": {"candidates": EVERY},
        "seed": 5,
        "profile": "standard",
        "two_site_ack": True,
        # What a simulated site tells is looked at in the clear; hidden sums have tests of their own.
        "privacy": {"secure": False},
        "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
        "cohort": {"validation_fraction": 0.0},
        "models": [
            *({"kind": "scores", "name": name, "column": name, "probability": True} for name in SCORES),
            LOGISTIC,
        ],
    }
    return StudyPlan.model_validate(settings | changes)


class Coordinator:
    """Asks one engine as a coordinator would, honest or not."""

    def __init__(self, folder, state, plan):
        self.plan = plan
        self.engine = open_engine(folder, plan, KEY.public_key(), state, Progress(disable=True))

    def ask(self, operation, parameters=None, **fields):
        settings = {"operation": operation, "plan_hash": self.plan.digest(), "site": "a"} | fields
        request = Request(RequestHeader.model_validate(settings), None, parameters or {})
        return decode_reply(self.engine.handle(encode_request(request, KEY)))

    def score(self):
        for arm in ("federated", "local-a", "local-b"):
            coefficients = np.zeros(1 + len(design_of(self.plan).columns))
            self.ask(Operation.SCORE, write_coefficients(coefficients), model="L", arm=arm)

    def counting(self, bins=1000, *, recounted=None):
        """How scores are counted: all exist, the first is the reference, each has so many bins."""
        scorers = len(scorers_of(self.plan))
        own = [scores in (recounted or ()) for scores in self.compared()]
        return {
            "scored": np.ones(scorers, dtype=bool),
            "reference": np.array([0]),
            "thresholds": np.full(scorers, 0.5),
            "recounted": np.array(own, dtype=bool),
            **write_grids([ScoreGrid.even(bins)] * scorers),
        }

    def compared(self, part=None):
        """What is compared of this site's and the other's patients of a part, or of all."""
        found = find_compared_scores(self.plan, [True] * len(scorers_of(self.plan)), SCORES[0])
        return [scores for scores in found if part is None or scores.cohort == Cohort(("a", "b"), part)]

    def compare(self, part, *, bins=1000, told=None):
        """The scores of the table and the regression on this site's and the other's patients."""
        asked = self.compared(part)
        values = np.full(told or bins, 0.5)
        names = {
            scores.name_histogram(number, recounted=False) for scores in asked for number in scores.scorers
        }
        parameters = {
            **self.counting(bins),
            "compared": np.array([scores in asked for scores in self.compared()]),
            **write_placements(dict.fromkeys(names, Placements(values, values, 0.5))),
        }
        return self.ask(Operation.COMPARE, parameters)

    def grid(self, *parts, bins=1000):
        """Patients by bin of every score."""
        scorers = len(scorers_of(self.plan))
        parameters = {
            "asked": self.asked(*parts),
            "scorers": np.arange(scorers),
            **write_grids([ScoreGrid.even(bins)] * scorers),
        }
        return self.ask(Operation.GRID, parameters)

    def asked(self, *parts):
        """Every score on these parts."""
        asked = np.zeros((len(self.plan.sites), len(PARTS), len(scorers_of(self.plan))), dtype=bool)
        asked[:, [PARTS.index(part) for part in parts]] = True
        return asked

    def calibrate(self, part, columns=1):
        cohort = cohorts_of(self.plan).index(Cohort(("a", "b"), part))
        of_models = np.zeros((1, columns), dtype=np.int64)
        nothing = np.zeros(columns)
        free = np.ones((1, columns + 1), dtype=bool)
        problem = Problem(of_models, free, nothing, nothing + 1, firth=False)
        query = Query(np.zeros((1, columns + 1)), np.ones(1, dtype=bool))
        scores = tuple(range(columns))
        return self.ask(Operation.CALIBRATE, write_calibrations({cohort: (scores, (problem, query))}))

    def newton(self, *columns):
        problem = stack_models([Model((Term("x", columns),))])
        query = Query(np.zeros((1, len(columns) + 1)), np.ones(1, dtype=bool))
        return self.ask(Operation.NEWTON, write_newton(problem, query))

    def cohort(self, part):
        asked = np.zeros((len(self.plan.sites), len(TABLE_PARTS), len(DESCRIBED)), dtype=bool)
        asked[:, TABLE_PARTS.index(part), [v.name for v in DESCRIBED].index("age")] = True
        return self.ask(Operation.COHORT, {"asked": asked})

    def evaluate(self, *parts, paired=()):
        """Every score on these parts, and again of those who have all that is compared on others."""
        compared = [scores for part in paired for scores in self.compared(part)]
        parameters = {"asked": self.asked(*parts), **self.counting(recounted=compared)}
        return self.ask(Operation.EVALUATE, parameters)


def hospital(root, patients, **habits):
    habits = {"split": ("train", "train", "test")} | habits
    return table_only_hospital(root / "a", "a", patients, 1, SCORES, habits=Habits(**habits))


@pytest.fixture
def large(tmp_path):
    return Coordinator(hospital(tmp_path, 150), tmp_path / "state", a_plan())


@pytest.fixture
def small(tmp_path):
    """20 test patients, 7 of them with expansion; 14 training patients with it."""
    return Coordinator(hospital(tmp_path, 60), tmp_path / "state", a_plan())


def test_a_model_that_could_not_be_fitted_together_is_not_replaced_by_the_site_s_own(large):
    for arm in ("local-a", "federated", "local-b"):
        large.ask(Operation.TRAIN_LOCAL, model="L", arm="local-a")
        assert large.ask(Operation.SCORE, model="L", arm=arm).header.code == CODE_OK

    summary = large.evaluate("test").summary

    scored = {
        scorer.arm.name: int(summary.counts[f"test/{number}/roc/histogram"].sum())
        for number, scorer in enumerate(scorers_of(large.plan))
        if scorer.model.name == "L"
    }
    assert scored == {"federated": 0, "local-a": 49, "local-b": 0}


ODD = {
    "evaluate": lambda one: one.evaluate("test"),
    "evaluate pairs": lambda one: one.evaluate(paired=("test",)),
    "grid": lambda one: one.grid("test"),
    "compare": lambda one: one.compare("test"),
    "calibrate": lambda one: one.calibrate("test"),
    "setup": lambda one: one.ask(Operation.SETUP, regressions=(EVERY,)),
    "newton": lambda one: one.newton(*range(9)),
}


@pytest.mark.parametrize("name", ODD)
def test_what_one_of_two_sites_objected_to_is_refused_when_it_is_asked_all_the_same(small, name):
    small.score()

    reply = ODD[name](small)

    assert reply.header.code == "E_SMALL_N"
    assert not reply.summary.counts
    assert not reply.summary.reals


@pytest.mark.parametrize("name", ODD)
def test_enough_patients_are_not_refused(large, name):
    large.score()

    assert ODD[name](large).header.code == CODE_OK


@pytest.mark.parametrize("name", [*ODD, "cohort"])
def test_a_cohort_too_near_to_one_released_is_not_released_under_any_name(large, tmp_path, name):
    large.score()
    for part in ("training", "test"):
        assert large.cohort(part).header.code == CODE_OK
    rows = read_cohort(large.engine.folder)
    gone = [next(row for row in rows if row["split"] == part) for part in ("train", "test")]
    write_cohort(large.engine.folder, [row for row in rows if row not in gone])
    later = Coordinator(large.engine.folder, tmp_path / "state", a_plan())
    later.score()
    odd = {**ODD, "cohort": lambda one: one.cohort("test")}

    reply = odd[name](later)

    assert reply.header.code == "E_SMALL_N"
    assert not reply.summary.counts
    assert not reply.summary.reals


def test_scores_of_a_table_that_was_corrected_since_are_not_evaluated(large, tmp_path):
    large.score()
    rows = read_cohort(large.engine.folder)
    rows[0]["age"] = int(rows[0]["age"]) + 1
    write_cohort(large.engine.folder, rows)
    later = Coordinator(large.engine.folder, tmp_path / "state", a_plan())

    assert later.evaluate("test").header.code == "E_CONTEXT"
    later.score()
    assert later.evaluate("test").header.code == CODE_OK


def test_parts_of_one_stage_are_not_too_near_to_each_other(tmp_path):
    """The whole less the training patients would be 9 tested ones."""
    folder = hospital(tmp_path, 90, split=("train",) * 9 + ("test",))
    one = Coordinator(folder, tmp_path / "state", a_plan())

    close = one.ask(Operation.GUARD, stage="cohort").summary.counts

    assert [bool(close[f"{part}/close"].any()) for part in ("training", "test", "whole")] == [
        False,
        True,
        True,
    ]
    assert one.cohort("training").header.code == CODE_OK
    assert one.cohort("whole").header.code == "E_SMALL_N"


def test_finer_bins_than_the_plan_allows_are_refused(large):
    large.score()

    assert large.compare("test", bins=4001).header.code == CODE_OK
    assert large.compare("test", bins=4002).header.code == "E_CONTEXT"
    assert large.compare("test", bins=20, told=21).header.code == "E_CONTEXT"
    assert large.grid("test", bins=65_537).header.code == CODE_OK
    assert large.grid("test", bins=65_538).header.code == "E_CONTEXT"


@pytest.mark.parametrize(
    "changes",
    [
        {"edges": np.array([0.5, 0.5, 0.7])},
        {"edges": np.array([0.7, 0.6, 0.5])},
        {"edges": np.array([0.0, 0.5, 0.7])},
        {"edges": np.array([0.5, 0.7, 1.0000001])},
        {"edges": np.array([0.5, np.nan, 0.7])},
        {"sizes": np.array([2])},
        {"sizes": np.array([-3])},
        {"sizes": np.array([3, 0])},
        {"scorers": np.array([99])},
        {"scorers": np.array([-1])},
        {"asked": np.ones((1, 4, 3), dtype=bool)},
    ],
)
def test_a_coordinator_s_grids_that_are_none_are_refused(large, changes):
    large.score()
    question = {
        "asked": large.asked("test"),
        "scorers": np.array([1]),
        **write_grids([ScoreGrid(np.array([0.5, 0.6, 0.7]))]),
    }

    reply = large.ask(Operation.GRID, question | changes)

    assert reply.header.code == "E_CONTEXT"
    assert not reply.summary.counts
    assert large.ask(Operation.GRID, question).header.code == CODE_OK


def test_bins_are_not_counted_before_a_model_has_scored(large):
    assert large.grid("test").header.code == "E_CONTEXT"


def test_what_was_asked_by_bins_alone_is_remembered(large, tmp_path):
    """No table and no evaluation was asked for: the bins of the scores are a release of the same patients."""
    large.score()
    assert large.grid("test").header.code == CODE_OK
    rows = read_cohort(large.engine.folder)
    gone = next(row for row in rows if row["split"] == "test")
    write_cohort(large.engine.folder, [row for row in rows if row is not gone])
    later = Coordinator(large.engine.folder, tmp_path / "state", a_plan())
    later.score()

    assert later.evaluate("test").header.code == later.grid("test").header.code == "E_SMALL_N"
    assert later.evaluate("train").header.code == CODE_OK


def test_a_calibration_is_of_one_score_on_one_cohort(large):
    assert large.calibrate("test", columns=2).header.code == "E_CONTEXT"
