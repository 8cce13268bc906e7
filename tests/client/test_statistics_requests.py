"""What an engine answers a coordinator that asks for statistics out of order, or although it objected."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.tables import Habits, table_only_hospital

from client.engine import open_engine
from common.headers import OK, Operation, RequestHeader
from common.matrix import PARTS, compared_cohorts, scorers_of
from common.protocol import Request, decode_reply, encode_request
from common.study import StudyPlan

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SCORES = ("alpha", "beta")
LOGISTIC = {"kind": "logistic", "name": "L", "covariates": ["age"]}


def a_plan(**changes):
    settings = {
        "name": "Tables",
        "seed": 5,
        "profile": "standard",
        "two_site_ack": True,
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

    def evaluate(self, *parts, paired=False):
        scorers, cohorts = (
            len(scorers_of(self.plan)),
            len(compared_cohorts(self.plan, [True] * len(scorers_of(self.plan)))),
        )
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
        assert large.ask(Operation.SCORE, model="L", arm=arm).header.code == OK

    summary = large.evaluate("test").summary

    scored = {
        scorer.arm.name: int(summary.counts[f"test/{number}/roc/histogram"].sum())
        for number, scorer in enumerate(scorers_of(large.plan))
        if scorer.model.name == "L"
    }
    assert scored == {"federated": 0, "local-a": 49, "local-b": 0}
