"""Every member comes to the coordinator's next weights, bit by bit, from the ring's words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.hiding import next_weights
from common.hiding.next_weights import (
    derive_weights,
    follow_mean,
    list_returned,
    make_stepper,
    read_patients,
)
from common.hiding.rounds import hiding_of, share_of, to_hidden
from common.plan.study import StudyPlan
from common.secagg.crypto.encoding import decode, encode
from common.secagg.crypto.masks import add_words
from common.secagg.crypto.rings import Words
from common.stats.contract import Summary
from tests.common.hiding.test_rounds import LAYOUT, VARIANCES, a_plan, an_update
from tests.sites.joined_rounds import join_parts

PATIENTS = (8, 11, 14)


def plan_of(federation: dict[str, Any], **privacy: Any) -> StudyPlan:
    plan = a_plan(len(PATIENTS), **privacy).model_dump(mode="json")
    return StudyPlan.model_validate(plan | {"federation": federation})


def open_round(plan: StudyPlan, seed: int) -> dict[str, Words]:
    """The opened words of a round of three sites, by the vector's name."""
    hiding = hiding_of(plan, LAYOUT)
    sums = {vector.name: np.zeros(vector.words, vector.dtype) for vector in hiding.vectors}
    for number, patients in enumerate(PATIENTS):
        update = an_update(patients, seed + number, variance=9.0)
        if plan.privacy.weights == "equal":
            one = {**update.counts, "patients": np.array(1)}
            update = Summary(one, update.reals, {"delta": update.updates["delta"] / np.float32(patients)})
        share = share_of(plan, int(update.counts["patients"]))
        for vector, values in zip(
            hiding.vectors, hiding.values(to_hidden(plan, LAYOUT, update)), strict=True
        ):
            alpha = share if vector.is_delta else 1.0
            words = encode(vector, values, sites=len(PATIENTS), alpha=alpha).words
            add_words(sums[vector.name], words, vector.ring)
    return sums


def compute_centrally(plan: StudyPlan, sums: dict[str, Words], total: int) -> Summary:
    """What the coordinator makes of the words."""
    hiding = hiding_of(plan, LAYOUT)
    opened = hiding.summary([decode(vector, sums[vector.name]) for vector in hiding.vectors])
    return join_parts(plan, LAYOUT, opened, total)


@pytest.mark.parametrize("optimiser", ["none", "sgd", "adam", "adagrad"])
@pytest.mark.parametrize(
    "privacy",
    [
        {},
        {"weights": "per-round"},
        {"weights": "equal"},
        {"noise": {"multiplier": 0.5, "norm_buffers": 100.0}},
    ],
    ids=str,
)
@pytest.mark.parametrize("piece", [7, 1 << 17])
def test_a_member_derives_the_coordinator_s_bits(monkeypatch, optimiser, privacy, piece):
    monkeypatch.setattr(next_weights, "_PIECE", piece)
    plan = plan_of({"server_optimiser": optimiser, "server_learning_rate": 0.1}, **privacy)
    total = len(PATIENTS) if plan.privacy.weights == "equal" else sum(PATIENTS)
    theirs, own = make_stepper(plan, LAYOUT), make_stepper(plan, LAYOUT)
    weights = np.random.default_rng(9).normal(size=LAYOUT.size).astype(np.float32)
    weights[VARIANCES] = 0
    expected = weights

    for seed in range(3):
        sums = open_round(plan, 10 * seed)
        told = {name: sums[name] for name in list_returned(plan, LAYOUT)}
        mean = compute_centrally(plan, sums, total)
        move = None if theirs is None else theirs.apply
        expected = follow_mean(expected, mean.updates["delta"], int(mean.counts["patients"]), move)
        np.maximum(expected, 0, out=expected, where=LAYOUT.variances)
        weights = np.concatenate(list(derive_weights((plan, LAYOUT, own), told, total, weights)))

        assert weights.dtype == np.float32
        assert weights.tobytes() == expected.tobytes()


def test_only_updates_come_back_and_counts_where_they_are_the_weight():
    fixed, counted = plan_of({}), plan_of({}, weights="per-round")

    assert list_returned(fixed, LAYOUT) == ("updates weights", "updates buffers", "updates counters")
    assert list_returned(counted, LAYOUT)[0].startswith("counts ")
    assert read_patients(counted, LAYOUT, open_round(counted, 1)) == sum(PATIENTS)
