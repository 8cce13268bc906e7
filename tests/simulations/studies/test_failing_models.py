"""A hidden study in which models fail, each in its own way, and a hospital has one outcome only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sites.handmade import make_site, read_rows, write_table
from sites.wires import NETWORK, Wire

from client.answers.trainer import Trainer
from client.answers.training import SiteTrainings
from common.errors import NonFiniteError
from common.plan.study import StudyPlan
from common.secagg.site.files import SiteFiles
from common.secagg.wire.frames import MessageKind

BALANCED = NETWORK["models"][0]["training"] | {"class_weighting": "balanced"}
PLAN = StudyPlan.model_validate(
    NETWORK
    | {
        "models": [
            *({**NETWORK["models"][0], "name": name} for name in ("clipped", "late", "mute")),
            {**NETWORK["models"][0], "name": "good", "training": BALANCED},
            {"kind": "logistic", "name": "Lost", "covariates": ["score:clipped", "age"]},
            {"kind": "logistic", "name": "Kept", "covariates": ["score:good", "age"]},
            {"kind": "svm", "name": "Vectors", "covariates": ["score:late", "age"]},
        ],
        "phases": ["training", "evaluation"],
        "evaluation": {"reference_model": "late"},
    }
)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Three hospitals; no patient of the third has an expansion."""
    root = tmp_path_factory.mktemp("hospitals")
    sites = {name: make_site(root / name, name, 12, seed=seed) for seed, name in enumerate("abc")}
    write_table(sites["c"], [row | {"followup_ich_volume_ml": 5} for row in read_rows(sites["c"])])
    return sites


def break_models(patch: pytest.MonkeyPatch) -> None:
    """One network's change is clipped in its second round, another is NaN in its last validation.

    A third does not fit into a hospital's memory when it scores.
    """
    train, validate, score = Trainer.train_round, SiteTrainings.validate, SiteTrainings._score_network

    def train_far(trainer, weights, samples, number, arm):
        summary = train(trainer, weights, samples, number, arm)
        if (trainer.model.name, trainer.place, number) != ("clipped", "b", 2):
            return summary
        far = summary.updates["delta"] + np.float32(1e6)
        return replace(summary, updates={"delta": far})

    def validate_late(trainings, request):
        if (request.header.model, trainings.settings.name) == ("late", "a"):
            raise NonFiniteError("the network's scores are not numbers")
        return validate(trainings, request)

    def score_nobody(trainings, trainer):
        if (trainer.model.name, trainer.place) == ("mute", "c"):
            raise MemoryError
        return score(trainings, trainer)

    patch.setattr(Trainer, "train_round", train_far)
    patch.setattr(SiteTrainings, "validate", validate_late)
    patch.setattr(SiteTrainings, "_score_network", score_nobody)


@pytest.fixture(scope="module")
def broken(hospitals, tmp_path_factory):
    wire = Wire(PLAN, hospitals, tmp_path_factory.mktemp("broken"))
    with pytest.MonkeyPatch.context() as patch:
        break_models(patch)
        results = wire.study()
        rounds, answers = wire.rounds, list(wire.answers)
        # Nobody looks at the second page, which takes longer to draw than all sums
        patch.setattr("server.conduct.write_report", lambda _results, _path: None)
        again = wire.study()
    return wire, results, (rounds, answers), again


CLIPPED = "not trained: E_CLIP at b: training moved weights further than the plan allows"
LATE = "not trained: E_NONFINITE at a: training or weights became NaN or infinite"
MUTE = (
    "could not score: E_MEMORY at c: the memory of the site's computer or accelerator does not suffice for "
    "the model"
)


def test_each_model_that_failed_is_named_with_its_reason_and_the_others_are_trained(broken):
    _, results, _, _ = broken

    reasons = {(curve.model, curve.arm): curve.standing.reason for curve in results.training}

    assert reasons == {
        ("clipped", "federated"): CLIPPED,
        ("late", "federated"): LATE,
        ("mute", "federated"): MUTE,
        ("good", "federated"): "",
    }
    clipped, late, mute, good = results.training
    assert [len(curve.points) for curve in (clipped, late, mute, good)] == [1, 2, 2, 2]
    assert [curve.chosen for curve in (clipped, late, mute)] == [0, 0, 0]
    assert good.chosen > 0


def test_a_hospital_with_one_outcome_trains_with_the_others(broken):
    _, results, _, _ = broken
    good = results.training[-1]

    assert {point.contributors for point in good.points} == {("a", "b", "c")}


def test_what_depends_on_a_failed_model_says_so(broken):
    _, results, _, _ = broken
    standing = {(fit.model, fit.arm): fit.standing.reason for fit in (*results.fitted, *results.machines)}

    assert standing["Lost", "federated"] == f"it takes the score of clipped, which was {CLIPPED}"
    assert standing["Vectors", "federated"] == f"it takes the score of late, which was {LATE}"
    assert standing["Kept", "federated"] == ""
    assert f"No model is compared with late, the reference model: it was {LATE}." in results.notes
    assert f"late (federated) was {LATE}." in results.notes


def test_its_cells_say_why_and_the_others_have_their_numbers(broken):
    _, results, _, _ = broken
    cells = {(c.model, c.arm, c.cohort_sites, c.part): c for c in results.evaluation}

    everybody = ("a", "b", "c")
    for model, reason in {"clipped": CLIPPED, "late": LATE, "mute": MUTE}.items():
        of_model = [c for c in results.evaluation if (c.model, c.arm) == (model, "federated")]
        assert {c.auc.standing.reason for c in of_model} == {reason}
    assert cells["good", "federated", everybody, "test"].auc.value is not None
    assert cells["Kept", "federated", everybody, "test"].auc.value is not None
    assert cells["good", "federated", ("c",), "whole"].auc.standing.reason == "patients of one class only"
    calls = cells["good", "federated", ("c",), "whole"].confusion
    assert (calls.true_positive, calls.false_negative) == (0, 0)
    assert calls.false_positive + calls.true_negative == 12


def test_the_page_names_what_is_missing(broken):
    wire, results, _, _ = broken
    page = wire.run.report.read_text(encoding="utf-8").replace("&#39;", "'")

    for reason in (CLIPPED, LATE, MUTE):
        assert reason in page
    lacking = "c has no patient with expansion: it is left out of what needs both outcomes"
    assert any(note.startswith(lacking) for note in results.notes)
    assert lacking in page


def test_a_failed_round_is_opened_by_nobody_and_leaves_nothing_at_a_hospital(broken):
    wire, _, (_, answers), _ = broken

    for site in "abc":
        files = SiteFiles(wire.run.out / "sites" / site / "sa1")
        with files.lock():
            assert files.read_all() == []
            history = files.history
            phase = "training:0:0"
            begun = history.find_begun(phase)
            # The site that refused had begun the first round only
            assert begun.round == (1 if site == "b" else 2)
            assert history.count_releases(phase) == 1
            end = history.find_end(begun.hdr)
            assert end.status == ("opened" if site == "b" else "lost")
        assert not list((wire.run.out / "sites" / site / "sa1").rglob("words.*"))
    rounds = wire.run.protocol / "rounds" / "clipped" / "federated"
    assert not (rounds / "2").exists()
    assert not (rounds / "close").exists()
    contributed = [site for site, kind, _ in answers if kind is MessageKind.CONTRIBUTE_REQUEST]
    assert contributed


def test_a_study_that_is_resumed_keeps_what_failed_and_asks_no_training_again(broken):
    wire, results, (rounds, answers), again = broken

    assert again.model_dump(exclude={"provenance"}) == results.model_dump(exclude={"provenance"})
    later = wire.answers[len(answers) :]
    training = {MessageKind.ROUND_REQUEST, MessageKind.CONTRIBUTE_REQUEST, MessageKind.REVEAL_REQUEST}
    assert not training & {kind for _, kind, _ in later}
    assert wire.rounds - rounds < rounds
