"""Every printed number of an evaluation once more, from the raw scores of all sites together.

By the definitions, without bins, sums or any function of the product's statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from scipy.special import expit, logit
from scipy.stats import binomtest, chi2, norm, rankdata

from client.answers.score_store import ScoreStore
from client.answers.scoreboard import Scoreboard, open_scoreboard
from common.plan.matrix import Part, scorers_of
from common.plan.study import ScoresModel, StudyPlan
from server.results.comparison import Comparison, Comparisons
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.seed_spread import SeedSpread
from server.run import StudyRun
from simulations.backends.in_process import open_engines
from simulations.backends.parties import derive_simulated_key

Z = float(norm.isf(0.025))


@dataclass(frozen=True)
class RawRows:
    """The scores and outcomes of every site's patients.

    Attributes
    ----------
    boards : mapping of str to Scoreboard
        By the site's name.
    """

    boards: Mapping[str, Scoreboard]

    def take(
        self, contenders: Sequence[tuple[str, str]], sites: Sequence[str], part: Part
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores, shape (contenders, n), NaN where missing, and outcomes, shape (n,), of a cohort."""
        rows, labels = [], []
        for site in sites:
            board = self.boards[site]
            names = [(scorer.model.name, scorer.arm.name) for scorer in scorers_of(board.plan)]
            members = board.find_members(part)
            rows.append(board.scores[[names.index(contender) for contender in contenders]][:, members])
            labels.append(board.labels[members])
        return np.concatenate(rows, axis=1), np.concatenate(labels)


def open_rows(plan: StudyPlan, folders: Mapping[str, Path], out: Path) -> RawRows:
    """The raw rows of a finished study of this process, from the sites' folders and what they kept."""
    run = StudyRun(plan, out, derive_simulated_key(plan), resume=True)
    engines = open_engines(run, folders, Progress(disable=True))
    boards = {}
    for name, engine in engines.items():
        cases = engine.open_patients().prepared.cases
        store = ScoreStore(out / "sites" / name / "scores", plan.digest())
        boards[name] = open_scoreboard(plan, name, cases, store)
    return RawRows(boards)


def compare_with_raw_rows(results: Results, rows: RawRows) -> int:
    """Compare every cell, spread, pair and omnibus test of the results; the number of numbers compared."""
    compared = sum(_compare_cell(results, cell, rows) for cell in results.evaluation)
    compared += sum(_compare_spread(spread, rows) for spread in results.seed_spreads)
    for table in results.comparisons:
        compared += sum(_compare_pair(table, pair, rows) for pair in table.pairs)
        compared += _compare_omnibus(table, rows)
    return compared


def count_wins(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each positive patient's score is above each negative's; a tie is a half."""
    return (np.sign(scores[labels][:, np.newaxis] - scores[~labels]) + 1) / 2


def covariance_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """DeLong's covariance of the AUCs of all scores, from the kernel of every pair of patients."""
    wins = np.stack([count_wins(row, labels) for row in scores])
    return np.atleast_2d(np.cov(wins.mean(axis=2))) / labels.sum() + np.atleast_2d(
        np.cov(wins.mean(axis=1))
    ) / np.sum(~labels)


def _compare_cell(results: Results, cell: Cell, rows: RawRows) -> int:
    if cell.auc.value is None:
        return 0
    scores, labels = rows.take([(cell.model, cell.arm)], cell.cohort_sites, cell.part)
    known = ~np.isnan(scores[0])
    row, labels = scores[0, known], labels[known]
    where = f"{cell.model}, {cell.arm}, {cell.cohort_sites}, {cell.part}"
    auc = count_wins(row, labels).mean()
    assert cell.auc.value == pytest.approx(auc, abs=1e-12), where
    assert (cell.auc_error_bound, cell.auc_interval_bound or 0.0) == (0.0, 0.0), where
    assert (cell.positive, cell.negative) == (labels.sum(), (~labels).sum()), where
    assert cell.missing == np.sum(~known), where
    if cell.auc.low is None:
        assert min(labels.sum(), (~labels).sum()) < 2 or len(set(row)) == 1, where
    elif cell.auc.method in {"logit-delong", "delong"}:
        limits = _find_limits(auc, covariance_of(row[np.newaxis], labels)[0, 0], cell.auc.method)
        assert (cell.auc.low, cell.auc.high) == pytest.approx(limits, abs=1e-9), where
    _compare_calls(results, cell, row, labels)
    return 12 + _compare_benefit(cell, row, labels) + _compare_with_internal(cell, (row, labels), rows)


def _compare_benefit(cell: Cell, row: np.ndarray, labels: np.ndarray) -> int:
    """The decision curve: net benefit of each patient's call, its mean and its standard error."""
    for point in cell.decision:
        weight = point.threshold / (1 - point.threshold)
        worth = (row >= point.threshold) * np.where(labels, 1.0, -weight)
        half = Z * worth.std() / np.sqrt(len(row))
        expected = (worth.mean(), worth.mean() - half, worth.mean() + half)
        assert (point.model, point.low, point.high) == pytest.approx(expected, abs=1e-9), cell.model
        assert point.treat_all == pytest.approx(np.where(labels, 1.0, -weight).mean(), abs=1e-12)
    return 4 * len(cell.decision)


def _compare_with_internal(cell: Cell, known: tuple[np.ndarray, np.ndarray], rows: RawRows) -> int:
    """The AUC at a new centre against that of held-out patients: difference and unpaired interval."""
    compared = 0
    for test in cell.from_internal:
        scores, labels = rows.take([(cell.model, cell.arm)], test.cohort_sites, "test")
        here = ~np.isnan(scores[0])
        samples = (known, (scores[0, here], labels[here]))
        there, home = (count_wins(*sample).mean() for sample in samples)
        if test.difference.value is None:
            continue
        assert test.difference.value == pytest.approx(there - home, abs=1e-12)
        if not {there, home} & {0.0, 1.0}:
            variance = sum(covariance_of(row[np.newaxis], of)[0, 0] for row, of in samples)
            half = Z * np.sqrt(variance)
            limits = (max(-1.0, there - home - half), min(1.0, there - home + half))
            assert (test.difference.low, test.difference.high) == pytest.approx(limits, abs=1e-9)
        compared += 3
    return compared


def _compare_spread(spread: SeedSpread, rows: RawRows) -> int:
    """The AUC of each training of a network, with its limits, and what sums them up."""
    aucs = []
    for one in spread.trainings:
        scores, labels = rows.take([(one.trained_as, spread.arm)], spread.cohort_sites, spread.part)
        known = ~np.isnan(scores[0])
        row, labels = scores[0, known], labels[known]
        aucs.append(count_wins(row, labels).mean())
        assert one.auc.value == pytest.approx(aucs[-1], abs=1e-12), one.trained_as
        assert (spread.positive, spread.negative) == (labels.sum(), (~labels).sum()), one.trained_as
        if one.auc.method in {"logit-delong", "delong"}:
            limits = _find_limits(aucs[-1], covariance_of(row[np.newaxis], labels)[0, 0], one.auc.method)
            assert (one.auc.low, one.auc.high) == pytest.approx(limits, abs=1e-9), one.trained_as
    expected = (min(aucs), np.median(aucs), max(aucs), np.std(aucs, ddof=1))
    assert (spread.lowest, spread.median, spread.highest, spread.sd) == pytest.approx(expected, abs=1e-12)
    return 5 * len(aucs) + 4


def _find_limits(auc: float, variance: float, method: str) -> tuple[float, float]:
    error = np.sqrt(variance)
    if method == "delong":
        return max(0.0, auc - Z * error), min(1.0, auc + Z * error)
    half = Z * error / (auc * (1 - auc))
    return float(expit(logit(auc) - half)), float(expit(logit(auc) + half))


def _compare_calls(results: Results, cell: Cell, row: np.ndarray, labels: np.ndarray) -> None:
    model = next(m for m in results.study.plan["models"] if m["name"] == cell.model)
    threshold = 0.5 if cell.threshold is None else cell.threshold
    if model.get("kind") == "scores":
        threshold = ScoresModel.model_validate(model).scale(threshold)
    called = row >= threshold
    counts = (sum(called & labels), sum(~called & labels), sum(called & ~labels), sum(~called & ~labels))
    matrix = cell.confusion
    printed = (matrix.true_positive, matrix.false_negative, matrix.false_positive, matrix.true_negative)
    assert all(shown in {None, count} for shown, count in zip(printed, counts, strict=True)), cell.model
    if cell.accuracy.value is not None:
        assert cell.accuracy.value == pytest.approx(np.mean(called == labels))
    if cell.calibration is not None and cell.calibration.brier.value is not None:
        assert cell.calibration.brier.value == pytest.approx(np.mean((row - labels) ** 2), rel=1e-9)


def _compare_pair(table: Comparisons, pair: Comparison, rows: RawRows) -> int:
    if pair.difference.value is None:
        return 0
    contenders = [(pair.first_model, pair.first_arm), (pair.second_model, pair.second_arm)]
    scores, labels = rows.take(contenders, table.cohort_sites, table.part)
    complete = ~np.isnan(scores).any(axis=0)
    two, labels = scores[:, complete], labels[complete]
    where = f"{contenders}, {table.cohort_sites}, {table.part}"
    assert (pair.used, pair.missing) == (complete.sum(), (~complete).sum()), where
    first, second = (count_wins(row, labels).mean() for row in two)
    assert pair.difference.value == pytest.approx(first - second, abs=1e-12), where
    c = covariance_of(two, labels)
    error = np.sqrt(max(0.0, c[0, 0] + c[1, 1] - 2 * c[0, 1]))
    ranks = rankdata(two, method="dense", axis=1)
    p = 1.0 if (ranks[0] == ranks[1]).all() else 2 * norm.sf(abs(first - second) / error)
    assert pair.p_value == pytest.approx(p, rel=1e-7), where
    assert (pair.p_least, pair.p_most) == (pair.p_value, pair.p_value), where
    return 5 + _compare_discordance(table, pair, (two, labels), rows)


def _compare_discordance(
    table: Comparisons, pair: Comparison, known: tuple[np.ndarray, np.ndarray], rows: RawRows
) -> int:
    """McNemar's tests, where both models have one threshold of risk; of other thresholds nothing is said."""
    plan = rows.boards[table.cohort_sites[0]].plan
    of_their_own = {model.name for model in plan.scores if model.threshold is not None}
    if plan.evaluation.operating_point != "fixed" or of_their_own & {pair.first_model, pair.second_model}:
        return 0
    scores, labels = known
    right = (scores >= plan.evaluation.threshold) == labels
    for test, of_class in ((pair.sensitivity, labels), (pair.specificity, ~labels)):
        b = int(np.sum(right[0] & ~right[1] & of_class))
        c = int(np.sum(right[1] & ~right[0] & of_class))
        if test.standing.kind == "ok":
            assert (test.only_first, test.only_second) == (b, c)
            if test.method == "exact":
                assert test.p_value == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0)
    return 6


def _compare_omnibus(table: Comparisons, rows: RawRows) -> int:
    if table.chi_squared is None:
        return 0
    first = table.pairs[0]
    contenders = [(first.first_model, first.first_arm)]
    contenders += [(pair.second_model, pair.second_arm) for pair in table.pairs]
    scores, labels = rows.take(contenders, table.cohort_sites, table.part)
    complete = ~np.isnan(scores).any(axis=0)
    scores, labels = scores[:, complete], labels[complete]
    assert (table.used, table.missing) == (complete.sum(), (~complete).sum())
    aucs = np.array([count_wins(row, labels).mean() for row in scores])
    contrasts = np.eye(len(aucs))[1:] - np.eye(len(aucs))[0]
    spread = contrasts @ covariance_of(scores, labels) @ contrasts.T
    difference = contrasts @ aucs
    statistic = difference @ np.linalg.pinv(spread, rcond=1e-10, hermitian=True) @ difference
    assert table.chi_squared == pytest.approx(statistic, rel=1e-5)
    freedom = table.degrees_of_freedom or 0
    assert table.p_value == pytest.approx(float(chi2.sf(table.chi_squared, freedom)), rel=1e-9)
    return 5
