"""AUC against sorting, paired DeLong against scikit-learn, and the paper's tables from two sites."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np
from sklearn.metrics import roc_auc_score

from common.stats.confusion import finish_confusion, local_confusion
from common.stats.contract import total
from common.stats.covariates import Model, Term, local_setup
from common.stats.delong import compare_aucs, finish_delong, local_delong, placements_of
from common.stats.glm import fit
from common.stats.newton import local_newton
from common.stats.recording_grid import RecordingGrid
from common.stats.roc import finish_roc, local_roc
from common.stats.score_grid import ScoreGrid
from common.stats.table_one import Categorical, Continuous, finish_table_one, local_table_one
from common.types import Flags, Reals
from tests.bench.measurement import Effort, Measurement, compare_times, measure_seconds

CONTINUOUS = tuple(Continuous(f"c{index}", RecordingGrid(0, 0.01, 30_001)) for index in range(7))
CATEGORICAL = tuple(Categorical(f"b{index}", ("no", "yes")) for index in range(20))
VARIABLES = (*CONTINUOUS, *CATEGORICAL)
"""27, as many as the paper screens."""

GRID = ScoreGrid.with_fine_ends(1000)
"""As a plan's scores are first counted."""


def make_cohort(n: int, models: int) -> tuple[Reals, Flags]:
    """Scores of several models, and the outcome."""
    random = np.random.default_rng(0)
    labels = random.random(n) < 0.4
    return np.clip(random.normal(0.4 + 0.2 * labels, 0.2, (models, n)), 0, 1), labels


def compare_pairs(scores: Reals, labels: Flags) -> object:
    """All models compared with the first, in two rounds."""
    first = [local_roc(row, labels, GRID) for row in scores]
    grids, placements = [GRID] * len(scores), [placements_of(one) for one in first]
    covariance = finish_delong(first, grids, local_delong(scores, labels, grids, placements))
    return compare_aucs(covariance, tuple((0, other) for other in range(1, len(scores))))


def make_design(n: int) -> tuple[Reals, Flags]:
    """Seven numbers and twenty signs of n patients, and the outcome."""
    random = np.random.default_rng(1)
    labels = random.random(n) < 0.33
    numbers = random.gamma(4, 20, (n, 7)).round(2)
    signs = random.random((n, 20)) < 0.3 + 0.15 * labels[:, np.newaxis]
    return np.column_stack([numbers, signs]).astype(np.float64), labels


def fit_univariate(matrix: Reals, labels: Flags, sites: int = 2) -> object:
    """A logistic model of each column."""
    models = tuple(Model((Term(f"x{column}", (column,), binary=column >= 7),)) for column in range(27))
    return _fit(matrix, labels, models, sites)


def _fit(matrix: Reals, labels: Flags, models: tuple[Model, ...], sites: int) -> object:
    parts = [(matrix[site::sites], labels[site::sites]) for site in range(sites)]
    setup = total(local_setup(x, y, models) for x, y in parts)
    return fit(
        lambda problem, query: total(local_newton(x, y, problem, query) for x, y in parts), setup, models
    )


def make_tables(matrix: Reals, labels: Flags, scores: Reals) -> object:
    """Tables 1, 2 and 3 from two sites."""
    half = (slice(None, None, 2), slice(1, None, 2))
    groups = labels.astype(np.int64)
    columns = [*matrix.T[:7], *matrix.T[7:].astype(np.int64)]
    table_one = total(
        local_table_one([column[site] for column in columns], groups[site], VARIABLES) for site in half
    )
    joint = (Model(tuple(Term(f"x{column}", (column,), binary=column >= 7) for column in range(27))),)
    roc = total(local_roc(scores[:, site], labels[site], GRID) for site in half)
    counts = total(local_confusion(scores[:, site], labels[site], 0.5) for site in half)
    return (
        finish_table_one(table_one, VARIABLES),
        fit_univariate(matrix, labels),
        _fit(matrix, labels, joint, 2),
        [(finish_roc(roc, GRID, model=m), finish_confusion(counts, model=m)) for m in range(len(scores))],
    )


def fit_one_by_one(matrix: Reals, labels: Flags) -> object:
    """What `fit_univariate` says of each model, by statsmodels: coefficients, errors, P, intervals, LR."""
    statsmodels = import_module("statsmodels.api")
    results = []
    for column in matrix.T:
        fitted = statsmodels.Logit(labels.astype(np.float64), statsmodels.add_constant(column)).fit(disp=0)
        results.append((fitted.params, fitted.bse, fitted.pvalues, fitted.conf_int(), fitted.llr_pvalue))
    return results


def compare_univariate(matrix: Reals, labels: Flags, effort: Effort) -> list[Measurement]:
    """27 models against statsmodels, which the project needs for nothing else: only where it is installed."""
    if find_spec("statsmodels") is None:
        return []
    return [
        compare_times(
            "27 univariate models by statsmodels, one by one / in one loop over two sites",
            10.0,
            lambda: fit_one_by_one(matrix, labels),
            lambda: fit_univariate(matrix, labels),
            effort,
        )
    ]


def run(effort: Effort) -> list[Measurement]:
    """The specification's ratios of the statistics."""
    scores, labels = make_cohort(effort.choose(1_000_000, 1000), 1)
    many, outcome = make_cohort(effort.choose(100_000, 1000), 14)
    matrix, cases = make_design(effort.choose(775, 200))
    table_scores, _ = make_cohort(len(matrix), 12)
    tables_s = min(
        measure_seconds(lambda: make_tables(matrix, cases, table_scores)) for _ in range(effort.repeats(3))
    )
    return [
        *compare_univariate(matrix, cases, effort),
        compare_times(
            "sorting 10^6 scores / AUC with DeLong variance",
            1 / 1.5,
            lambda: np.sort(scores[0]),
            lambda: finish_roc(local_roc(scores, labels, GRID), GRID),
            effort,
        ),
        compare_times(
            "scikit-learn's AUC x 14 / paired DeLong of 14 models, 10^5 patients",
            1.0,
            lambda: [roc_auc_score(outcome, row) for row in many],
            lambda: compare_pairs(many, outcome),
            effort,
        ),
        Measurement(
            "Tables 1 to 3, 775 patients, two sites / 2 s", tables_s / 2, 1.0, "at most", f"{tables_s:.2f} s"
        ),
    ]
