"""Scores by a model of an earlier study: those of `rhe-client predict`, by the plan's file alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.progress import Progress
from sites.earlier import first_plan, section_of, write_logistic, write_network
from sites.patients import a_case
from sites.plans import plan_of

from client.answers.known_models import brings_model
from client.answers.training import SiteTrainings
from client.membership.site import SiteSettings
from client.predict.new_patient import make_new_patient
from client.predict.predictor import Predictor
from common.cards.card_file import load_card
from common.errors import ModelError, NotThePlanError, PlanError, ProtocolError
from common.imaging.recipe import InputShape
from common.messages.carried_file import pack_file
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.protocol import Request

NEW = {"a": "external", "b": "external"}
ROWS = [
    {"age": 50.0, "ivh": 0.0, "location": "lobar"},
    {"age": 71.0, "ivh": 1.0, "location": "deep"},
    {"age": 80.0, "ivh": 1.0},
    {"age": 64.0, "ivh": 1.0, "location": "infratentorial"},
]


def a_site(folder, plan, cases):
    settings = SiteSettings(name="a", table="cohort.csv", synthetic=True, device="cpu")
    patients = SimpleNamespace(prepared=SimpleNamespace(cases=tuple(cases), settings=settings))
    return SiteTrainings(plan, settings, patients, folder, Progress(disable=True))


def ask(plan, content, operation=Operation.SCORE):
    (model,) = plan.cards
    header = RequestHeader(
        operation=operation, plan_hash=plan.digest(), site="a", model=model.name, arm="earlier"
    )
    return Request(header, None if content is None else pack_file(content))


def score(site, request):
    site.score(request)
    return site._scores.find(request.header.model, "earlier", site.patients.prepared.cases)


@pytest.fixture
def clinical(tmp_path):
    path = write_logistic(tmp_path, first_plan())
    plan = plan_of(NEW, section_of(path, name="Renamed"))
    cases = [a_case(f"p{number}", part="test", **row) for number, row in enumerate(ROWS)]
    return path, plan, a_site(tmp_path / "state", plan, cases)


def test_risks_are_those_of_predict_and_nobody_unknown_has_one(clinical):
    path, plan, site = clinical

    scores = score(site, ask(plan, path.read_bytes()))

    known = [case.patient for case in site.patients.prepared.cases[:2]]
    predicted = Predictor(load_card(path)).predict([make_new_patient(patient) for patient in known])
    assert scores[:2].tolist() == [one.risk for one in predicted]
    # Without a location, and with one that no training patient had: the reference is another
    assert np.isnan(scores[2:]).all()


def test_by_hand(clinical):
    path, plan, site = clinical

    scores = score(site, ask(plan, path.read_bytes()))

    odds = np.array([-3.0 + 0.0413 * 50, -3.0 + 0.0413 * 71 + 0.9 - 0.7])
    assert scores[:2] == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-15)


def test_a_networks_risks_are_those_of_predict(tmp_path):
    path = write_network(tmp_path, first_plan())
    plan = plan_of(NEW, section_of(path))
    shape, images = InputShape(2, 16), np.random.default_rng(4).random((3, 1, 16, 16), dtype=np.float32)
    cases = []
    for number, image in enumerate(images):
        np.save(tmp_path / f"{number}.npy", image)
        cases.append(replace(a_case(f"p{number}"), inputs={shape: tmp_path / f"{number}.npy"}))
    site = a_site(tmp_path / "state", plan, cases)

    scores = score(site, ask(plan, path.read_bytes()))

    patients = [
        replace(make_new_patient(case.patient), image=image)
        for case, image in zip(cases, images, strict=True)
    ]
    assert scores.tolist() == Predictor(load_card(path))._predict_risks(patients).tolist()
    assert len(set(scores)) == 3


def test_the_hospital_keeps_the_file_that_it_scored_with(clinical):
    path, plan, site = clinical

    site.score(ask(plan, path.read_bytes()))

    (kept,) = (site.state / "earlier").glob("*/*")
    assert kept.read_bytes() == path.read_bytes()


def test_another_file_scores_nobody(clinical):
    path, plan, site = clinical
    other = path.read_bytes().replace(b'"operating_point": 0.4', b'"operating_point": 0.5')
    assert len(other) == plan.cards[0].bytes

    with pytest.raises(NotThePlanError, match="the plan names"):
        site.score(ask(plan, other))
    with pytest.raises(ProtocolError, match="a file of"):
        site.score(ask(plan, path.read_bytes() + b"more"))
    with pytest.raises(ProtocolError, match="without its file"):
        site.score(ask(plan, None))
    assert not (site.state / "earlier").exists()


def test_a_model_that_the_plan_does_not_prepare_for_is_refused_here_too(tmp_path):
    path = write_network(tmp_path, first_plan())
    plan = plan_of(NEW, section_of(path), preprocessing={"window_level_hu": 50.0})

    with pytest.raises(ModelError, match="does not fit this plan"):
        a_site(tmp_path / "state", plan, ()).score(ask(plan, path.read_bytes()))


def test_it_is_never_trained_released_or_signed(clinical):
    path, plan, site = clinical

    for answer in (site.train_alone, site.release):
        with pytest.raises(PlanError, match="is not trained in this study"):
            answer(ask(plan, path.read_bytes()))
    assert not brings_model(ask(plan, path.read_bytes()))
