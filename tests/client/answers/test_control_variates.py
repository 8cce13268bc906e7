"""SCAFFOLD on logistic regressions whose sites differ: its limit is the pooled optimum, FedAvg's is not."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scipy.optimize import minimize
from scipy.special import expit
from sites.plans import NETWORK, plan_of
from torch import nn

from client.answers.control_store import ControlStore
from client.answers.trainer import Trainer
from common.errors import CohortError, ExchangeError, ModelError
from common.hiding.next_weights import derive_frozen
from common.hiding.rounds import hiding_of, share_of, to_hidden, validate_nobody
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, decode_request, encode_reply
from common.secagg.codes import SecAggError
from common.secagg.crypto.encoding import encode
from common.secagg.crypto.masks import add_words
from common.stats.contract import join_summaries
from common.training.control_variates import ControlVariates
from common.training.dataset import Samples
from server.exchange import Exchange
from server.training.federated import FederatedTraining
from simulations.backends.local_grid import LocalGrid

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIDE, DECAY, RATE = 2, 0.2, 0.8
EPOCHS, STEPS = 2, 4
SIZES = {"a": 60, "b": 24, "c": 36}


def make_patients(name):
    """Four features and an outcome; each hospital has other patients, and another relation."""
    source = np.random.default_rng(ord(name))
    centre, slope = {"a": (0.3, 2.0), "b": (-0.3, -3.0), "c": (0.0, 0.5)}[name]
    rows = source.normal(centre, 1.0, size=(SIZES[name], SIDE * SIDE)).astype(np.float32)
    chance = expit(slope * (rows[:, 0] - centre) + 0.5 * rows[:, 1])
    return rows, source.random(SIZES[name]) < chance


PATIENTS = {name: make_patients(name) for name in SIZES}


def make_samples(name):
    rows, positive = PATIENTS[name]
    return Samples.of(rows.reshape(-1, 1, SIDE, SIDE), positive)


def a_plan(*, controls, rounds, weights="frozen", schedule=None, secure=False, **federation):
    training = {"optimiser": "sgd", "learning_rate": RATE, "batch_size": 500, "weight_decay": DECAY}
    training |= {"flip": False, "crop_fraction": 0.0, "translation_fraction": 0.0, "precision": "float32"}
    network = NETWORK | {"training": training | ({} if schedule is None else {"schedule": schedule})}
    federation |= {
        "rounds": rounds,
        "local_epochs": EPOCHS,
        "local_steps": STEPS,
        "control_variates": controls,
    }
    privacy = {"secure": secure, "weights": weights}
    sites = dict.fromkeys(SIZES, "train")
    return plan_of(sites, network, federation=federation, privacy=privacy, threads=1)


@dataclass
class Hospital:
    """Answers training questions with a linear network; dies in one round, once its work is done."""

    trainer: Trainer
    dies_in: int = 0

    def __call__(self, message):
        request, name = decode_request(message, KEY.public_key()), self.trainer.place
        reply = Reply(ReplyHeader(site=name))
        if request.header.operation is not Operation.DESCRIBE:
            summary = validate_nobody().under("validation")
            if request.header.operation is Operation.TRAIN:
                summary = join_summaries([summary, self.train(request)])
            reply = Reply(ReplyHeader(site=name), summary)
        if request.header.round == self.dies_in and self.dies_in:
            reply = Reply(ReplyHeader(site=name, code="E_INTERNAL"))
        return encode_reply(reply.name_request(message))

    def train(self, request):
        self.trainer.load(request.weights)
        samples = make_samples(self.trainer.place)
        return self.trainer.train_round(request.weights, samples, request.header.round)


def make_hospital(plan, name, folder, dies_in=0):
    kept = None if folder is None else folder / name
    trainer = Trainer(plan, plan.networks[0], name, torch.device("cpu"), kept=kept)
    trainer.__dict__["network"] = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 1))
    return Hospital(trainer, dies_in)


def train(plan, folder, **dies_in):
    sites = {name: make_hospital(plan, name, folder, dies_in.get(name, 0)) for name in SIZES}
    exchange = Exchange(LocalGrid(sites), plan, KEY)
    exchange.enrol(patience_s=0)
    layout = sites["a"].trainer.layout
    arm = plan.all_arms()[0]
    whose = (plan.networks[0], arm, layout)
    training = FederatedTraining(exchange, *whose, folder / "run", lambda _: None, SIZES)
    return training.run(np.zeros(layout.size, dtype=np.float32)).weights


def move_in_the_clear(_plan, _layout, weights, sums):
    patients = sum(int(one.counts["patients"]) for one in sums)
    return weights + sum(one.updates["delta"] for one in sums) / np.float32(patients)


def move_as_masked(plan, layout, weights, sums):
    """By the words of the ring, which are what is left once the masks have cancelled."""
    hiding, patients = hiding_of(plan, layout), [int(one.counts["patients"]) for one in sums]
    total = {name: np.zeros(vector.words, vector.dtype) for name, vector in hiding.updates.items()}
    for one, weight in zip(sums, patients, strict=True):
        update = to_hidden(plan, layout, one).updates
        for name, vector in hiding.updates.items():
            encoded = encode(vector, update[name], sites=len(sums), alpha=share_of(plan, weight))
            add_words(total[name], encoded.words, vector.ring)
    words = {vector.name: total[name] for name, vector in hiding.updates.items()}
    return derive_frozen((plan, layout, None), words, sum(patients), weights)


def average_rounds(plan, folder, move=move_in_the_clear):
    """The same without messages between: the sites' changes, each with its weight, are added by hand."""
    sites = {name: make_hospital(plan, name, folder).trainer for name in SIZES}
    samples = {name: make_samples(name) for name in SIZES}
    weights = np.zeros(SIDE * SIDE + 1, dtype=np.float32)
    for number in range(1, plan.federation.rounds + 1):
        sums = []
        for name, trainer in sites.items():
            trainer.load(weights)
            sums.append(trainer.train_round(weights, samples[name], number))
        weights = move(plan, sites["a"].layout, weights, sums)
    return weights


def list_weights(weights):
    return {name: 1.0 if weights == "equal" else float(size) for name, size in SIZES.items()}


def find_gradient(name, point):
    """Of a hospital's mean loss with its penalty; the last element is the intercept."""
    rows, positive = PATIENTS[name]
    design = np.hstack([rows, np.ones((len(rows), 1))]).astype(np.float64)
    return design.T @ (expit(design @ point) - positive) / len(rows) + DECAY * point


def algorithm_1(rounds, rates, *, controls, server_rate=1.0):
    """Algorithm 1 of Karimireddy et al. with option II, line by line, in double precision.

    c follows the sites' changes, as there; means are weighted by patients.
    """
    share = list_weights("frozen")
    total = sum(share.values())
    x = c = np.zeros(SIDE * SIDE + 1)
    own = dict.fromkeys(SIZES, c)
    for number in range(rounds):
        of_round = np.repeat(rates[number * EPOCHS : (number + 1) * EPOCHS], STEPS)
        moves, changes = np.zeros_like(x), np.zeros_like(x)
        for name in SIZES:
            y = x
            for rate in of_round:
                y = y - rate * (find_gradient(name, y) - own[name] + c)
            renewed = own[name] - c + (x - y) / of_round.sum() if controls else own[name]
            moves += share[name] * (y - x)
            changes += share[name] * (renewed - own[name])
            own[name] = renewed
        x, c = x + server_rate * moves / total, c + changes / total
    return x


def find_optimum(weights):
    """Of the pooled patients, by another program."""
    share = list_weights(weights)

    def slope(point):
        return sum(share[name] * find_gradient(name, point) for name in SIZES) / sum(share.values())

    def loss(point):
        sums = 0.0
        for name, (rows, positive) in PATIENTS.items():
            score = rows.astype(np.float64) @ point[:-1] + point[-1]
            losses = np.logaddexp(0, score) - positive * score
            sums += share[name] * (losses.mean() + DECAY / 2 * point @ point)
        return sums / sum(share.values())

    found = minimize(loss, np.zeros(SIDE * SIDE + 1), jac=slope, method="BFGS", options={"gtol": 1e-10})
    assert np.abs(slope(found.x)).max() < 1e-7
    return found.x


@pytest.mark.parametrize("weights", ["frozen", "equal"])
def test_it_converges_to_the_pooled_optimum_and_fedavg_does_not(tmp_path, weights):
    optimum = find_optimum(weights)

    ours, drifted = (
        average_rounds(a_plan(controls=controls, rounds=12, weights=weights), tmp_path / str(controls))
        for controls in (True, False)
    )

    np.testing.assert_allclose(ours, optimum, atol=2e-3)
    assert np.abs(drifted - optimum).max() > 0.04


@pytest.mark.parametrize(
    ("controls", "factor", "server_rate"), [(True, 1.0, None), (True, 0.9, 0.7), (False, 0.9, None)]
)
def test_it_is_the_published_algorithm(tmp_path, controls, factor, server_rate):
    rounds = 4
    schedule = None if factor == 1 else {"shape": "exponential", "factor": factor}
    server = {} if server_rate is None else {"server_optimiser": "sgd", "server_learning_rate": server_rate}
    rates = [RATE * factor**epoch for epoch in range(rounds * EPOCHS)]

    weights = train(a_plan(controls=controls, rounds=rounds, schedule=schedule, **server), tmp_path)

    expected = algorithm_1(rounds, rates, controls=controls, server_rate=server_rate or 1.0)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_it_is_the_same_with_masks_but_for_the_rounding_of_the_ring(tmp_path):
    plan = a_plan(controls=True, rounds=4)

    bare, masked = (
        average_rounds(plan, tmp_path / move.__name__, move) for move in (move_in_the_clear, move_as_masked)
    )

    # The ring's steps are 2^-27 of a site of the largest size; those of float32 near 1 are 2^-24
    np.testing.assert_allclose(masked, bare, atol=2e-6)
    assert np.abs(bare).max() > 0.1


def list_correction_sums(folder, plan, rounds, weights):
    """Of the sites' corrections, each with its site's weight: they cancel but for what is rounded."""
    sites = {name: make_hospital(plan, name, folder).trainer for name in SIZES}
    corrections = {
        name: trainer._open_controls("federated")
        .begin(rounds + 1, weights, SIZES[name])
        .correction.astype(np.float64)
        for name, trainer in sites.items()
    }
    return sum(SIZES[name] * corrections[name] for name in SIZES) / sum(SIZES.values())


@pytest.mark.parametrize("secure", [True, False])
def test_what_the_ring_rounds_does_not_gather_from_round_to_round(tmp_path, monkeypatch, secure):
    monkeypatch.setitem(globals(), "RATE", 0.0005)
    rounds = 3
    plan = a_plan(controls=True, rounds=rounds, secure=secure)

    weights = average_rounds(plan, tmp_path, move_as_masked if secure else move_in_the_clear)

    # The sites' mean gradient is .2; what is left are the roundings of float32, by the steps' short way
    assert np.abs(list_correction_sums(tmp_path, plan, rounds, weights)).max() < 2e-6


@pytest.mark.parametrize("dies_in", [1, 3])
def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, dies_in):
    plan = a_plan(controls=True, rounds=3)
    whole = train(plan, tmp_path / "whole")
    with pytest.raises(ExchangeError, match="E_INTERNAL"):
        # The others have answered, and are asked the round again
        train(plan, tmp_path / "broken", b=dies_in)

    assert train(plan, tmp_path / "broken").tobytes() == whole.tobytes()


def begin_third_round(folder):
    trainer = make_hospital(a_plan(controls=True, rounds=4), "a", folder).trainer
    weights = np.zeros(trainer.layout.size, dtype=np.float32)
    return trainer.train_round(weights, make_samples("a"), 3)


def test_a_site_keeps_two_rounds_to_itself_until_the_training_is_over(tmp_path):
    plan = a_plan(controls=True, rounds=4)
    train(plan, tmp_path)
    kept = sorted((tmp_path / "a").iterdir())
    trainer = make_hospital(plan, "a", tmp_path).trainer

    assert [path.name for path in kept] == [
        "federated-control-3.safetensors",
        "federated-control-4.safetensors",
    ]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    trainer.forget_controls("federated-without-b")
    assert all(path.exists() for path in kept)
    trainer.forget_controls("federated")
    assert list((tmp_path / "a").iterdir()) == []


def test_arms_of_hospitals_with_alike_names_keep_their_own(tmp_path):
    without_a, without_another = (
        ControlStore(tmp_path, f"federated-without-{name}", lambda _: 1.0) for name in ("a", "a-control-b")
    )
    weights = np.ones(3, dtype=np.float32)
    for store in (without_another, without_a):
        store.end(1, (weights, 7), ControlVariates.of_first_round(3), weights)

    without_a.drop()

    assert without_another.begin(2, weights, 7).own.tolist() == [-1.0] * 3


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), cut_short, flip_a_bit])
def test_nobody_goes_on_without_the_control_variate_of_the_round_before(tmp_path, harm):
    train(a_plan(controls=True, rounds=2), tmp_path)
    begin_third_round(tmp_path)
    harm(tmp_path / "a" / "federated-control-2.safetensors")

    with pytest.raises(
        SecAggError, match="variate that round 2 left at this site is gone or damaged"
    ) as refusal:
        begin_third_round(tmp_path)
    assert refusal.value.code == "E_STATE_CORRUPT"


def count_more(samples):
    images, labels = (torch.cat([part, part[:1]]) for part in (samples.images, samples.labels))
    return replace(samples, images=images, labels=labels)


@pytest.mark.parametrize("weights", ["frozen", "equal"])
def test_a_site_keeps_its_weight_through_a_training(tmp_path, weights):
    plan = a_plan(controls=True, rounds=4, weights=weights)
    train(plan, tmp_path)
    trainer, samples = make_hospital(plan, "a", tmp_path).trainer, make_samples("a")
    start = np.zeros(trainer.layout.size, dtype=np.float32)

    with pytest.raises(CohortError, match="in round 4 -> .* put table and scans back as they were"):
        trainer.train_nobody(start, 5)
    for changed in (samples, count_more(samples)):
        is_heavier = weights == "frozen" and changed is not samples
        refused = pytest.raises(CohortError, match="train than in round 3") if is_heavier else nullcontext()
        with refused:
            trainer.train_round(start, changed, 4)


def test_a_site_that_adds_nothing_from_the_first_round_goes_on_so(tmp_path):
    plan = a_plan(controls=True, rounds=4)
    trainer = make_hospital(plan, "a", tmp_path).trainer
    start = np.zeros(trainer.layout.size, dtype=np.float32)
    # The first round is asked again once the table has changed
    trainer.train_round(start, make_samples("a"), 1)

    for number in (1, 2, 3):
        assert not trainer.train_nobody(start, number).updates["delta"].any()


def test_a_place_that_keeps_nothing_cannot_train_so():
    with pytest.raises(ModelError, match="a keeps no control variates"):
        begin_third_round(None)
