"""A network that cannot be trained costs itself: why is kept, and the study goes on or ends as it should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.plans import NETWORK, plan_of

from common.errors import ExchangeError
from common.hiding.rounds import validate_nobody
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, decode_request, encode_reply
from common.stats.contract import Summary, join_summaries
from server.exchange import Exchange
from server.phases.fitting import find_missing_scores
from server.phases.preparation import Preparation
from server.phases.scoring import score_by_networks
from server.phases.training import train_models
from server.run import StudyRun
from simulations.backends.local_grid import LocalGrid

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BOTH = [[6, 4], [2, 1], [3, 2]]
NONE_EXPANDS = [[6, 0], [2, 0], [3, 0]]
PLAN = plan_of(
    {"a": "train", "b": "train"},
    NETWORK,
    NETWORK | {"name": "Other"},
    {"kind": "logistic", "name": "Both", "covariates": ["score:Net", "age"]},
    federation={"rounds": 2},
    privacy={"secure": False},
)
CLIP = "E_CLIP at a: training moved weights further than the plan allows"


class Site:
    """A site that changes no weights; it answers some questions with a code."""

    def __init__(self, name, codes=None, step=0.0):
        self.name, self.codes, self.step = name, codes or {}, step
        self.asked = []

    def __call__(self, message):
        request = decode_request(message, KEY.public_key())
        header = request.header
        self.asked.append((str(header.operation), header.model, header.arm, header.round, header.stage))
        code = self.codes.get((str(header.operation), header.model, header.round), "OK")
        reply = ReplyHeader(site=self.name, code=code)
        if code != "OK" or header.operation not in {Operation.TRAIN, Operation.VALIDATE}:
            return encode_reply(Reply(reply).name_request(message))
        summary = validate_nobody().under("validation")
        if header.operation is Operation.TRAIN:
            delta = np.full(request.weights.shape, self.step, dtype=np.float32)
            counts, reals = {"patients": np.array(1)}, {"loss": np.array(0.5)}
            summary = join_summaries([summary, Summary(counts, reals, {"delta": delta})])
        return encode_reply(Reply(reply, summary).name_request(message))


def trained(folder, *sites, plan=PLAN, counted=BOTH):
    """The networks after a training by these sites, and the exchange and the run."""
    exchange = Exchange(LocalGrid({site.name: site for site in sites}), plan, KEY)
    exchange.enrol(patience_s=0)
    run = StudyRun(plan=plan, out=folder, key=KEY)
    of_sites = dict.fromkeys(plan.site_names, BOTH) | {"b": counted}
    preparation = Preparation({}, None, {}, {site: np.array(table) for site, table in of_sites.items()})
    return train_models(exchange, run, Progress(disable=True), preparation), exchange, run


def reasons(networks):
    return {(network.model.name, network.arm.name): network.standing.reason for network in networks}


def test_a_network_that_is_clipped_costs_itself(tmp_path):
    networks, _, run = trained(tmp_path, Site("a", {("train", "Net", 2): "E_CLIP"}), Site("b"))

    assert {key: reason for key, reason in reasons(networks).items() if reason} == {
        ("Net", "federated"): f"not trained: {CLIP}"
    }
    (lost,) = [network for network in networks if not network.standing.ok]
    assert (lost.path, lost.chosen, [line.number for line in lost.curve]) == (None, 0, [1])
    assert find_missing_scores(run.plan, networks)["Both", "federated"].reason == (
        f"it takes the score of Net, which was not trained: {CLIP}"
    )


def test_what_failed_is_not_tried_again(tmp_path):
    before, _, _ = trained(tmp_path, Site("a", {("train", "Net", 2): "E_CLIP"}), Site("b"))
    healthy = Site("a")

    after, _, _ = trained(tmp_path, healthy, Site("b"))

    assert [(n.standing, n.curve) for n in after] == [(n.standing, n.curve) for n in before]
    assert not any(model == "Net" for op, model, arm, *_ in healthy.asked if arm == "federated")


@pytest.mark.parametrize("code", ["E_NONFINITE", "E_NORM", "E_MEMORY", "E_MODEL", "E_SMALL_N"])
def test_a_local_training_that_fails_costs_itself(tmp_path, code):
    networks, _, _ = trained(tmp_path, Site("a", {("train-local", "Other", 0): code}), Site("b"))

    found = {key: reason for key, reason in reasons(networks).items() if reason}
    assert list(found) == [("Other", "local-a")]
    assert found["Other", "local-a"].startswith(f"not trained: {code} at a: ")
    assert "->" not in found["Other", "local-a"]


@pytest.mark.parametrize("code", ["E_PLAN", "E_WEIGHT", "E_INTERNAL", "E_STORAGE", "E_POLICY"])
def test_an_error_of_plan_or_site_ends_the_study_as_before(tmp_path, code):
    with pytest.raises(ExchangeError, match=f"a: train failed with {code}"):
        trained(tmp_path, Site("a", {("train", "Net", 1): code}), Site("b"))
    assert not list(tmp_path.rglob("*.failed.json"))


def test_weights_that_overflow_at_the_coordinator_cost_their_model(tmp_path):
    plan = plan_of({"a": "train", "b": "train"}, NETWORK, federation={"rounds": 3}, privacy={"secure": False})

    networks, _, _ = trained(tmp_path, Site("a", step=1.7e38), Site("b", step=1.7e38), plan=plan)

    assert reasons(networks)["Net", "federated"].startswith("not trained: E_NONFINITE at the coordinator")


def test_without_memory_at_the_coordinator_a_model_costs_itself(tmp_path, monkeypatch):
    def refuse(plan, model, arm, pretrained):
        raise MemoryError

    monkeypatch.setattr("server.phases.training.make_initial_weights", refuse)

    networks, _, _ = trained(tmp_path, Site("a"), Site("b"))

    assert set(reasons(networks).values()) == {
        "not trained: E_MEMORY at the coordinator: its memory does not suffice"
    }


def test_a_site_with_one_outcome_has_no_model_of_its_own_and_trains_with_the_others(tmp_path):
    site = Site("b")

    networks, _, _ = trained(tmp_path, Site("a"), site, counted=NONE_EXPANDS)

    assert {key for key, reason in reasons(networks).items() if reason} == {
        ("Net", "local-b"),
        ("Other", "local-b"),
    }
    assert reasons(networks)["Net", "local-b"] == "not trained: training patients of one class only"
    assert not any(operation == "train-local" for operation, *_ in site.asked)
    assert sum(operation == "train" for operation, *_ in site.asked) == 4


def test_a_network_that_cannot_score_at_one_site_scores_nobody_anywhere(tmp_path):
    first, second = Site("a"), Site("b", {("score", "Net", 2): "E_MEMORY"})
    networks, exchange, run = trained(tmp_path, first, second)
    # The weights that came last are kept, without validation patients
    assert networks[0].chosen == 2

    scored = score_by_networks(exchange, run, networks)

    assert scored[0].standing.reason.startswith("could not score: E_MEMORY at b: ")
    assert scored[0].path is None
    assert scored[3:] == networks[3:]
    for site in (first, second):
        nobody = [(model, arm) for op, model, arm, _, stage in site.asked if stage == "untrained"]
        assert nobody == [("Net", "federated")]
    again, _, _ = trained(tmp_path, Site("a"), Site("b"))
    assert again[0] == scored[0]


def test_a_damaged_or_foreign_memory_is_refused(tmp_path):
    trained(tmp_path, Site("a", {("train", "Net", 1): "E_CLIP"}), Site("b"))
    (kept,) = tmp_path.rglob("*.failed.json")
    text = kept.read_text()

    kept.write_text(text.replace(PLAN.digest(), "0" * 64))
    with pytest.raises(ExchangeError.__base__, match="belongs to another plan"):
        trained(tmp_path, Site("a"), Site("b"))
    kept.write_text(text[:20])
    with pytest.raises(ExchangeError.__base__, match="is damaged"):
        trained(tmp_path, Site("a"), Site("b"))


def test_networks_that_are_there_stay_as_they_are(tmp_path):
    networks, exchange, run = trained(tmp_path, Site("a"), Site("b"))

    assert score_by_networks(exchange, run, networks) == networks
    assert find_missing_scores(run.plan, networks) == {}
    assert replace(networks[0]).standing.ok
