"""One round's update through the rings and back: the weighted mean, whatever BatchNorm's statistics did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.hiding.rounds import (
    hiding_of,
    parts_of,
    round_to_ring,
    share_of,
    to_hidden,
    train_nobody,
    variance_of,
)
from common.models.layout import Layout, StateTensor
from common.plan.study import StudyPlan
from common.secagg.codes import SecAggError
from common.secagg.crypto.discrete_gaussian import add_noise
from common.secagg.crypto.encoding import check_overflow, decode, encode
from common.secagg.crypto.masks import add_words
from common.secagg.crypto.rings import Ring
from common.stats.contract import Summary
from tests.sites.joined_rounds import join_parts

LAYOUT = Layout(
    (
        StateTensor("conv.weight", (40,), "float32", "weight"),
        StateTensor("bn.weight", (4,), "float32", "batchnorm-parameter"),
        StateTensor("bn.running_mean", (4,), "float32", "batchnorm-buffer"),
        StateTensor("bn.running_var", (4,), "float32", "batchnorm-buffer"),
        StateTensor("bn.num_batches_tracked", (), "int64", "counter"),
    )
)
BUFFERS, VARIANCES = LAYOUT.mask({"batchnorm-buffer"}), LAYOUT.variances
WEIGHTS = LAYOUT.mask({"weight", "batchnorm-parameter"})


def a_plan(sites: int = 2, **privacy: Any) -> StudyPlan:
    names = [f"s{number}" for number in range(sites)]
    return StudyPlan.model_validate(
        {
            "name": "Rounds",
            "seed": 1,
            "two_site_ack": True,
            "sites": [{"name": name, "role": "train"} for name in names],
            "models": [{"name": "net", "family": "resnet10-narrow"}],
            "privacy": privacy,
        }
    )


def an_update(patients: int, seed: int, *, variance: float) -> Summary:
    """A site's round: weights move by hundredths, running variances by up to `variance`."""
    random = np.random.default_rng(seed)
    delta = random.normal(scale=0.01, size=LAYOUT.size).astype(np.float32)
    delta[VARIANCES] = variance * random.uniform(-1, 1, 4) ** np.array([1, 3, 9, 27])
    delta[-1] = 8
    nobody = train_nobody(a_plan(), LAYOUT)
    return Summary(
        {**nobody.counts, "patients": np.array(patients)},
        nobody.reals,
        {"delta": delta * np.float32(patients)},
    )


def add(plan: StudyPlan, updates: list[Summary], *, noisy: bool = False) -> Summary:
    """What the coordinator opens, in the form without hiding."""
    hiding, sites = hiding_of(plan, LAYOUT), len(plan.sites)
    sums = [np.zeros(vector.words, vector.dtype) for vector in hiding.vectors]
    for number, one in enumerate(updates):
        update = Summary(one.counts, one.reals, {"delta": one.updates["delta"].copy()})
        share = share_of(plan, int(update.counts["patients"]))
        for words, vector, values in zip(
            sums, hiding.vectors, hiding.values(to_hidden(plan, LAYOUT, update)), strict=True
        ):
            alpha = share if vector.is_delta else 1.0
            encoded = encode(
                vector, values, sites=sites, alpha=alpha, clip_fraction=plan.privacy.clip_fraction
            )
            if noisy and variance_of(plan, vector):
                add_noise(vector, encoded.words, variance_of(plan, vector), bytes([number]) * 32)
            add_words(words, encoded.words, vector.ring)
    opened = hiding.summary(
        [decode(vector, words) for vector, words in zip(hiding.vectors, sums, strict=True)]
    )
    total = sum(int(update.counts["patients"]) for update in updates)
    return join_parts(plan, LAYOUT, opened, total)


def pool(updates: list[Summary]) -> np.ndarray:
    """The sum of the updates, in float64."""
    return np.sum([update.updates["delta"].astype(np.float64) for update in updates], axis=0)


@pytest.mark.parametrize(("weights", "weight"), [("frozen", 11), ("frozen", 1000), ("equal", 1)])
def test_a_change_is_rounded_as_the_ring_holds_it(weights, weight):
    plan = a_plan(3, weights=weights)
    vector, share = hiding_of(plan, LAYOUT).updates["weights"], share_of(plan, weight)
    change = an_update(1, 5, variance=1.0).updates["delta"]

    rounded = round_to_ring(plan, LAYOUT, change, weight)

    held = decode(vector, encode(vector, change[WEIGHTS], sites=3, alpha=share).words) / share
    assert rounded[WEIGHTS].tolist() == held.astype(np.float32).tolist()
    assert (rounded != change)[WEIGHTS].any()


@pytest.mark.parametrize("sites", [2, 3, 7, 50])
@pytest.mark.parametrize("variance", [2448.0, 275163.3, 1e9, 9e15, 1e-9])
def test_no_running_variance_stops_a_round_and_its_mean_is_float32_s(sites, variance):
    """Two epochs of the paper's recipe gave 275,163 in 3D-ResNet-152 and 7 in 2D-DenseNet-121."""
    plan = a_plan(sites)
    updates = [an_update(8 + 3 * number, number, variance=variance) for number in range(sites)]

    opened, exact = add(plan, updates).updates["delta"], pool(updates)

    largest = np.max([np.abs(update.updates["delta"]) for update in updates], axis=0)
    tiny = 2.0**-60 * plan.privacy.largest_site * sites
    assert (np.abs(opened - exact)[BUFFERS] <= 2.0**-21 * sites * largest[BUFFERS] + tiny).all()
    coarse = sites * 2.0 ** -hiding_of(plan, LAYOUT).updates["weights"].scale_bits
    assert np.abs(opened - exact)[WEIGHTS].max() <= coarse * plan.privacy.largest_site + 1e-4


def test_a_bound_of_the_plan_s_own_still_holds_and_is_not_silent():
    updates = [an_update(8, number, variance=2448.0) for number in range(2)]

    with pytest.raises(SecAggError, check=lambda failure: failure.code == "E_CLIP"):
        add(a_plan(clip_buffers=256.0), updates)
    clipped = add(a_plan(clip_buffers=256.0, clip_fraction=0.5), updates).updates["delta"]
    assert np.abs(clipped[VARIANCES]).max() <= 16 * 256 * (1 + 1e-6)


@pytest.mark.parametrize("sites", [2, 7, 50])
@pytest.mark.parametrize("variance", [2448.0, 9e15])
def test_with_noise_statistics_are_scaled_to_their_norm_and_never_clipped(sites, variance):
    plan = a_plan(sites, noise={"multiplier": 0.5, "norm_buffers": 100.0})
    updates = [an_update(8 + number, number, variance=variance) for number in range(sites)]
    vector = hiding_of(plan, LAYOUT).updates["buffers"]

    quiet, loud = add(plan, updates), add(plan, updates, noisy=True)

    assert vector.ring is Ring.UPDATES
    assert vector.segments[0].clip == 100.0
    check_overflow(vector, sites)
    patients = [int(update.counts["patients"]) for update in updates]
    parts = [update.updates["delta"][BUFFERS].astype(np.float64) for update in updates]
    scaled = sum(
        part * min(1.0, 100 * number / np.linalg.norm(part))
        for number, part in zip(patients, parts, strict=True)
    )
    np.testing.assert_allclose(quiet.updates["delta"][BUFFERS], scaled, rtol=1e-5, atol=1e-3 * sites)
    # 50 norms of noise: twelve deviations stay within the ring, so nothing wraps
    difference = (loud.updates["delta"] - quiet.updates["delta"])[BUFFERS]
    assert 0 < np.abs(difference).max() < 6 * 0.5 * 100 * 1000 * sites**0.5


def test_parts_travel_in_rings_of_their_own():
    vectors = hiding_of(a_plan(), LAYOUT).updates

    assert {name: vector.ring for name, vector in vectors.items()} == {
        "weights": Ring.UPDATES,
        "buffers": Ring.REALS,
        "counters": Ring.UPDATES,
    }
    assert {name: vector.size for name, vector in vectors.items()} == parts_of(a_plan(), LAYOUT)
