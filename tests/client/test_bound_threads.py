"""What a site computes takes the plan's threads, wherever it is computed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.tables import table_only_hospital
from threadpoolctl import threadpool_info, threadpool_limits

from client.cohort.prepare import prepare_site
from client.engine import open_engine
from client.predict.predictor import Predictor
from common.cards.card import NetworkContent
from common.errors import PlanError
from common.plan.study import StudyPlan
from common.radiomics.extract import extract

PLAN = StudyPlan.model_validate(
    {
        "name": "Threads",
        "seed": 1,
        "threads": 2,
        "profile": "simulation",
        "sites": [{"name": "a", "role": "train"}],
        "models": [{"kind": "logistic", "name": "L", "covariates": ["age"]}],
        "phases": ["training"],
    }
)


@pytest.fixture
def seen(monkeypatch):
    """Makes a function of the product say how many threads linear algebra has, and stop there."""
    counts: list[set[int]] = []

    def watch(target: str) -> None:
        def look(*_args, **_fields):
            pools = threadpool_info()
            counts.append({pool["num_threads"] for pool in pools if pool["user_api"] == "blas"})
            raise PlanError("far enough")

        monkeypatch.setattr(target, look)

    with threadpool_limits(1):
        yield SimpleNamespace(watch=watch, counts=counts)


def test_a_message_is_answered_with_the_plan_s_threads(seen, tmp_path):
    folder = table_only_hospital(tmp_path / "a", "a", 10)
    key = Ed25519PrivateKey.generate().public_key()
    engine = open_engine(folder, PLAN, key, tmp_path / "state", Progress(disable=True))
    seen.watch("client.engine.decode_request")

    engine.handle(b"")

    assert seen.counts == [{2}]


def test_a_site_is_prepared_with_the_plan_s_threads(seen, tmp_path):
    seen.watch("client.cohort.prepare.inspect_site")

    with pytest.raises(PlanError):
        prepare_site(tmp_path, PLAN, tmp_path, Progress(disable=True))

    assert seen.counts == [{2}]


def test_a_new_patient_is_predicted_with_the_threads_of_the_network_s_card(seen):
    seen.watch("client.predict.predictor.Predictor._complete")
    content = NetworkContent.model_construct(threads=2)
    predictor = object.__new__(Predictor)
    object.__setattr__(predictor, "carded", SimpleNamespace(card=SimpleNamespace(content=content)))

    with pytest.raises(PlanError):
        predictor.predict([SimpleNamespace()])

    assert seen.counts == [{2}]


def test_the_features_of_a_lesion_take_one_thread_whatever_the_plan_says(seen, monkeypatch):
    monkeypatch.setattr("common.radiomics.extract.cut_lesion_volume", lambda *_: None)
    seen.watch("common.radiomics.extract.features_of")

    with threadpool_limits(2), pytest.raises(PlanError):
        extract(None, None)

    assert seen.counts == [{1}]
