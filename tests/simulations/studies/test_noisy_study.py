"""A study with noise on its federated trainings: as much as was asked for, and what the report says of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from rich.progress import Progress
from scipy.stats import chi2
from sites.handmade import make_site
from sites.wires import NETWORK, Wire, final

from client.membership.site import SiteSettings
from client.release.approval_text import describe_plan
from common.models.checkpoint import load
from common.models.layout import TRAINED
from common.plan.study import StudyPlan
from server.report.page import render_page
from simulations.backends.in_process import open_engines

ONE_ROUND = {"rounds": 1, "timeout_s": 60}


def plan_with(multiplier, **noise):
    privacy = {"largest_site": 20, "noise": {"multiplier": multiplier, "norm": 100.0, **noise}}
    return StudyPlan.model_validate(NETWORK | {"federation": ONE_ROUND, "privacy": privacy})


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    return {name: make_site(root / name, name, 12, seed=seed) for seed, name in enumerate("abc")}


@pytest.fixture(scope="module")
def noisy(scans, tmp_path_factory):
    """One round with a little noise around changes that are not shortened."""
    wire = Wire(plan_with(2e-4, norm_buffers=100.0), scans, tmp_path_factory.mktemp("noisy"))
    return wire, wire.study()


@pytest.fixture(scope="module")
def quiet(scans, tmp_path_factory):
    """The same without noise."""
    plan = StudyPlan.model_validate(NETWORK | {"federation": ONE_ROUND, "privacy": {"largest_site": 20}})
    wire = Wire(plan, scans, tmp_path_factory.mktemp("quiet"))
    return wire, wire.study()


def layout_of(wire):
    return load(wire.run.out / "models" / "net" / "federated.safetensors").layout


def test_the_noise_is_that_of_the_plan(noisy, quiet):
    layout = layout_of(noisy[0])
    difference = (final(noisy[0].run.out) - final(quiet[0].run.out)).astype(np.float64)
    patients = sum(part.positive + part.negative for part in noisy[1].parts if part.part == "train")

    # Three sites add a half of the variance each, as two of them are the fewest in a sum
    deviation = math.sqrt(3 / 2) * 2e-4 * 100.0 * 20 / patients
    for kinds in (TRAINED, {"batchnorm-buffer"}):
        chosen = layout.mask(kinds) & ~layout.variances
        found = float((difference[chosen] ** 2).sum()) / deviation**2
        assert chi2.cdf(found, chosen.sum()) == pytest.approx(0.5, abs=0.4999)
    assert (difference[layout.mask({"counter"})] != 0).all()
    assert final(noisy[0].run.out)[layout.variances].min() >= 0


def test_a_change_is_shortened_before_it_is_noised(scans, quiet, tmp_path):
    wire = Wire(plan_with(1e-6, norm=0.01, norm_buffers=0.02), scans, tmp_path)
    wire.study()
    layout, engine = layout_of(wire), open_engines(quiet[0].run, scans, Progress(disable=True))["a"]
    start = engine.trainings.make_initial_weights(wire.run.plan.networks[0], wire.run.plan.all_arms()[0])

    moved = final(wire.run.out) - start
    for kinds, norm in ((TRAINED, 0.01), ({"batchnorm-buffer"}, 0.02)):
        length = float(np.linalg.norm(moved[layout.mask(kinds)]))
        # Of three changes in almost one direction each, the mean is little shorter
        assert 0.3 * norm < length < norm * 1.01
        whole = (final(quiet[0].run.out) - start)[layout.mask(kinds)]
        assert np.linalg.norm(whole) > 2 * norm
    assert not moved[layout.mask({"counter"})].any()


def epsilon_of(rho, delta):
    """CKS proposition 12 on a plain grid."""
    orders = 1 + np.exp(np.linspace(-14, 12, 200_001))
    losses = rho * orders + np.log1p(-1 / orders) - np.log(delta * orders) / (orders - 1)
    return float(losses.min())


def test_the_report_tells_epsilon_of_the_site_and_what_is_outside_of_it(noisy, quiet):
    found = noisy[1].study.hiding.noise
    # Two noised parts, each of rho = 1 / (2 z^2): rounding to whole numbers adds next to nothing
    rho = 2 * 1 / (2 * 2e-4**2)

    assert found.releases == 1
    assert found.epsilon == pytest.approx(epsilon_of(rho, 1e-5), rel=1e-3)
    # Another site knows its own half of the noise
    assert found.epsilon_among == pytest.approx(epsilon_of(2 * rho, 1e-5), rel=1e-3)
    page = render_page(noisy[1])
    assert "The unit is the centre, not the patient" in page
    assert f"ε = {found.epsilon:.3g}, δ = 1e-05" in page
    assert quiet[1].study.hiding.noise is None
    assert "Noise on model updates</th><td>none" in render_page(quiet[1])


def test_who_approves_is_told_epsilon_before(noisy):
    settings = SiteSettings(name="a", table="cohort.csv")
    told = describe_plan(noisy[0].run.plan, settings)

    assert f"epsilon = {noisy[1].study.hiding.noise.epsilon:.3g} at delta = 1e-05" in told
    assert "for the hospital as a whole, not for one patient" in told


def test_many_trainings_add_up_for_the_site_that_takes_part_in_most():
    privacy = {"noise": {"multiplier": 4.0}}
    models = [NETWORK["models"][0] | {"name": name} for name in ("one", "two")]
    arms = {"local_models": False, "design": "leave-one-centre-out", "subtraction_ack": True}
    plan = StudyPlan.model_validate(
        NETWORK | {"models": models, "arms": arms, "privacy": privacy, "federation": {"rounds": 5}}
    )
    told = describe_plan(plan, SiteSettings(name="a", table="cohort.csv"))

    # Two networks, in two of three arms, five rounds of two parts
    rho = 2 * 2 * 5 * 2 / (2 * 4.0**2)
    assert "over all 20 rounds" in told
    assert f"epsilon = {epsilon_of(rho, 1e-5):.3g} at delta" in told


@pytest.mark.parametrize(
    ("privacy", "message"),
    [
        ({"secure": False, "noise": {"multiplier": 1.0}}, "noise is added under masks"),
        ({"noise": {"multiplier": 0}}, "greater than 0"),
        ({"noise": {"multiplier": 1.0, "norm": -1.0}}, "greater than 0"),
        ({"noise": {"multiplier": 1.0, "delta": 1.0}}, "less than or equal to 0.01"),
        ({"noise": {"multiplier": 1e-12}}, "less than the rounding"),
    ],
)
def test_a_noise_that_cannot_be_is_refused_with_the_plan(privacy, message):
    with pytest.raises(ValidationError, match=message):
        StudyPlan.model_validate(NETWORK | {"privacy": privacy})


def test_a_simulated_study_has_the_same_noise_twice(noisy, scans, tmp_path):
    again = Wire(noisy[0].run.plan, scans, tmp_path)
    again.study()

    assert final(again.run.out).tobytes() == final(noisy[0].run.out).tobytes()
