"""What a site adds to a training, and refuses to train, by the patients that it has."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.progress import Progress
from sites.patients import a_case
from sites.plans import NETWORK, plan_of

from client.answers.trainer import Trainer
from client.answers.training import SiteTrainings
from client.membership.site import SiteSettings
from common.errors import CohortError, MemoryShortageError, ModelError, NotThePlanError, SmallNumberError
from common.hiding.rounds import weight_of
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader, RequestHeader
from common.messages.protocol import Request
from common.models.weights import flatten
from common.stats.contract import Summary
from common.training.dataset import Samples

CPU = torch.device("cpu")


class Patients:
    """Prepared patients whose images are noise."""

    def __init__(self, training):
        cases = [a_case(f"p{i}", grows=grows, part="train") for i, grows in enumerate(training)]
        self.prepared = SimpleNamespace(cases=tuple(cases))

    def cases_of_part(self, part):
        return tuple(case for case in self.prepared.cases if case.part == part)

    def of(self, model, part):
        cases = self.cases_of_part(part)
        images = np.random.default_rng(3).random((len(cases), 1, 16, 16), dtype=np.float32)
        return Samples.of(images, np.array([case.positive for case in cases]))


def a_plan(*, network=None, federation=None, **changes):
    sites = {"a": "train", "b": "train"}
    federation = {"rounds": 1} | (federation or {})
    return plan_of(sites, NETWORK | (network or {}), federation=federation, **changes)


def a_site(folder, training, **changes):
    settings = SiteSettings(name="a", table="cohort.csv", synthetic=True, device="cpu")
    return SiteTrainings(a_plan(**changes), settings, Patients(training), folder, Progress(disable=True))


def ask(site, operation, weights=None, arm="federated", **fields):
    header = RequestHeader(
        operation=operation, plan_hash=site.plan.digest(), site="a", model="Net", arm=arm, **fields
    )
    return Request(header, weights)


def start(site):
    return site.make_initial_weights(site.plan.networks[0], site.plan.all_arms()[0])


@pytest.mark.parametrize("weights", ["frozen", "equal", "per-round"])
@pytest.mark.parametrize("training", [[], [True]])
def test_a_site_with_too_few_patients_adds_nothing_to_a_round(tmp_path, training, weights):
    site = a_site(tmp_path, training, privacy={"weights": weights})
    begin = start(site)

    summary = site.train(ask(site, Operation.TRAIN, begin, round=1)).summary

    assert int(summary.counts["patients"]) == 0
    assert float(summary.reals["loss"]) == 0
    assert not summary.updates["delta"].any()
    assert int(site.weigh().counts["patients"]) == 0


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("weighting", ["none", "balanced"])
def test_a_site_with_one_outcome_takes_part_in_a_round(tmp_path, grows, weighting):
    site = a_site(
        tmp_path, [grows] * 6, network={"training": {"class_weighting": weighting, "batch_size": 4}}
    )
    begin = start(site)

    summary = site.train(ask(site, Operation.TRAIN, begin, round=1)).summary

    assert int(summary.counts["patients"]) == 6
    assert summary.updates["delta"].any()


@pytest.mark.parametrize("grows", [True, False])
def test_a_site_with_one_outcome_trains_no_network_of_its_own(tmp_path, grows):
    site = a_site(tmp_path, [grows] * 6)

    with pytest.raises(SmallNumberError, match="the training patients of this site have one outcome only"):
        site.train_alone(ask(site, Operation.TRAIN_LOCAL, start(site), arm="local-a"))


def test_a_model_that_does_not_exist_scores_nobody(tmp_path):
    site = a_site(tmp_path, [True, False, False])

    site.score(ask(site, Operation.SCORE, stage="untrained"))
    site.score(ask(site, Operation.SCORE, stage="untrained", arm="local-a"))

    for arm in ("federated", "local-a"):
        assert np.isnan(site._scores.find("Net", arm, site.patients.prepared.cases)).all()


def a_site_with_control_variates(folder, training):
    sgd = {"training": {"optimiser": "sgd", "learning_rate": 0.01, "batch_size": 4}}
    federation = {"rounds": 3, "local_steps": 1, "control_variates": True}
    return a_site(folder, training, network=sgd, federation=federation)


def test_with_control_variates_no_site_falls_silent_in_a_training(tmp_path):
    site = a_site_with_control_variates(tmp_path, [True, False] * 3)
    begin = start(site)
    site.train(ask(site, Operation.TRAIN, begin, round=1))

    with pytest.raises(CohortError, match="more or fewer patients of this site train than in round 1"):
        a_site_with_control_variates(tmp_path, [True]).train(ask(site, Operation.TRAIN, begin, round=2))


def test_a_training_that_failed_leaves_no_control_variate(tmp_path):
    site = a_site_with_control_variates(tmp_path, [True, False] * 3)
    site.train(ask(site, Operation.TRAIN, start(site), round=1))
    assert list(tmp_path.rglob("*-control-1.safetensors"))

    site.score(ask(site, Operation.SCORE, stage="untrained"))

    assert not list(tmp_path.rglob("*-control-*"))


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (MemoryError(), MemoryShortageError),
        (RuntimeError("size mismatch"), ModelError),
        (ValueError("no such family"), ModelError),
    ],
)
def test_a_network_that_cannot_be_built_is_a_matter_of_the_model(monkeypatch, failure, expected):
    def refuse(_spec):
        raise failure

    monkeypatch.setattr("client.answers.trainer.build", refuse)
    plan = a_plan()

    with pytest.raises(expected):
        _ = Trainer(plan, plan.networks[0], "a", CPU).network


def test_full_memory_in_a_round_is_told_as_such(tmp_path, monkeypatch):
    def refuse(*_):
        raise MemoryError

    site = a_site(tmp_path, [True, False, False])
    begin = start(site)
    monkeypatch.setattr(Trainer, "train_round", refuse)

    with pytest.raises(MemoryShortageError):
        site.train(ask(site, Operation.TRAIN, begin, round=1))


def test_the_weight_of_few_patients_is_nothing():
    weights = {"frozen": [0, 0, 2, 7], "per-round": [0, 0, 2, 7], "equal": [0, 0, 1, 1]}
    for kind, expected in weights.items():
        plan = a_plan(privacy={"weights": kind})
        assert [weight_of(plan, patients) for patients in (0, 1, 2, 7)] == expected


IMAGENET = {"family": "resnet18", "initialisation": "imagenet"}


def test_a_model_of_one_site_starts_from_the_plans_first_weights_alone(tmp_path):
    weights = np.zeros(3, dtype=np.float32)
    digest = hashlib.sha256(weights.tobytes()).hexdigest()
    site = a_site(tmp_path, [True, True], network=IMAGENET | {"first_weights": digest})

    with pytest.raises(NotThePlanError, match="not those with which the plan starts"):
        site.train_alone(ask(site, Operation.TRAIN_LOCAL, weights + 1, "local-a"))
    # The right ones are taken; these patients have one outcome
    with pytest.raises(SmallNumberError, match="one outcome only"):
        site.train_alone(ask(site, Operation.TRAIN_LOCAL, weights, "local-a"))


def an_enlarged_site(folder, more, **changes):
    """A site of 30 patients who train and 12 who choose the round, and so many more of each part."""
    site = a_site(folder, [], profile="standard", two_site_ack=True, **changes)
    cases = [
        a_case(f"{part}{number}", grows=number % 2 == 0, part=part)
        for part, patients in (("train", 30), ("validation", 12))
        for number in range(patients + more)
    ]
    site.patients.prepared = SimpleNamespace(cases=tuple(cases))
    return site


def train_quickly(trainer, weights, samples, *_):
    return Summary({"patients": np.array(len(samples))}, {}, {"delta": np.ones_like(weights)})


def sum_round(site):
    weights = start(site)
    summary = site.train(ask(site, Operation.TRAIN, weights, round=1)).summary
    numbers = (summary.counts["patients"], site.weigh().counts["patients"], summary.updates["delta"].any())
    return (*map(int, numbers), int(summary.counts["validation/histogram"].sum()))


@pytest.mark.parametrize(
    ("more", "expected"), [(0, (30, 30, 1, 12)), (1, (0,) * 4), (9, (0,) * 4), (10, (40, 40, 1, 22))]
)
def test_a_study_of_few_more_patients_gets_nothing_of_them(tmp_path, monkeypatch, more, expected):
    """The first weights are the same: the difference of two histograms would be these patients."""
    monkeypatch.setattr(Trainer, "train_round", train_quickly)
    assert sum_round(an_enlarged_site(tmp_path, 0)) == (30, 30, 1, 12)

    for _ in range(2):
        # Nor does it after a restart
        assert sum_round(an_enlarged_site(tmp_path, more, name="another plan")) == expected


@pytest.mark.parametrize(("more", "is_refused"), [(0, False), (1, True), (10, False)])
@pytest.mark.parametrize("model", [NETWORK, {"kind": "logistic", "name": "Net", "covariates": ["age"]}])
def test_a_model_of_few_more_patients_is_not_released(tmp_path, monkeypatch, model, more, is_refused):
    monkeypatch.setattr(SiteTrainings, "_read_stored", lambda *_: SimpleNamespace(chosen=1, weights=None))
    monkeypatch.setattr(SiteTrainings, "_make_release", lambda *_: ReplyHeader(site="a"))
    monkeypatch.setattr("client.answers.training.check_release", lambda *_: None)

    def release(more):
        site = an_enlarged_site(tmp_path, more)
        site.plan = plan_of({"a": "train+", "b": "train"}, model, profile="standard", name=f"plan {more}")
        site.release(ask(site, Operation.RELEASE, arm="local-a"))

    release(0)
    with pytest.raises(SmallNumberError) if is_refused else nullcontext():
        release(more)


@pytest.mark.parametrize(("start", "apart"), [("imagenet", True), ("random", False)])
def test_a_site_draws_otherwise_in_arms_that_begin_alike(monkeypatch, start, apart):
    """Else its updates would cancel in the difference of two arms' sums, and leave another site's."""
    seeds = []
    monkeypatch.setattr("common.plan.models.IMAGENET_FAMILIES", {"resnet10-narrow"})
    monkeypatch.setattr(
        "client.answers.trainer.train",
        lambda *asked: seeds.append(asked[3].seed) or SimpleNamespace(losses=[0.0]),
    )
    arms = {"design": "leave-one-centre-out", "subtraction_ack": True, "shared_start_ack": True}
    network = NETWORK | {"initialisation": start}
    plan = plan_of(dict.fromkeys("abc", "train"), network, federation={"rounds": 1}, arms=arms)
    trainer = Trainer(plan, plan.networks[0], "a", CPU, "secret")
    samples = Samples.of(np.zeros((4, 1, 16, 16), dtype=np.float32), np.array([True, False] * 2))

    for arm in ("federated-without-b", "federated-without-c"):
        trainer.train_round(flatten(trainer.network), samples, 1, arm)

    assert (seeds[0] != seeds[1]) is apart
