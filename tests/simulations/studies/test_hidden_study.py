"""A whole study whose sums are hidden: the same numbers, and nothing of one hospital for the coordinator."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from dataclasses import replace
from functools import partial
from math import prod
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from rich.progress import Progress
from scipy.stats import chisquare
from sites.handmade import make_site
from sites.lossy_grid import FATES, LossyGrid
from sites.tables import Habits, table_only_hospital
from sites.wires import NETWORK, Wire, final
from studies.raw_rows import compare_with_raw_rows, open_rows

from client.door.door import StudyDoor
from client.hidden import OpenedStep
from client.membership import environment
from client.membership.party import HidingParty
from client.predict.request import PredictRequest, make_risk_table, predict_patients, write_csv
from common.cards.card_file import load_card
from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.models.checkpoint import load
from common.models.layout import TRAINED
from common.plan.study import StudyPlan
from common.secagg.coordinator.forwarding import StepToForward
from common.secagg.site.endpoint import approve_waiver
from common.secagg.site.files import SiteFiles
from common.secagg.wire.frames import MessageKind, unpack
from common.secagg.wire.roster import Pin, Waiver, sign_waiver
from common.training.loop import score
from server import delivery
from server.hidden import HiddenSums
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
def told():
    """What the sites learnt of opened sums, (site, step), and what the coordinator opened, by the request."""
    return SimpleNamespace(learnt=[], opened={})


@pytest.fixture(scope="module")
def hidden(tables, tmp_path_factory, told):
    wire = Wire(StudyPlan.model_validate(TABLE), tables, tmp_path_factory.mktemp("hidden"))
    open_sums, learn_sums = HiddenSums.gather, StudyDoor.learn

    def gather(self, groups, question):
        sums = open_sums(self, groups, question)
        several = {group.sites for group in groups if not group.alone}
        told.opened[hashlib.sha256(question).hexdigest()] = {sites: sums[sites] for sites in several}
        return sums

    def learn(self, digest, sums):
        several = {sites: summary for sites, summary in sums.items() if len(sites) > 1}
        if several:
            told.learnt.append((self.site, OpenedStep(digest, several)))
        return learn_sums(self, digest, sums)

    with (
        mock.patch.object(HiddenSums, "gather", gather),
        mock.patch.object(StudyDoor, "learn", learn),
    ):
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


@pytest.mark.usefixtures("hidden")
def test_each_site_adds_the_sums_that_steer_of_its_groups_and_no_others(told):
    """Bit for bit those that the coordinator opened; and every question with such a sum is learnt of."""
    known = {name: set() for name in ROLES}
    for site, step in told.learnt:
        known[site].add(step.request)
        for sites, summary in step.sums.items():
            opened = told.opened[step.request][sites]
            assert site in sites
            assert summary.layout()
            assert set(summary.layout()) <= set(opened.layout())
            for name, array in [*summary.counts.items(), *summary.reals.items()]:
                assert array.tobytes() == {**opened.counts, **opened.reals}[name].tobytes()

    assert len(known["a"]) > 15
    assert known["a"] == known["b"]
    # An external hospital is in the sums of the evaluation alone
    assert known["c"] < known["a"]
    assert known["c"]


def test_a_coordinator_that_forges_a_sum_is_stopped_at_the_next_question(tables, tmp_path):
    """It alters one number that a hospital sent to the others, and signs what it tells."""
    wire = Wire(StudyPlan.model_validate(TABLE), tables, tmp_path)
    cut = StepToForward._cut_words

    def forge(self, members, vectors):
        first, *others = cut(self, members, vectors)
        yield bytes([first[0] ^ 1, *first[1:]])
        yield from others

    with (
        mock.patch.object(StepToForward, "_cut_words", forge),
        pytest.raises(ExchangeError, match=r"failed with E_SUM_PROOF: the sum that the site was told"),
    ):
        wire.study()

    # Nor does it answer anything to the same coordinator turned honest
    with pytest.raises(ExchangeError, match="E_SUM_PROOF"):
        wire.study()
    folder = wire.run.out / "sites"
    assert list(folder.rglob("evidence.*"))


def test_every_printed_number_is_that_of_the_raw_rows(hidden, tables):
    wire, results = hidden

    assert compare_with_raw_rows(results, open_rows(wire.run.plan, tables, wire.run.out)) > 200


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
        assert starts <= {"train", "validation", "test", "whole", "paired", "calibrated"}
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
        log = [json.loads(line) for line in text.splitlines()]
        assert {"JOIN", "ADMITTED", "ITERATION"} <= {
            line["protocol"]["event"] for line in log if "protocol" in line
        }
        lines = [line["departure"] for line in log if "departure" in line]
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


@pytest.mark.usefixtures("no_page")
def test_statistics_wait_for_every_hospital_and_what_is_lost_is_asked_again(
    hidden, tables, tmp_path, monkeypatch
):
    """The protocol alone would sum over the others, and the results would still say: a, b and c."""
    wire = Wire(StudyPlan.model_validate(TABLE), tables, tmp_path)
    wire.lost = lambda site, kind, _training: site == "c" and kind is not None
    with pytest.raises(ExchangeError, match="statistics: not joined: c"):
        wire.study()

    monkeypatch.setattr(delivery, "_LOOK_S", 0.01)
    drawn, source, begun = [], random.Random(5), wire.rounds

    def draw(_site, _number):
        drawn.append(source.choice([*FATES, *[""] * 24]))
        return drawn[-1]

    wire.lost = lambda _site, _kind, _training: False
    wire.make_grid = partial(LossyGrid, fates=draw)
    results = wire.study()

    assert results.model_dump(exclude={"provenance"}) == hidden[1].model_dump(exclude={"provenance"})
    assert set(FATES) <= set(drawn)
    rounds = results.provenance.message_rounds
    assert begun < rounds < wire.rounds
    assert sum(phase.rounds for phase in results.provenance.phases) == rounds


def test_a_hospital_with_other_software_is_refused_before_anything_is_asked(tables, tmp_path, monkeypatch):
    honest = environment.read_versions
    monkeypatch.setattr(environment, "read_versions", lambda: honest() | {"rhe": "0.0.9", "scipy": "1.0"})
    wire = Wire(StudyPlan.model_validate(TABLE), tables, tmp_path)

    with pytest.raises(ExchangeError, match=r"a has rhe 0\.0\.9, the coordinator has .*; b has rhe 0\.0\.9"):
        wire.study()
    assert wire.rounds == 1


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
    assert code(Operation.PREPARE, procedure="preparation", step=1) == "OK"


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    return {name: make_site(root / name, name, 12, seed=seed) for seed, name in enumerate("abc")}


@pytest.fixture(scope="module")
def trained(scans, tmp_path_factory):
    wire = Wire(StudyPlan.model_validate(NETWORK), scans, tmp_path_factory.mktemp("trained"))
    return wire, wire.study()


@pytest.fixture
def open_wire(scans, trained):
    """`open_wire(out, **changes)`: a study over the scans, which each site has read and prepared before."""

    def open_line(out, **changes):
        for name in scans:
            shutil.copytree(trained[0].run.out / "sites" / name / "cache", out / "sites" / name / "cache")
        return Wire(StudyPlan.model_validate(NETWORK | changes), scans, out)

    return open_line


@pytest.mark.usefixtures("no_page")
def test_a_hidden_round_averages_as_one_in_the_clear(trained, open_wire, tmp_path, monkeypatch):
    """With the same seeds: a site's own secret would make another training, not another average."""
    monkeypatch.setattr(HidingParty, "training_secret", "")
    one = {"federation": {"rounds": 1}}
    hidden = open_wire(tmp_path / "hidden", **one)
    bare = open_wire(tmp_path / "bare", **one, privacy={"secure": False})
    hidden.study()
    bare.study()

    ours, theirs, other = (final(wire.run.out) for wire in (hidden, bare, trained[0]))

    layout = load(hidden.run.out / "models" / "net" / "federated.safetensors").layout
    weights, buffers = layout.mask(TRAINED), layout.mask({"batchnorm-buffer"})
    assert np.abs((theirs - other)[weights]).max() > 1e-3
    # Half a unit of the scale a site: 1.5 / (2^27 * 24 / 1000); the buffers' ring is finer than float32.
    np.testing.assert_allclose(ours[weights], theirs[weights], atol=2e-6)
    np.testing.assert_allclose(ours[buffers], theirs[buffers], rtol=1e-6, atol=1e-9)


def score_with(wire, scans, site, weights, **fields):
    """A site's answer to one who asks it to score with these weights, whatever was trained."""
    plan, engine = wire.run.plan, open_engines(wire.run, scans, Progress(disable=True))[site]
    asked = {"operation": Operation.SCORE, "plan_hash": plan.digest(), "site": site, "model": "net"}
    asked |= {"arm": "federated", "procedure": "scoring net federated", "step": 1}
    header = RequestHeader.model_validate(asked | fields)
    return decode_reply(engine.handle(encode_request(Request(header, weights), wire.run.key))).header


def test_weights_that_no_round_gave_are_not_evaluated(trained, scans):
    wire, results = trained
    weights, asked = final(wire.run.out), {"round": results.training[0].chosen}
    crafted = weights.copy()
    crafted[0] += np.float32(1e-6)

    reply = score_with(wire, scans, "a", weights, **asked)
    assert (reply.code, reply.endorsement.site, reply.endorsement.missed) == ("OK", "a", False)
    assert score_with(wire, scans, "a", crafted, **asked).code == "E_NOT_THE_PLAN"


def test_before_a_training_and_amid_it_a_site_says_that_it_knows_no_weights(scans, open_wire, tmp_path):
    """It does not score with them: it missed the end, and waits for the word of those who did not."""
    wire = open_wire(tmp_path)
    joined = []
    wire.lost = lambda _site, kind, training: (
        training and kind is MessageKind.CONTRIBUTE_REQUEST and bool(joined.append(1) or len(joined) > 3)
    )
    with pytest.raises(ExchangeError, match="round 2"):
        wire.study()

    reply = score_with(wire, scans, "a", np.ones(309469, dtype=np.float32))

    assert reply.code == "OK"
    assert reply.endorsement.missed
    assert not list((wire.run.out / "sites" / "a" / "scores").rglob("*"))


def test_a_site_outside_of_a_training_takes_no_model_of_it_on_trust(scans, tmp_path):
    sites = [{"name": name, "role": "external" if name == "c" else "train"} for name in "abc"]
    wire = Wire(StudyPlan.model_validate(NETWORK | {"sites": sites}), scans, tmp_path)

    reply = score_with(wire, scans, "c", np.ones(309469, dtype=np.float32), step=2)

    assert reply.code == "E_NOT_THE_PLAN"


def test_weights_that_no_round_gave_are_not_validated(open_wire, tmp_path, monkeypatch):
    honest = FederatedTraining._validate
    monkeypatch.setattr(
        FederatedTraining,
        "_validate",
        lambda training, state: honest(training, replace(state, weights=state.weights + np.float32(1e-6))),
    )
    wire = open_wire(tmp_path)

    with pytest.raises(ExchangeError, match="statistics failed with E_NOT_THE_PLAN"):
        wire.study()


def test_a_round_is_closed_by_the_next_one_s_question(trained):
    wire, _ = trained
    closes = [reply for site, kind, reply in wire.answers if (site, kind) == ("a", MessageKind.CLOSE)]
    answers = [unpack(reply.sealed.tobytes()).kind for reply in closes]

    # The first round's with the second's question, then the second's, and the session's of the statistics
    assert answers == [MessageKind.JOIN, MessageKind.CLOSED, MessageKind.CLOSED]


def test_each_hospital_derives_the_weights_from_the_proved_sum(trained):
    wire, _ = trained
    weights = hashlib.sha256(final(wire.run.out).astype("<f4").tobytes()).hexdigest()
    for name in "abc":
        files = SiteFiles(wire.run.out / "sites" / name / "sa1")
        with files.lock():
            results = files.history.list_results("training:0:0")
            assert len(results) == 2
            assert weights in results


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


def test_a_training_that_does_not_gain_ends_early_and_leaves_no_model_on_the_way(open_wire, tmp_path):
    rule = {"patience": 1, "minimum_gain": 0.99}
    wire = open_wire(tmp_path, federation={"rounds": 9, "early_stopping": rule})
    (curve,) = wire.study().training

    assert curve.describe_end() == (
        "ended early, with round 3 of 9: up to round 2 the validation AUC did not rise by more than 0.99 "
        "above that of round 1"
    )
    assert [point.number for point in curve.points] == [1, 2, 3]
    assert all(point.validation_auc is not None for point in curve.points)
    assert curve.chosen == max(curve.points, key=lambda point: (point.validation_auc, point.number)).number
    for name in "abc":
        assert list((tmp_path / "sites" / name / "sa1").rglob("*.model.*")) == []


def test_a_change_that_is_too_long_costs_its_model_and_is_named(open_wire, tmp_path):
    (curve,) = open_wire(tmp_path, privacy={"norm_bound": 1e-3}).study().training

    assert curve.standing.reason.startswith("not trained: E_NORM at a: training moved weights further than")
    assert "privacy.norm_bound" in curve.standing.reason
    assert curve.points == ()


def test_no_update_comes_in_the_clear(trained):
    wire, _ = trained

    kinds = [kind for _, kind, reply in wire.answers if reply.summary.updates or reply.weights is not None]
    contributions = [r for _, kind, r in wire.answers if kind is MessageKind.CONTRIBUTE_REQUEST]

    assert kinds == []
    assert sum(unpack(r.sealed.tobytes()).kind is MessageKind.CONTRIBUTION for r in contributions) == 6


@pytest.fixture(scope="module")
def rested(scans, tmp_path_factory):
    """A study in whose only training one hospital is in no sum: it dies after it joined."""
    combined = {"kind": "logistic", "name": "Both", "covariates": ["score:net", "age"]}
    plan = NETWORK | {
        "models": [*NETWORK["models"], combined],
        "phases": ["training", "evaluation"],
    }
    wire = Wire(StudyPlan.model_validate(plan), scans, tmp_path_factory.mktemp("rested"))
    # Dead to the training alone, so that the statistics after it can be looked at.
    wire.lost = lambda site, kind, training: (
        site == "c" and training and kind is not MessageKind.ROUND_REQUEST
    )
    return wire, wire.study()


def test_a_hospital_that_dies_after_it_joined_rests_and_the_others_go_on(rested):
    wire, results = rested

    assert len(results.training[0].points) == 2
    assert {site for site, kind, _ in wire.answers if kind is MessageKind.REVEAL_REQUEST} == {"a", "b"}
    joined = [reply for site, kind, reply in wire.answers if (site, kind) == ("c", MessageKind.ROUND_REQUEST)]
    # The first round of the training, and the session of the statistics after it.
    assert len(joined) == 2


def test_a_model_names_who_trained_it_in_every_record(rested):
    _, results = rested
    (curve,) = results.training

    assert curve.partial
    assert curve.sites == ("a", "b")
    assert [(part.site, part.rounds) for part in curve.contributions] == [
        ("a", curve.chosen),
        ("b", curve.chosen),
        ("c", 0),
    ]
    assert curve.describe_trainers() == "trained by a and b; c joined no round"
    sizes = {part.site: part.positive + part.negative for part in results.parts if part.part == "train"}
    for point in curve.points:
        assert point.contributors == ("a", "b")
        assert point.patients == sizes["a"] + sizes["b"]
    assert any(
        "net (federated) is PARTIAL: trained by a and b; c joined no round" in n for n in results.notes
    )


def test_patients_of_a_hospital_that_rested_are_external(rested):
    _, results = rested
    relations = {
        (cell.cohort_sites, cell.part): cell.relation for cell in results.evaluation if cell.model == "net"
    }

    assert {relations[("c",), part] for part in ("train", "validation", "test", "whole")} == {"external"}
    assert relations[("a",), "train"] == "apparent"
    assert relations[("a",), "validation"] == "selection"
    assert relations[("b",), "test"] == "internal"
    assert relations[("a", "b", "c"), "test"] == "seen centre"
    for cell in results.evaluation:
        if cell.model == "net":
            assert cell.partial
            assert cell.training_sites == ("a", "b")
        else:
            assert not cell.partial
            assert cell.training_sites == ("a", "b", "c")


def test_validation_patients_of_a_hospital_that_rested_do_not_choose_the_round(rested):
    wire, results = rested
    weights = load(wire.run.checkpoints / "net" / "federated.safetensors").weights
    scored = []
    for engine in open_engines(wire.run, wire.sites, Progress(disable=True)).values():
        trainer = engine.trainings.open_trainer(wire.run.plan.network("net"))
        trainer.load(weights)
        samples = engine.open_patients().of(trainer.model, "validation")
        scored.append((score(trainer.network, samples.images, trainer.device, 1), samples.labels.numpy() > 0))

    def count_wins(sites):
        scores, labels = (np.concatenate(arrays) for arrays in zip(*sites, strict=True))
        return np.subtract.outer(scores[labels], scores[~labels]).__gt__(0).mean()

    assert len(scored) == 3
    assert results.training[0].points[-1].validation_auc == pytest.approx(count_wins(scored[:2]), abs=0.01)
    assert count_wins(scored) != pytest.approx(count_wins(scored[:2]), abs=0.05)


def test_the_files_of_a_partial_model_say_so(rested):
    wire, _ = rested
    net = load_card(wire.run.models / "net" / "federated.safetensors")
    both = load_card(wire.run.models / "Both" / "federated.json")

    assert net.card.partial
    assert net.card.describe_origin() == ("PARTIAL: trained by a and b; c joined no round",)
    assert net.checkpoint.metadata["training_sites"] == "a,b"
    assert net.checkpoint.metadata["absent_sites"] == "c"
    assert not both.card.partial
    assert both.card.describe_origin() == ("takes the score of net, which is PARTIAL",)


def test_a_risk_of_a_partial_model_says_so(rested, tmp_path):
    wire, _ = rested
    request = PredictRequest(wire.run.models / "net" / "federated.safetensors", folder=wire.sites["a"])

    predictions = predict_patients(request, Progress(disable=True))
    write_csv(predictions, tmp_path / "risks.csv")

    assert make_risk_table(predictions).title.startswith("net, federated (PARTIAL): risk of")
    assert all(
        outcome.notes[0] == "PARTIAL: trained by a and b; c joined no round"
        for outcome in predictions.outcomes
    )
    _, *rows = (tmp_path / "risks.csv").read_text().splitlines()
    assert len(rows) == 12
    assert all("PARTIAL: trained by a and b; c joined no round" in row for row in rows)


@pytest.mark.usefixtures("no_page")
def test_a_hospital_that_dies_after_its_upload_is_waited_for(scans, trained, open_wire, tmp_path):
    wire = open_wire(tmp_path)
    wire.lost = lambda site, kind, _training: site == "c" and kind is MessageKind.REVEAL_REQUEST

    with pytest.raises(ExchangeError, match="E_SET_INCOMPLETE|not answered: c"):
        wire.study()
    assert not (tmp_path / "results.json").exists()
    back = replace(wire.run, resume=True)
    again = Wire(wire.run.plan, scans, back.out)
    again.study()

    assert final(again.run.out).tobytes() == final(trained[0].run.out).tobytes()
    results = load_results(tmp_path / "results.json")
    assert results.study.hiding is not None
    # Of both runs, although the second found on the disk what the first had opened
    assert results.provenance.message_rounds == wire.rounds + again.rounds
    assert [run.rounds for run in results.provenance.runs] == [wire.rounds, again.rounds]
    assert not results.provenance.earlier_runs


@pytest.mark.parametrize("death", [(1, False), (1, True), (2, False), (2, True)])
@pytest.mark.usefixtures("no_page")
def test_a_coordinator_killed_around_a_checkpoint_goes_on_to_the_same_weights(
    trained, open_wire, tmp_path, monkeypatch, death
):
    """After a round was closed on its disk, the sites not yet told; its checkpoint is there, or not."""
    honest, (number, kept) = FederatedTraining._save, death
    wire = open_wire(tmp_path)

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
def test_a_hospital_that_dies_later_stops_the_training_until_a_waiver_names_it(open_wire, tmp_path):
    wire = open_wire(tmp_path)
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

    (curve,) = wire.study().training
    assert [point.contributors for point in curve.points] == [("a", "b", "c"), ("a", "b")]
    assert [part.rounds for part in curve.contributions] == [curve.chosen, curve.chosen, 1]
    assert curve.sites == ("a", "b", "c")
    assert curve.partial is (curve.chosen == 2)


def test_masks_and_keys_are_gone_when_the_study_is_closed(trained):
    wire, _ = trained
    for name in "abc":
        left = [path for path in (wire.run.out / "sites" / name / "sa1").rglob("*") if path.is_file()]
        assert {path.name for path in left} <= {"ledger", "audit.jsonl", "roster", ".lock"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in left)
