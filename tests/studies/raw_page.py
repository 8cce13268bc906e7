"""What the page itself computes, once more from the raw scores: verdicts, risks, predictive values, forests.

By the definitions; the page's own tables are read as they are printed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from studies.raw_rows import RawRows, Z, count_wins, covariance_of

from common.stats.estimate import Estimate
from server.report.carry_over import Direction, build_directions
from server.report.centre_forests import build_forests
from server.report.federated_local import build_federated_table
from server.report.predictive_tables import PREVALENCES, build_predictive_tables, list_operating_points
from server.report.printed import TableEntry
from server.report.subject import Subject, find_cell, find_shared_cohorts, subject_of
from server.report.verdicts import VERDICTS
from server.results.comparison import Comparison, Comparisons
from server.results.evaluation import Cell
from server.results.file import Results

CLIP = 1e-6
HALF_A_DIGIT = 0.000501
_Limits = tuple[float, float, float]


@dataclass(frozen=True)
class Recount:
    """The raw scores and outcomes of a cell's patients who have a score."""

    scores: np.ndarray
    labels: np.ndarray

    def count_auc(self) -> float:
        """The share of pairs of patients that the scores order rightly."""
        return float(count_wins(self.scores, self.labels).mean())

    def measure_auc(self, method: str) -> Sequence[float]:
        """The AUC and its limits by DeLong, on the logit scale if the plan says so; alone if it is 0 or 1."""
        auc = self.count_auc()
        if auc in {0.0, 1.0}:
            return (auc,)
        error = float(np.sqrt(covariance_of(self.scores[np.newaxis], self.labels)[0, 0]))
        if method == "delong":
            return auc, max(0.0, auc - Z * error), min(1.0, auc + Z * error)
        half = Z * error / (auc * (1 - auc))
        return auc, float(expit(logit(auc) - half)), float(expit(logit(auc) + half))

    def fit_intercept(self) -> _Limits:
        """Calibration in the large: the shift of all logits that makes the mean risk right."""
        offset = logit(np.clip(self.scores, CLIP, 1 - CLIP))
        shift = brentq(lambda a: float(np.sum(expit(offset + a) - self.labels)), -60, 60, xtol=1e-13)
        risks = expit(offset + shift)
        half = Z / np.sqrt(np.sum(risks * (1 - risks)))
        return float(shift), float(shift - half), float(shift + half)

    def fit_slope(self) -> _Limits:
        """The slope of a logistic regression of the outcome on the logit."""
        x = np.column_stack(
            [np.ones(len(self.scores)), logit(np.clip(self.scores, CLIP, 1 - CLIP))],
        )
        signs = np.where(self.labels, 1.0, -1.0)

        def measure_loss(beta: np.ndarray) -> float:
            return float(np.logaddexp(0, -signs * (x @ beta)).sum())

        beta = minimize(measure_loss, np.zeros(2), method="BFGS").x
        for _ in range(50):
            risks = expit(x @ beta)
            information = x.T @ (x * (risks * (1 - risks))[:, np.newaxis])
            beta = beta + np.linalg.solve(information, x.T @ (self.labels - risks))
        half = Z * np.sqrt(np.linalg.inv(information)[1, 1])
        return float(beta[1]), float(beta[1] - half), float(beta[1] + half)

    def rate(self, threshold: float, *, outcome: bool) -> _Limits:
        """Sensitivity, or specificity, of calls from the threshold on, with Wilson's limits."""
        called = self.scores[self.labels == outcome] >= threshold
        return wilson_of(int(np.sum(called == outcome)), len(called))

    def benefit(self, threshold: float, *, beyond_all: bool = False) -> _Limits:
        """Net benefit of each patient's call, less that of treating everybody if asked: mean and limits."""
        weight = threshold / (1 - threshold)
        worth = np.where(self.labels, 1.0, -weight)
        each = (self.scores >= threshold) * worth - (worth if beyond_all else 0.0)
        half = Z * each.std() / np.sqrt(len(each))
        return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def wilson_of(hits: int, n: int) -> _Limits:
    """A share with Wilson's limits."""
    share, squared = hits / n, Z**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = Z * np.sqrt(share * (1 - share) / n + squared / (4 * n * n)) / (1 + squared / n)
    return share, float(middle - half), float(middle + half)


def recount(rows: RawRows, cell: Cell) -> Recount:
    """The raw rows of a cell."""
    scores, labels = rows.take([(cell.model, cell.arm)], cell.cohort_sites, cell.part)
    known = ~np.isnan(scores[0])
    return Recount(scores[0, known], labels[known])


def compare_page_with_raw_rows(results: Results, rows: RawRows) -> int:
    """Compare what the page prints beyond the results' own numbers; how many numbers were compared."""
    subject = subject_of(results)
    compared = sum(_compare_direction(subject, one, rows) for one in build_directions(subject))
    compared += sum(_compare_calibration(cell, recount(rows, cell)) for cell in results.evaluation)
    compared += _compare_federated(subject, rows)
    compared += _compare_predictive(subject, rows)
    return compared + _compare_forests(subject, rows)


def _read(entry: TableEntry) -> list[float]:
    """The numbers of an entry, its value first, whose interval stands below it or in brackets."""
    text = f"{entry.text} {entry.below}".replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", " ")
    return [float(word) for word in text.replace("(", " ").replace(")", " ").replace("to", " ").split()]


def _check(entry: TableEntry, expected: Sequence[float], what: object) -> int:
    if entry.absent or not (entry.text[-1:].isdigit() or ")" in entry.text):
        return 0
    printed = _read(entry)[: len(expected)]
    assert printed == pytest.approx(list(expected[: len(printed)]), abs=HALF_A_DIGIT), what
    return len(printed)


def _compare_direction(subject: Subject, direction: Direction, rows: RawRows) -> int:
    """Each line of the table "Every model there", and its word."""
    compared = 0
    for model, line in _list_models(subject, direction):
        cell = find_cell(subject, (model, direction.size.arm), direction.size)
        if cell is None or cell.auc.value is None or cell.calibration is None:
            continue
        raw = recount(rows, cell)
        threshold = subject.results.study.threshold if cell.threshold is None else cell.threshold
        gain = raw.benefit(threshold, beyond_all=True)
        expected = {
            1: raw.measure_auc(subject.results.study.interval),
            3: raw.fit_intercept() if cell.calibration.intercept.value is not None else (),
            4: raw.fit_slope() if cell.calibration.slope.value is not None else (),
            6: raw.rate(threshold, outcome=True),
            7: raw.rate(threshold, outcome=False),
            8: raw.benefit(threshold),
            9: gain,
        }
        for place, numbers in expected.items():
            compared += _check(line[place], numbers, (model, place))
        assert line[0].text == _judge_again(cell, raw, expected), model
    return compared


def _list_models(subject: Subject, direction: Direction) -> Iterator[tuple[str, tuple[TableEntry, ...]]]:
    names = {model.title: model.name for model in subject.models}
    for line in direction.table.lines:
        if line.entries[0].text != "given score":
            yield names[line.label], line.entries


def _judge_again(cell: Cell, raw: Recount, numbers: dict[int, Sequence[float]]) -> str:
    """The verdict by the page's stated rules, from the intervals that were just computed."""
    _, low, high = numbers[1] if len(numbers[1]) == 3 else _list(cell.auc)
    useful = numbers[8][1] > 0 and numbers[9][1] > 0
    if high is not None and high < 0.5:
        return VERDICTS["does not carry over"]
    if low is None or low <= 0.5:
        return VERDICTS["not shown"]
    if not useful:
        return VERDICTS["ranks only"]
    wrong = any(
        interval and not interval[1] <= right <= interval[2]
        for interval, right in ((numbers[3], 0.0), (numbers[4], 1.0))
    )
    worse = any(test.difference.high is not None and test.difference.high < 0 for test in cell.from_internal)
    small = min(np.sum(raw.labels), np.sum(~raw.labels)) < 100
    known = all(test.difference.low is not None for test in cell.from_internal) and cell.from_internal
    return VERDICTS["in part" if wrong or worse or small or not known else "carries over"]


def _compare_calibration(cell: Cell, raw: Recount) -> int:
    compared = 0
    if cell.calibration is None or cell.auc.value is None:
        return compared
    for estimate, fit in (
        (cell.calibration.intercept, raw.fit_intercept),
        (cell.calibration.slope, raw.fit_slope),
    ):
        if estimate.value is not None:
            expected = fit()
            assert _list(estimate) == pytest.approx(expected, rel=1e-5, abs=1e-6), (cell.model, cell.arm)
            compared += 3
    return compared


def _list(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.value, estimate.low, estimate.high


def _compare_federated(subject: Subject, rows: RawRows) -> int:
    """The table "federated against local": both AUCs and their paired difference."""
    table = build_federated_table(subject)
    compared = 0
    for line in () if table is None else table.lines:
        for group in subject.results.comparisons:
            if subject.centres.name_cohort(group) != line.label:
                continue
            for pair in group.pairs:
                if (pair.first_model == pair.second_model) and pair.difference.value is not None:
                    compared += _compare_pair(subject, pair, group, (line.entries, rows))
    return compared


def _compare_pair(
    subject: Subject, pair: Comparison, group: Comparisons, printed: tuple[Sequence[TableEntry], RawRows]
) -> int:
    entries, rows = printed
    arm = subject.name_arm_of(pair.second_model, pair.second_arm)
    if entries[0].text != arm or pair.first_arm != "federated":
        return 0
    contenders = [(pair.first_model, pair.first_arm), (pair.second_model, pair.second_arm)]
    scores, labels = rows.take(contenders, group.cohort_sites, group.part)
    known = ~np.isnan(scores).any(axis=0)
    first, second = (float(count_wins(row[known], labels[known]).mean()) for row in scores)
    c = covariance_of(scores[:, known], labels[known])
    half = Z * np.sqrt(max(0.0, c[0, 0] + c[1, 1] - 2 * c[0, 1]))
    difference = first - second
    compared = _check(entries[1], (first,), contenders) + _check(entries[2], (second,), contenders)
    limits = (difference, max(-1.0, difference - half), min(1.0, difference + half))
    at_an_edge = {first, second} & {0.0, 1.0}
    return compared + _check(entries[3], limits[:1] if at_an_edge else limits, contenders)


def _compare_predictive(subject: Subject, rows: RawRows) -> int:
    """PPV and NPV of the reference at each printed threshold and prevalence, by Bayes' rule."""
    cohorts = {cohort.label: cohort.cells[0] for cohort in find_shared_cohorts(subject) if cohort.large}
    compared = 0
    for table in build_predictive_tables(subject):
        cell = cohorts[table.label]
        raw = recount(rows, cell)
        points = list_operating_points(cell, subject.results.study.threshold)
        for point, line in zip(points, table.by_threshold.lines, strict=True):
            rates = [raw.rate(point.threshold, outcome=outcome) for outcome in (True, False)]
            for entry, rate in zip(line.entries[:2], rates, strict=True):
                compared += _check(entry, rate, (table.label, point.threshold))
            for place, share in enumerate(PREVALENCES):
                odds = share / (1 - share)
                sensitivity, specificity = rates
                values = (
                    _solve_share(sensitivity, specificity, odds),
                    _solve_share(specificity, sensitivity, 1 / odds),
                )
                for entry, expected in zip(line.entries[2 + 2 * place : 4 + 2 * place], values, strict=True):
                    compared += _check(entry, expected, (table.label, point.threshold, share))
    return compared


def _solve_share(right: _Limits, other: _Limits, odds: float) -> _Limits:
    """Of those called so, the share who are so; its limits solve Donner and Zou's equations (2012)."""
    a, a_low, a_high = right
    b, b_low, b_high = 1 - other[0], 1 - other[2], 1 - other[1]
    if not a * odds + b:
        return np.nan, np.nan, np.nan

    def reach_low(ratio: float) -> float:
        return float(a - ratio * b - np.hypot(a - a_low, ratio * (b_high - b)))

    def reach_high(ratio: float) -> float:
        return float(ratio * b - a - np.hypot(a_high - a, ratio * (b - b_low)))

    low = brentq(reach_low, 0, 1e9) if a_low > 0 else 0.0
    high = brentq(reach_high, a / b if b else 0, 1e9) if b_low > 1e-12 else np.inf
    upper = high * odds / (high * odds + 1) if np.isfinite(high) else 1.0
    return a * odds / (a * odds + b), low * odds / (low * odds + 1), upper


def _compare_forests(subject: Subject, rows: RawRows) -> int:
    """Every line of the forests by centre has the raw AUC of the very patients whom it names."""
    compared = 0
    for forest in build_forests(subject):
        for line in forest.lines:
            auc = line.estimates[0]
            if auc is not None and auc.value is not None:
                assert len(line.cell.cohort_sites) == 1
                assert line.centre.startswith(line.cell.cohort_sites[0])
                raw = recount(rows, line.cell)
                assert auc.value == pytest.approx(raw.count_auc(), abs=1e-12), line.centre
                compared += 1
    return compared
