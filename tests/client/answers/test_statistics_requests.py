"""What an engine answers a coordinator that asks for statistics out of order, or although it objected."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.tables import Habits, read_cohort, table_only_hospital, write_cohort

from client.engine import open_engine
from common.messages.headers import CODE_OK, Operation, RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.messages.questions import write_coefficients, write_newton, write_pairs, write_placements
from common.plan.design import design_of
from common.plan.matrix import PARTS, TABLE_PARTS, Cohort, cohorts_of, find_compared_cohorts, scorers_of
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED
from common.stats.covariates import Model, Term, stack_models
from common.stats.delong import Placements
from common.stats.newton import Query
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
        # What a site tells is looked at in the clear; hidden sums have tests of their own.
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

    def compare(self, part, *, centre=False, bins=1000):
        """The two scores of the table and the regression on this site's and the other's patients."""
        scorers = len(scorers_of(self.plan))
        parameters = {
            "asked": np.full((len(self.plan.sites), len(PARTS), scorers), centre),
            "scored": np.ones(scorers, dtype=bool),
            "tau_squared": np.zeros(scorers),
            "thresholds": np.full(scorers, 0.5),
        }
        compared = find_compared_cohorts(self.plan, [True] * scorers)
        for index, _, members in [one for one in compared if one[1] == Cohort(("a", "b"), part)]:
            values = np.full((len(members), bins), 0.5)
            broadcast = Placements(values, values, np.full(len(members), 0.5))
            parameters |= {f"{index}.pairs": write_pairs([(0, 1)]), **write_placements({index: broadcast})}
        return self.ask(Operation.COMPARE, parameters)

    def calibrate(self, *parts, columns=1):
        cohorts = [cohorts_of(self.plan).index(Cohort(("a", "b"), part)) for part in parts]
        of_models = np.zeros((1, columns), dtype=np.int64)
        nothing = np.zeros(len(parts))
        free = np.ones((1, columns + 1), dtype=bool)
        problem = Problem(of_models, free, nothing, nothing + 1, firth=False)
        query = Query(np.zeros((1, columns + 1)), np.ones(1, dtype=bool))
        pairs = write_pairs([(0, cohort) for cohort in cohorts])
        return self.ask(Operation.CALIBRATE, {**write_newton(problem, query), "pairs": pairs})

    def newton(self, *columns):
        problem = stack_models([Model((Term("x", columns),))])
        query = Query(np.zeros((1, len(columns) + 1)), np.ones(1, dtype=bool))
        return self.ask(Operation.NEWTON, write_newton(problem, query))

    def cohort(self, part):
        asked = np.zeros((len(self.plan.sites), len(TABLE_PARTS), len(DESCRIBED)), dtype=bool)
        asked[:, TABLE_PARTS.index(part), [v.name for v in DESCRIBED].index("age")] = True
        return self.ask(Operation.COHORT, {"asked": asked})

    def evaluate(self, *parts, paired=False):
        scorers = len(scorers_of(self.plan))
        cohorts = len(find_compared_cohorts(self.plan, [True] * scorers))
        asked = np.zeros((len(self.plan.sites), len(PARTS), scorers), dtype=bool)
        asked[:, [PARTS.index(part) for part in parts]] = True
        parameters = {
            "asked": asked,
            "paired": np.full(cohorts, paired),
            "thresholds": np.full(scorers, 0.5),
            "scored": np.ones(scorers, dtype=bool),
        }
        return self.ask(Operation.EVALUATE, parameters)


def hospital(root, patients, **habits):
    habits = {"split": ("train", "train", "test"), "synthetic": False} | habits
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
    "evaluate pairs": lambda one: one.evaluate(paired=True),
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


@pytest.mark.parametrize("name", [*ODD, "cohort", "centre"])
def test_a_cohort_too_near_to_one_released_is_not_released_under_any_name(large, tmp_path, name):
    large.score()
    for part in ("training", "test"):
        assert large.cohort(part).header.code == CODE_OK
    rows = read_cohort(large.engine.folder)
    gone = [next(row for row in rows if row["split"] == part) for part in ("train", "test")]
    write_cohort(large.engine.folder, [row for row in rows if row not in gone])
    later = Coordinator(large.engine.folder, tmp_path / "state", a_plan())
    later.score()
    odd = {
        **ODD,
        "cohort": lambda one: one.cohort("test"),
        "centre": lambda one: one.compare(None, centre=True),
    }

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


def test_placements_of_finer_bins_than_the_plan_s_are_refused(large):
    large.score()

    assert large.compare("test", bins=100_000).header.code == "E_CONTEXT"
    assert large.compare("test", bins=0).header.code == "E_CONTEXT"


def test_a_calibration_is_of_one_score_on_one_cohort(large):
    assert large.calibrate("test", "whole", columns=2).header.code == "E_CONTEXT"
