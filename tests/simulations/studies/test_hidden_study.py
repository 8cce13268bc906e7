"""A whole study whose sums are hidden: the same numbers, and nothing of one hospital for the coordinator."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from rich.progress import Progress
from scipy.stats import chisquare
from sites.handmade import make_site
from sites.tables import Habits, table_only_hospital
from sites.wires import NETWORK, Wire, final

from client.membership.party import HidingParty
from common.errors import ExchangeError
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.models.checkpoint import load
from common.models.layout import TRAINED
from common.plan.study import StudyPlan
from common.secagg.site.endpoint import approve_waiver
from common.secagg.site.files import SiteFiles
from common.secagg.wire.frames import MessageKind, unpack
from common.secagg.wire.roster import Pin, Waiver, sign_waiver
from server.results.file import load_results
from server.training.federated import FederatedTraining
from simulations.backends.in_process import open_engines
from simulations.backends.parties import derive_simulated_key

ROLES = {"a": "train", "b": "train", "c": "external"}
TABLE = {
    "name": "Hidden sums",
    "seed": 4,
    "profile": "simulation",
    "sites": [{"name": name, "role": role} for name, role in ROLES.items()],
    "models": [
        {"kind": "scores", "name": "S", "column": "alpha", "probability": True},
        {"kind": "scores", "name": "T", "column": "beta", "probability": True},
        {"kind": "logistic", "name": "L", "covariates": ["age", "ich_volume_ml"]},
    ],
    "regression": {"candidates": ["age", "sbp_mmhg", "ivh"]},
    "phases": ["cohort", "regression", "training", "evaluation"],
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    return {
        name: table_only_hospital(
            root / name, name, 60, seed, ("alpha", "beta"), habits=Habits(split=("train", "test"))
        )
        for seed, name in enumerate(ROLES)
    }


@pytest.fixture(scope="module")
def hidden(tables, tmp_path_factory):
    wire = Wire(StudyPlan.model_validate(TABLE), tables, tmp_path_factory.mktemp("hidden"))
    return wire, wire.study()


def numbers(value, path=""):
    if isinstance(value, dict):
        for key, one in value.items():
            yield from numbers(one, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for key, one in enumerate(value):
            yield from numbers(one, f"{path}/{key}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


@pytest.mark.usefixtures("no_page")
def test_results_are_those_of_sums_in_the_clear(hidden, tables, tmp_path):
    bare = Wire(StudyPlan.model_validate(TABLE | {"privacy": {"secure": False}}), tables, tmp_path)

    shown, plain = (
        result.model_dump(mode="json", exclude={"provenance", "study"})
        for result in (hidden[1], bare.study())
    )

    one, other = dict(numbers(shown)), dict(numbers(plain))
    assert one.keys() == other.keys()
    assert len(one) > 500
    assert one == pytest.approx(other, rel=1e-9, abs=1e-11)
    assert bare.run.plan.hides_sums is False


def test_in_the_clear_comes_nothing_but_what_one_hospital_holds_alone(hidden):
    wire, results = hidden
    everything = wire.run.plan.site_names
    bare = {reply.header.site: reply for _, kind, reply in wire.answers if kind is None}
    assert set(bare) == set(everything)
    for name, kind, reply in wire.answers:
        told = [path for _, path, _ in reply.summary.layout()]
        if kind is not MessageKind.ITERATE:
            assert kind is None or not told
            assert all(path.startswith(("flow/", "parts/")) for path in told)
            continue
        # Of its own patients alone: no training patients of an external hospital
        starts = {path.split("/")[0] for path in told}
        assert starts <= {"train", "validation", "test", "whole", "paired"}
        assert "train" not in starts or ROLES[name] == "train"
    assert results.study.hiding.minimum == 2
    assert {site.policy.answers_per_day for site in results.provenance.sites} == {50_000}


def test_what_is_masked_is_uniform_and_repeats_in_no_answer(hidden):
    wire, _ = hidden
    payloads = [
        np.frombuffer(bytes(unpack(reply.sealed.tobytes()).payload), dtype=np.uint8)
        for _, kind, reply in wire.answers
        if kind is MessageKind.ITERATE and prod(reply.header.layout[0][2]) and reply.sealed.size > 60_000
    ]
    assert len(payloads) >= 3
    for payload in payloads:
        counts = np.bincount(payload[len(payload) // 2 :], minlength=256)
        assert chisquare(counts).pvalue > 1e-6
    assert len({payload.tobytes() for payload in payloads}) == len(payloads)


def test_every_masked_answer_stands_in_the_ledger_with_whom_it_is_summed(hidden):
    wire, _ = hidden
    for name in ROLES:
        text = (wire.run.out / "sites" / name / "ledger" / "ledger.jsonl").read_text()
        lines = [json.loads(line)["departure"] for line in text.splitlines()]
        masked = [line for line in lines if line["hidden"] and line["what"] == "statistics"]
        assert {"cohort", "evaluate", "guard cohort"} <= {line["phase"] for line in masked}
        assert {tuple(line["summed_with"]) for line in masked} >= {tuple(s for s in ROLES if s != name)}
        assert all(line["numbers"] for line in masked)
        bare = [line for line in lines if not line["hidden"] and line["numbers"]]
        assert {"prepare", "cohort"} <= {line["phase"] for line in bare}


@pytest.mark.usefixtures("no_page")
def test_a_resumed_study_is_answered_from_the_disk(hidden, tables):
    wire, results = hidden
    again = Wire(wire.run.plan, tables, wire.run.out)
    again.lost = lambda _site, kind, _training: kind in {MessageKind.ITERATE, MessageKind.ROUND_REQUEST}

    found = again.study()

    assert found.model_dump(exclude={"provenance"}) == results.model_dump(exclude={"provenance"})


def test_an_engine_tells_in_the_clear_no_sum_that_the_plan_hides(hidden, tables):
    wire, _ = hidden
    engine = open_engines(wire.run, tables, Progress(disable=True))["a"]
    plan = wire.run.plan

    def code(operation, **fields):
        header = RequestHeader(operation=operation, plan_hash=plan.digest(), site="a", **fields)
        return decode_reply(engine.handle(encode_request(Request(header), wire.run.key))).header.code

    for operation in (Operation.COHORT, Operation.NEWTON, Operation.EVALUATE, Operation.WEIGHT):
        assert code(operation) == "E_POLICY"
    assert code(Operation.GUARD, stage="cohort") == "E_POLICY"
    assert code(Operation.PREPARE) == "OK"


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    return {name: make_site(root / name, name, 12, seed=seed) for seed, name in enumerate("abc")}


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path_factory.mktemp("trained"))
    return wire, wire.study()


@pytest.mark.usefixtures("no_page")
def test_a_hidden_round_averages_as_one_in_the_clear(trained, scans, tmp_path, monkeypatch):
    """With the same seeds: a site's own secret would make another training, not another average."""
    monkeypatch.setattr(HidingParty, "training_secret", "")
    one = NETWORK | {"federation": {"rounds": 1}}
    hidden = Wire(StudyPlan.model_validate(one), scans, tmp_path / "hidden")
    bare = Wire(StudyPlan.model_validate(one | {"privacy": {"secure": False}}), scans, tmp_path / "bare")
    hidden.study()
    bare.study()

    ours, theirs, other = (final(wire.run.out) for wire in (hidden, bare, trained[0]))

    layout = load(hidden.run.out / "models" / "net" / "federated.safetensors").layout
    weights, buffers = layout.mask(TRAINED), layout.mask({"batchnorm-buffer"})
    assert np.abs((theirs - other)[weights]).max() > 1e-3
    # Half a unit of the scale a site: 1.5 / (2^27 * 24 / 1000), and of the buffers' wider bound.
    np.testing.assert_allclose(ours[weights], theirs[weights], atol=2e-6)
    np.testing.assert_allclose(ours[buffers], theirs[buffers], atol=1e-4)


def test_weights_that_no_round_gave_are_not_evaluated(trained, scans):
    wire, _ = trained
    plan, engine = wire.run.plan, open_engines(wire.run, scans, Progress(disable=True))["a"]
    header = RequestHeader(
        operation=Operation.SCORE, plan_hash=plan.digest(), site="a", model="net", arm="federated"
    )

    def code(weights):
        request = encode_request(Request(header, weights), wire.run.key)
        return decode_reply(engine.handle(request)).header.code

    weights = final(wire.run.out)
    crafted = weights.copy()
    crafted[0] += np.float32(1e-6)
    assert code(weights) == "OK"
    assert code(crafted) == "E_POLICY"


def test_before_a_training_no_weights_are_evaluated_and_amid_it_no_more_than_two(scans, tmp_path):
    """A site whose round never ends may have missed the end: the last weights and the chosen it takes."""
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path)
    joined = []
    wire.lost = lambda _site, kind, training: (
        training and kind is MessageKind.CONTRIBUTE_REQUEST and bool(joined.append(1) or len(joined) > 3)
    )

    def code(first):
        header = RequestHeader(
            operation=Operation.SCORE,
            plan_hash=wire.run.plan.digest(),
            site="a",
            model="net",
            arm="federated",
        )
        engine = open_engines(wire.run, scans, Progress(disable=True))["a"]
        weights = np.ones(309469, dtype=np.float32)
        weights[0] = first
        return decode_reply(engine.handle(encode_request(Request(header, weights), wire.run.key))).header.code

    assert code(0) == "E_POLICY"
    with pytest.raises(ExchangeError, match="round 2"):
        wire.study()
    assert [code(first) for first in (1, 2, 3, 1)] == ["OK", "OK", "E_POLICY", "OK"]


def test_a_site_outside_of_a_training_takes_two_models_of_it_and_no_more(scans, tmp_path):
    sites = [{"name": name, "role": "external" if name == "c" else "train"} for name in "abc"]
    wire = Wire(StudyPlan.model_validate(NETWORK | {"sites": sites}), scans, tmp_path)
    engine = open_engines(wire.run, scans, Progress(disable=True))["c"]

    def code(first):
        fields = {"plan_hash": wire.run.plan.digest(), "site": "c", "model": "net", "arm": "federated"}
        header = RequestHeader(operation=Operation.SCORE, **fields)
        weights = np.ones(309469, dtype=np.float32)
        weights[0] = first
        return decode_reply(engine.handle(encode_request(Request(header, weights), wire.run.key))).header.code

    assert [code(first) for first in (1, 2, 3, 2)] == ["OK", "OK", "E_POLICY", "OK"]


def test_weights_that_no_round_gave_are_not_validated(scans, tmp_path, monkeypatch):
    honest = FederatedTraining._validate
    monkeypatch.setattr(
        FederatedTraining,
        "_validate",
        lambda training, state: honest(training, replace(state, weights=state.weights + np.float32(1e-6))),
    )
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path)

    with pytest.raises(ExchangeError, match="statistics failed with E_POLICY"):
        wire.study()


def test_a_round_is_closed_by_the_next_one_s_question(trained):
    wire, _ = trained
    closes = [reply for site, kind, reply in wire.answers if (site, kind) == ("a", MessageKind.CLOSE)]
    answers = [unpack(reply.sealed.tobytes()).kind for reply in closes]

    # The first round's with the second's question, then the second's, and the session's of the statistics
    assert answers == [MessageKind.JOIN, MessageKind.CLOSED, MessageKind.CLOSED]


def test_a_refusal_by_the_site_s_own_policy_is_told_and_not_taken_for_silence(tables, tmp_path):
    wire = Wire(StudyPlan.model_validate(TABLE), tables, tmp_path / "out")
    folder = tmp_path / "c"
    shutil.copytree(tables["c"], folder)
    text = (folder / "site.toml").read_text()
    policy = "[policy]\nanswers_per_day = 2\n"
    (folder / "site.toml").write_text(
        text.replace("[policy]\n", policy) if "[policy]" in text else text + policy
    )
    wire.sites = {**tables, "c": folder}

    with pytest.raises(ExchangeError, match=r"^c: a hidden sum failed with E_POLICY"):
        wire.study()


def test_a_change_that_is_too_long_is_refused_with_the_setting(scans, tmp_path):
    plan = StudyPlan.model_validate(NETWORK | {"privacy": {"norm_bound": 1e-3}})

    with pytest.raises(ExchangeError, match=r"round 1 .*E_NORM.*privacy\.norm_bound"):
        Wire(plan, scans, tmp_path).study()


def test_no_update_comes_in_the_clear(trained):
    wire, _ = trained

    kinds = [kind for _, kind, reply in wire.answers if reply.summary.updates or reply.weights is not None]
    contributions = [r for _, kind, r in wire.answers if kind is MessageKind.CONTRIBUTE_REQUEST]

    assert kinds == []
    assert sum(unpack(r.sealed.tobytes()).kind is MessageKind.CONTRIBUTION for r in contributions) == 6


@pytest.mark.usefixtures("no_page")
def test_a_hospital_that_dies_after_it_joined_rests_and_the_others_go_on(scans, tmp_path):
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path)
    # Dead to the training alone, so that the statistics after it can be looked at.
    wire.lost = lambda site, kind, training: (
        site == "c" and training and kind is not MessageKind.ROUND_REQUEST
    )

    results = wire.study()

    assert len(results.training[0].points) == 2
    assert {site for site, kind, _ in wire.answers if kind is MessageKind.REVEAL_REQUEST} == {"a", "b"}
    joined = [reply for site, kind, reply in wire.answers if (site, kind) == ("c", MessageKind.ROUND_REQUEST)]
    # The first round of the training, and the session of the statistics after it.
    assert len(joined) == 2


@pytest.mark.usefixtures("no_page")
def test_a_hospital_that_dies_after_its_upload_is_waited_for(scans, trained, tmp_path):
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path)
    wire.lost = lambda site, kind, _training: site == "c" and kind is MessageKind.REVEAL_REQUEST

    with pytest.raises(ExchangeError, match="E_SET_INCOMPLETE|not answered: c"):
        wire.study()
    assert not (tmp_path / "results.json").exists()
    back = replace(wire.run, resume=True)
    again = Wire(wire.run.plan, scans, back.out)
    again.study()

    assert final(again.run.out).tobytes() == final(trained[0].run.out).tobytes()
    assert load_results(tmp_path / "results.json").study.hiding is not None


@pytest.mark.parametrize("death", [(1, False), (1, True), (2, False), (2, True)])
@pytest.mark.usefixtures("no_page")
def test_a_coordinator_killed_around_a_checkpoint_goes_on_to_the_same_weights(
    scans, trained, tmp_path, monkeypatch, death
):
    """After a round was closed on its disk, the sites not yet told; its checkpoint is there, or not."""
    honest, (number, kept) = FederatedTraining._save, death
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path)

    def killed(training, state, stepper):
        if state.rounds == number and not kept:
            raise KeyboardInterrupt
        honest(training, state, stepper)
        if state.rounds == number:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FederatedTraining, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            wire.study()
    wire.study()

    assert final(wire.run.out).tobytes() == final(trained[0].run.out).tobytes()
    closes = [reply for site, kind, reply in wire.answers if (site, kind) == ("a", MessageKind.CLOSE)]
    assert [unpack(reply.sealed.tobytes()).kind for reply in closes[:2]] == [
        MessageKind.JOIN,
        MessageKind.CLOSED,
    ]


@pytest.mark.usefixtures("no_page")
def test_a_hospital_that_dies_later_stops_the_training_until_a_waiver_names_it(scans, tmp_path):
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path)
    done = lambda: sum(kind is MessageKind.CLOSE for _, kind, _ in wire.answers) >= 3
    wire.lost = lambda site, _kind, training: site == "c" and training and done()

    with pytest.raises(ExchangeError, match=r"round 2 of training:0:0: .*waiver"):
        wire.study()

    plan, roster, phase = wire.run.plan, wire.run.roster, "training:0:0"
    authority = derive_simulated_key(plan, "authority")
    nobody = {"definition": "0" * 64, "site": 0, "number": 1}
    waiver = Waiver(
        study=roster.study, roster=roster.digest, kind="absent", phase=phase, absent=(3,), **nobody
    )
    for name in "ab":
        pin = Pin(authority.public_key().public_bytes_raw(), roster.study, plan.digest(), 0, b"")
        approve_waiver(SiteFiles(tmp_path / "sites" / name / "sa1"), sign_waiver(waiver, authority), pin)
    wire.run = replace(wire.run, absent={phase: frozenset({3})})

    assert len(wire.study().training[0].points) == 2


def test_masks_and_keys_are_gone_when_the_study_is_closed(trained):
    wire, _ = trained
    for name in "abc":
        left = [path for path in (wire.run.out / "sites" / name / "sa1").rglob("*") if path.is_file()]
        assert {path.name for path in left} <= {"ledger", "audit.jsonl", "roster", ".lock"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in left)
