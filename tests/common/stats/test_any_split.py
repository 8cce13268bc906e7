"""Every statistic is as pooled over 1, 2, 3 and 7 sites, permuted, one empty, one of one class."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from math import isclose

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.stats.calibration import finish_calibration, local_calibration, logits, recalibrate
from common.stats.confusion import finish_confusion, local_confusion
from common.stats.contingency import finish_contingency, local_contingency
from common.stats.contract import total
from common.stats.covariates import Model, Term, local_setup
from common.stats.decision import finish_decision, local_decision
from common.stats.decision_difference import finish_decision_difference, local_decision_difference
from common.stats.delong import (
    compare_aucs,
    complete_cases,
    finish_delong,
    local_delong,
    omnibus,
    placements_of,
)
from common.stats.descriptive import finish_descriptive, local_descriptive
from common.stats.flow import finish_flow, local_flow
from common.stats.glm import fit
from common.stats.guard import Demand, finish_guard, local_guard
from common.stats.icc import finish_icc, local_icc
from common.stats.kappa import finish_kappa, local_kappa
from common.stats.lasso import (
    finish_lasso,
    local_gram,
    local_magnitude,
    local_scaling,
    magnitude_of,
    scaling_of,
)
from common.stats.mcnemar import finish_mcnemar, local_mcnemar
from common.stats.minima import SIMULATION
from common.stats.newton import local_newton
from common.stats.prescreen import finish_prescreen, local_prescreen
from common.stats.recording_grid import RecordingGrid
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid
from common.stats.subgroups import finish_subgroups, local_subgroups
from common.stats.table_one import Categorical, Continuous, finish_table_one, local_table_one
from common.stats.youden import finish_youden

PATIENTS = 36
BINS = 20
SCORES = ScoreGrid(np.arange(1, BINS) / BINS, one_value=True)
THRESHOLDS = (0.2, 0.5, 0.8)
GRID = RecordingGrid(0, 0.5, 40)
DEMANDS = (Demand("description"), Demand("discrimination"), Demand("regression", 2), Demand("agreement"))
VARIABLES = (Continuous("volume", GRID), Categorical("location", ("lobar", "deep", "infratentorial")))
MODELS = (Model((Term("age", (0,)),)), Model((Term("sign", (1,), binary=True), Term("age", (0,)))))


@dataclass(frozen=True)
class Patients:
    """Any patients; `scores` (2, n) lie on the middles of the bins, some are missing."""

    labels: np.ndarray
    scores: np.ndarray
    values: np.ndarray
    codes: np.ndarray
    parts: np.ndarray
    folds: np.ndarray
    features: np.ndarray

    def at(self, rows):
        """Those of one site."""
        return Patients(*(getattr(self, field.name)[..., rows] for field in fields(self)))


def some(dtype, low, high, shape=PATIENTS):
    return arrays(dtype, shape, elements=st.integers(low, high))


PATIENTS_ANY = st.builds(
    lambda labels, scores, values, **others: Patients(
        labels == 1,
        np.where(scores < 0, np.nan, (scores + 0.5) / BINS),
        np.where(values < 0, np.nan, values / 2),
        **others,
    ),
    labels=some(np.int64, 0, 1),
    scores=some(np.int64, -1, BINS - 1, (2, PATIENTS)),
    values=some(np.int64, -1, 42),
    codes=some(np.int64, -1, 2),
    parts=some(np.int64, -1, 1),
    folds=some(np.int64, 0, 1),
    features=some(np.float64, -3, 3, (3, PATIENTS)),
)


@st.composite
def sites(draw, patients):
    """Row numbers by site; with three and more one is empty, with seven one has positives alone."""
    number = draw(st.sampled_from([1, 2, 3, 7]))
    order = draw(st.permutations(range(PATIENTS)))
    site = np.array(draw(st.lists(st.integers(0, number - 1), min_size=PATIENTS, max_size=PATIENTS)))
    if number >= 3:
        site[site == 0] = 1
    if number == 7:
        site[(site == 2) & ~patients.labels] = 3
    order = np.array(order)
    return [order[site[order] == index] for index in range(number)]


def one_round(local, finish):
    """A statistic of one summary, from the patients of each site."""
    return lambda parts: finish(total(local(part) for part in parts))


def delong(parts):
    known = [part.at(complete_cases(part.scores)) for part in parts]
    firsts = [total(local_roc(part.scores[m], part.labels, SCORES) for part in known) for m in (0, 1)]
    if any((first.counts["histogram"].sum(axis=2) == 0).any() for first in firsts):
        return None
    grids = [SCORES] * 2
    broadcast = [placements_of(first) for first in firsts]
    second = total(local_delong(part.scores, part.labels, grids, broadcast) for part in parts)
    aucs = finish_delong(firsts, grids, second)
    return compare_aucs(aucs, ((0, 1),), SIMULATION), omnibus(aucs, SIMULATION)


def design(part):
    return np.column_stack([part.features[0], part.features[1] > 0]).astype(np.float64)


def regression(parts):
    setup = total(local_setup(design(part), part.labels, MODELS) for part in parts)
    return fit(
        lambda problem, query: total(local_newton(design(p), p.labels, problem, query) for p in parts),
        setup,
        MODELS,
        SIMULATION,
    )


def recalibration(parts):
    def ask(problem, query):
        return total(
            local_newton(logits(p.scores[0])[:, np.newaxis], p.labels, problem, query) for p in parts
        )

    summary = total(local_calibration(p.scores[0], p.labels) for p in parts)
    return recalibrate(ask, [summary], SIMULATION)


def scaled(parts):
    magnitude = magnitude_of(total(local_magnitude(p.features.T) for p in parts))
    return scaling_of(total(local_scaling(p.features.T, magnitude) for p in parts), magnitude)


def lasso(parts):
    scale = scaled(parts)
    return finish_lasso(
        total(local_gram(p.features.T, p.labels, p.folds, 2, scale) for p in parts), minima=SIMULATION
    )


def prescreen(parts):
    scale = scaled(parts)
    summary = total(local_prescreen(p.features.T, p.labels, p.folds, 2, scale) for p in parts)
    result = finish_prescreen(summary, scale, SIMULATION)
    # Features of equal correlation but for rounding may change places.
    return replace(result, kept=()), summary.counts["classes"], summary.reals["products"]


def flow(part):
    reasons = [int(np.sum(part.codes == code)) for code in (0, 1)]
    positive = int(np.sum(part.labels & (part.codes > 1)))
    negative = int(np.sum(~part.labels & (part.codes > 1)))
    return local_flow(sum(reasons) + positive + negative, reasons, positive, negative)


STATISTICS = {
    "roc": one_round(
        lambda p: local_roc(p.scores, p.labels, SCORES),
        lambda s: [finish_roc(s, SCORES, kind, SIMULATION, 1) for kind in ("logit-delong", "mc_binomial")],
    ),
    "youden": one_round(
        lambda p: local_roc(p.scores, p.labels, SCORES), lambda s: finish_youden(s, SCORES, SIMULATION)
    ),
    "subgroups": one_round(
        lambda p: local_subgroups(p.scores[0], p.labels, p.parts, 2, SCORES),
        lambda s: finish_subgroups(s, SCORES, minima=SIMULATION),
    ),
    "delong": delong,
    "confusion": one_round(
        lambda p: local_confusion(p.scores, p.labels, 0.5), lambda s: finish_confusion(s, minima=SIMULATION)
    ),
    "mcnemar": one_round(
        lambda p: local_mcnemar(p.scores, p.labels, 0.5), lambda s: finish_mcnemar(s, 0, minima=SIMULATION)
    ),
    "calibration": one_round(
        lambda p: local_calibration(p.scores[0], p.labels), lambda s: finish_calibration(s, SIMULATION)
    ),
    "recalibration": recalibration,
    "decision": one_round(
        lambda p: local_decision(p.scores[0], p.labels, THRESHOLDS),
        lambda s: finish_decision(s, THRESHOLDS, SIMULATION),
    ),
    "decision difference": one_round(
        lambda p: local_decision_difference(p.scores, p.labels, THRESHOLDS),
        lambda s: finish_decision_difference(s, THRESHOLDS, SIMULATION),
    ),
    "descriptive": one_round(
        lambda p: local_descriptive(p.values, p.labels.astype(np.int64), 2, GRID),
        lambda s: finish_descriptive(s, GRID, SIMULATION),
    ),
    "contingency": one_round(
        lambda p: local_contingency(p.codes, p.labels.astype(np.int64), 2, 3),
        lambda s: finish_contingency(s, SIMULATION),
    ),
    "table one": one_round(
        lambda p: local_table_one([p.values, p.codes], p.labels.astype(np.int64), VARIABLES),
        lambda s: finish_table_one(s, VARIABLES, SIMULATION),
    ),
    "kappa": one_round(
        lambda p: local_kappa(p.codes, p.parts, 3), lambda s: finish_kappa(s, "linear", SIMULATION)
    ),
    "icc": one_round(
        lambda p: local_icc(p.features.T[np.newaxis], np.zeros(1)),
        lambda s: [finish_icc(s, form, SIMULATION) for form in ("ICC(1,1)", "ICC(2,1)", "ICC(3,k)")],
    ),
    "regression": regression,
    "lasso": lasso,
    "prescreen": prescreen,
    "flow": one_round(flow, lambda s: finish_flow(s, ("age", "surgery"), SIMULATION)),
    "guard": one_round(
        lambda p: local_guard(np.tile(p.codes >= 0, (4, 1)), p.labels),
        # How many sites contribute is the one number that a split changes.
        lambda s: [replace(result, sites=0) for result in finish_guard(s, DEMANDS, SIMULATION)],
    ),
}


def leaves(result):
    """All numbers and words of a result, in order."""
    if is_dataclass(result):
        return [leaf for field in fields(result) for leaf in leaves(getattr(result, field.name))]
    if isinstance(result, np.ndarray):
        return leaves(result.tolist())
    if isinstance(result, list | tuple):
        return [leaf for item in result for leaf in leaves(item)]
    return [result]


def same(one, other):
    """Equal but for the last digits of a float."""
    pairs = (leaves(one), leaves(other))
    return len(pairs[0]) == len(pairs[1]) and all(
        isclose(a, b, rel_tol=1e-7, abs_tol=1e-8) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(*pairs, strict=True)
    )


def repeat_each_other(features):
    """Whether some feature is a linear function of others."""
    centred = features - features.mean(axis=1, keepdims=True)
    varying = centred[centred.any(axis=1)]
    return np.linalg.matrix_rank(varying) < len(varying)


@pytest.mark.parametrize("name", STATISTICS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_split_changes_nothing(name, data):
    patients = data.draw(PATIENTS_ANY)
    spread = [patients.at(rows) for rows in data.draw(sites(patients))]
    assume(patients.features.std() > 0)
    # Of features that repeat each other the LASSO may keep any: its minimum is no single point
    assume(name != "lasso" or not repeat_each_other(patients.features))

    assert same(STATISTICS[name](spread), STATISTICS[name]([patients]))


def test_comparison_can_fail():
    random = np.random.default_rng(0)
    patients = Patients(
        np.arange(PATIENTS) % 3 == 0,
        (random.integers(0, BINS, (2, PATIENTS)) + 0.5) / BINS,
        random.integers(0, 40, PATIENTS) / 2,
        random.integers(0, 3, PATIENTS),
        random.integers(0, 2, PATIENTS),
        random.integers(0, 2, PATIENTS),
        random.integers(-3, 4, (3, PATIENTS)).astype(np.float64),
    )
    half = patients.at(np.arange(PATIENTS // 2))

    for name, statistic in STATISTICS.items():
        assert not same(statistic([half]), statistic([patients])), name
