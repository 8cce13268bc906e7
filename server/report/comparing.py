"""Models compared on the same patients: the bars of the paper's Fig. 7 and the tests for its asterisks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.stats.decision_difference import BenefitDifference
from common.stats.estimate import Estimate
from common.stats.mcnemar import McNemarResult
from server.report.auc_words import describe_bounds, format_bound
from server.report.bars import Bar, draw_bars
from server.report.cohorts import CohortKey, key_of
from server.report.drawing import Picture
from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
    enter_estimate,
    enter_p_value,
    enter_value,
)
from server.report.subject import Subject, find_cell, find_shared_cohorts
from server.report.words import (
    ALPHA,
    WITHHELD,
    explain_standing,
    format_bounds,
    format_count,
    format_number,
    format_p_value,
    format_pair,
)
from server.results.comparison import Comparison, Comparisons
from server.results.evaluation import Cell


@dataclass(frozen=True)
class ComparedCohort:
    """One reference against other models on one cohort.

    Attributes
    ----------
    label : str
        The cohort in words.
    large : bool
        Whether every model can be judged on it, and no other such cohort contains all its centres.
    opens : bool
        Whether it is shown at once: the first of its large cohort.
    reference : str
        The reference in words.
    omnibus : str
        The test of the hypothesis that all models of the table have the same AUC, in words.
    bars : Picture or None
        None where no number may be shown.
    table : PrintedTable
        Differences of AUC and discordant calls.
    net_benefit : PrintedTable or None
        Differences of net benefit by threshold; None if no pair has them.
    """

    label: str
    large: bool
    opens: bool
    reference: str
    omnibus: str
    bars: Picture | None
    table: PrintedTable
    net_benefit: PrintedTable | None


def build_comparisons(subject: Subject) -> tuple[ComparedCohort, ...]:
    """Every cohort and reference; internal tests first, centres together before single centres."""
    comparisons = subject.results.comparisons
    order = [key_of(shared.cells[0]) for shared in find_shared_cohorts(subject)]
    large = {key_of(shared.cells[0]) for shared in find_shared_cohorts(subject) if shared.large}
    ordered = sorted(comparisons, key=lambda cohort: _rank_of(key_of(cohort), order))
    seen: set[CohortKey] = set()
    compared = []
    for cohort in ordered:
        key = key_of(cohort)
        compared.append(
            _compare_on_cohort(subject, cohort, large=key in large, opens=key in large and key not in seen)
        )
        seen.add(key)
    return tuple(compared)


def _rank_of(key: CohortKey, order: Sequence[CohortKey]) -> int:
    """The cohort's position; cohorts on which only some arms can be judged come last."""
    return order.index(key) if key in order else len(order)


def _compare_on_cohort(subject: Subject, table: Comparisons, *, large: bool, opens: bool) -> ComparedCohort:
    pairs = table.pairs
    return ComparedCohort(
        label=subject.centres.name_cohort(table),
        large=large,
        opens=opens,
        reference=subject.name_contender(pairs[0].first_model, pairs[0].first_arm),
        omnibus=_describe_omnibus(table),
        bars=_draw_bars(subject, table, pairs),
        table=build_comparison_table(subject, table, pairs),
        net_benefit=_build_net_benefit_table(subject, pairs),
    )


def _describe_omnibus(table: Comparisons) -> str:
    """The test of all models of the table, and on how many patients; a table of two needs none."""
    if len(table.pairs) == 1:
        return ""
    if table.chi_squared is None or table.p_value is None:
        return f"One AUC for all models of the table: {explain_standing(table.standing)}."
    sign = "" if table.p_value < 0.001 else "= "
    missing = "" if table.missing == 0 else f", {format_count(table.missing)} without one of them"
    return (
        f"One AUC for all models of the table, on {format_count(table.used)} patients with every score"
        f"{missing}: chi-squared {format_number(table.chi_squared, 2)}, "
        f"{table.degrees_of_freedom} degrees of freedom, P {sign}{format_p_value(table.p_value)}."
    )


def find_significant(comparison: Comparison) -> tuple[bool, bool, bool]:
    """Whether AUC, sensitivity and specificity differ significantly: the marks of Fig. 7."""
    auc = comparison.p_value if comparison.p_adjusted is None else comparison.p_adjusted
    tests = (auc, comparison.sensitivity.p_value, comparison.specificity.p_value)
    first, second, third = (value is not None and value < ALPHA for value in tests)
    return first, second, third


def _draw_bars(subject: Subject, cohort: Comparisons, pairs: Sequence[Comparison]) -> Picture | None:
    first = (pairs[0].first_model, pairs[0].first_arm)
    bars = [Bar(subject.name_contender(*first), _find_measures(subject, first, cohort))]
    for pair in pairs:
        other = (pair.second_model, pair.second_arm)
        bars.append(
            Bar(
                subject.name_contender(*other), _find_measures(subject, other, cohort), find_significant(pair)
            )
        )
    if all(estimate is None or estimate.value is None for bar in bars for estimate in bar.estimates):
        return None
    marked = "; ".join(_name_differences(bar) for bar in bars[1:] if any(bar.significant))
    alt = (
        f"AUC, sensitivity and specificity of {bars[0].label} and {len(pairs)} others, "
        f"{subject.centres.name_cohort(cohort)}. Significantly different: {marked or 'none'}"
    )
    return draw_bars(bars, alt)


def _name_differences(bar: Bar) -> str:
    names = [
        name
        for name, marked in zip(("AUC", "sensitivity", "specificity"), bar.significant, strict=True)
        if marked
    ]
    return f"{bar.label} ({', '.join(names)})"


def _find_measures(
    subject: Subject, contender: tuple[str, str], cohort: Comparisons
) -> tuple[Estimate | None, ...]:
    cell = find_cell(subject, contender, cohort)
    return (None, None, None) if cell is None else (cell.auc, cell.sensitivity, cell.specificity)


def build_comparison_table(
    subject: Subject, cohort: Comparisons, pairs: Sequence[Comparison]
) -> PrintedTable:
    """The table of one reference: other models down; difference of AUC and discordant calls across."""
    notes = Footnotes()
    adjusted = any(pair.p_adjusted is not None for pair in pairs)
    return PrintedTable(
        caption=(
            "Patients: those with both scores, on whom the two are compared. Difference: AUC of the "
            "reference minus that of the other (DeLong). Right alone: patients whom only the reference / "
            "only the other called right (McNemar)."
        ),
        stub=("Compared with", ""),
        groups=(
            ColumnGroup("", ("Patients",)),
            ColumnGroup("AUC", ("Other's", "Difference (95% CI)", "P", *(("P, Holm",) if adjusted else ()))),
            ColumnGroup(f"Sensitivity: {subject.event}", ("Right alone", "P")),
            ColumnGroup(f"Specificity: {subject.no_event}", ("Right alone", "P")),
        ),
        lines=tuple(_build_line(subject, cohort, pair, adjusted=adjusted, notes=notes) for pair in pairs),
        footnotes=notes.list_texts(),
    )


def _build_line(
    subject: Subject, cohort: Comparisons, pair: Comparison, *, adjusted: bool, notes: Footnotes
) -> TableLine:
    other = (pair.second_model, pair.second_arm)
    cell = find_cell(subject, other, cohort)
    extra = (_enter_p(pair.p_adjusted, pair.difference, notes),) if adjusted else ()
    return TableLine(
        subject.name_contender(*other),
        (
            _enter_patients(pair, notes),
            NOT_APPLICABLE if cell is None else _enter_other(cell, notes),
            _enter_difference(pair, notes),
            _enter_raw_p(pair, notes),
            *extra,
            *_enter_discordance(pair.sensitivity, notes),
            *_enter_discordance(pair.specificity, notes),
        ),
    )


def _enter_other(cell: Cell, notes: Footnotes) -> TableEntry:
    """The other's AUC by itself; a note gives its bound where scores share bins."""
    entry = enter_value(cell.auc, notes)
    mark = "" if entry.absent else notes.mark(describe_bounds((cell.auc_error_bound, None)))
    return TableEntry(entry.text, mark or entry.mark, absent=entry.absent)


def _enter_difference(pair: Comparison, notes: Footnotes) -> TableEntry:
    entry = enter_estimate(pair.difference, notes)
    if entry.absent or not pair.difference_bound:
        return entry
    text = (
        f"Of the scores themselves, the difference lies within {format_bound(pair.difference_bound)} of the "
        "printed one."
    )
    return TableEntry(entry.text, notes.mark(text))


def _enter_patients(pair: Comparison, notes: Footnotes) -> TableEntry:
    """Those compared; a note says how many of the cohort were not, for want of a score."""
    if pair.used is None:
        return TableEntry(WITHHELD, absent=True)
    if not pair.missing:
        return TableEntry(f"{pair.used}")
    lacking = "1 patient of the cohort lacks" if pair.missing == 1 else f"{pair.missing} patients lack"
    return TableEntry(f"{pair.used}", notes.mark(f"{lacking} one of the scores."))


def _enter_raw_p(pair: Comparison, notes: Footnotes) -> TableEntry:
    """DeLong's P; a note gives its bounds where the scores of some patients share bins."""
    least, most = pair.p_least, pair.p_most
    if pair.p_value is None or least is None or most is None or least == most:
        return _enter_p(pair.p_value, pair.difference, notes)
    return enter_p_value(
        pair.p_value,
        notes.mark(
            f"Of the scores themselves, not of their bins, P lies between {format_p_value(least)} and "
            f"{format_p_value(most)}."
        ),
    )


def _enter_p(value: float | None, difference: Estimate, notes: Footnotes) -> TableEntry:
    if value is None and difference.value is None:
        return enter_absent(difference.standing, notes)
    return enter_p_value(value)


def _enter_discordance(discordance: McNemarResult, notes: Footnotes) -> tuple[TableEntry, TableEntry]:
    if discordance.standing.kind != "ok":
        hidden = enter_absent(discordance.standing, notes)
        return hidden, hidden
    counts = format_pair(discordance.only_first, discordance.only_second)
    return TableEntry(counts, absent=counts == WITHHELD), enter_p_value(
        discordance.p_value, notes.mark(_name_test(discordance.method))
    )


def _name_test(method: str) -> str:
    return f"McNemar's test, {method}." if method else ""


def _enter_benefit(point: BenefitDifference) -> TableEntry:
    bounds = format_bounds(format_number(point.low), format_number(point.high))
    return TableEntry(f"{format_number(point.difference)} ({bounds})", strong=point.low > 0 or point.high < 0)


def _build_net_benefit_table(subject: Subject, pairs: Sequence[Comparison]) -> PrintedTable | None:
    judged = [pair for pair in pairs if pair.net_benefit]
    if not judged:
        return None
    points = {
        (index, point.threshold): point for index, pair in enumerate(judged) for point in pair.net_benefit
    }
    lines = []
    for threshold in sorted({threshold for _, threshold in points}):
        entries = []
        for index in range(len(judged)):
            point = points.get((index, threshold))
            entries.append(NOT_APPLICABLE if point is None else _enter_benefit(point))
        lines.append(TableLine(f"{threshold:g}", tuple(entries)))
    return PrintedTable(
        caption="Net benefit of the reference minus that of the other, with 95% confidence intervals.",
        stub=("Threshold probability", ""),
        groups=(
            ColumnGroup(
                "", tuple(subject.name_contender(pair.second_model, pair.second_arm) for pair in judged)
            ),
        ),
        lines=tuple(lines),
    )
