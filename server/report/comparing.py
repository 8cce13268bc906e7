"""Models compared on the same patients: the bars of the paper's Fig. 7 and the tests behind its asterisks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.analyses import Comparison, Comparisons, Discordance
from server.records import Measure
from server.report.bars import Bar, bars_picture
from server.report.cohorts import CohortKey, key_of
from server.report.drawing import Picture
from server.report.printed import (
    NOT_APPLICABLE,
    Entry,
    Footnotes,
    Group,
    Line,
    PrintedTable,
    absent_entry,
    measure_entry,
    p_entry,
    value_entry,
)
from server.report.subject import Subject, cell_of, shared_cohorts
from server.report.words import ALPHA, WITHHELD, between, count, number, p_value, pair, why


@dataclass(frozen=True)
class ComparedCohort:
    """One reference against others on one cohort.

    Attributes
    ----------
    label : str
        The cohort in words.
    large : bool
        Whether every model can be judged on it, and no other such cohort holds all its centres.
    reference : str
    patients : str
        On how many patients.
    omnibus : str
        The test that all models have one AUC.
    bars : Picture or None
        None where no number may be shown.
    table : PrintedTable
    net_benefit : PrintedTable or None
        Differences by threshold.
    """

    label: str
    large: bool
    reference: str
    patients: str
    omnibus: str
    bars: Picture | None
    table: PrintedTable
    net_benefit: PrintedTable | None


def comparisons(subject: Subject) -> tuple[ComparedCohort, ...]:
    """Every cohort and reference; internal tests first, centres together before each alone."""
    found = subject.results.comparisons
    order = [key_of(shared.cells[0]) for shared in shared_cohorts(subject)]
    large = {key_of(shared.cells[0]) for shared in shared_cohorts(subject) if shared.large}
    ordered = sorted(found, key=lambda one: _place(key_of(one), order))
    return tuple(
        _compared(subject, one, pairs, large=key_of(one) in large)
        for one in ordered
        for pairs in _by_reference(one)
    )


def _place(key: CohortKey, order: Sequence[CohortKey]) -> int:
    """Cohorts that only some arms can be judged on stand last."""
    return order.index(key) if key in order else len(order)


def _by_reference(found: Comparisons) -> list[tuple[Comparison, ...]]:
    references = dict.fromkeys((pair.first_model, pair.first_arm) for pair in found.pairs)
    return [
        tuple(pair for pair in found.pairs if (pair.first_model, pair.first_arm) == reference)
        for reference in references
    ]


def _compared(
    subject: Subject, found: Comparisons, pairs: Sequence[Comparison], *, large: bool
) -> ComparedCohort:
    reference = subject.contender(pairs[0].first_model, pairs[0].first_arm)
    missing = "" if found.missing == 0 else f" ({count(found.missing)} without one of them left out)"
    return ComparedCohort(
        label=subject.places.cohort(found),
        large=large,
        reference=reference,
        patients=f"{count(found.used)} patients with every compared score{missing}",
        omnibus=_omnibus(found),
        bars=_bars(subject, found, pairs),
        table=comparison_table(subject, found, pairs),
        net_benefit=_net_benefit(subject, pairs),
    )


def _omnibus(found: Comparisons) -> str:
    if found.chi_squared is None or found.p_value is None:
        return f"One AUC for all of them: {why(found.standing)}."
    sign = "" if found.p_value < 0.001 else "= "
    return (
        f"One AUC for all of them: chi-squared {number(found.chi_squared, 2)}, "
        f"{found.degrees_of_freedom} degrees of freedom, P {sign}{p_value(found.p_value)}."
    )


def significant(pair: Comparison) -> tuple[bool, bool, bool]:
    """Whether AUC, sensitivity and specificity differ: the marks of Fig. 7."""
    auc = pair.p_value if pair.p_adjusted is None else pair.p_adjusted
    tests = (auc, pair.sensitivity.p_value, pair.specificity.p_value)
    first, second, third = (value is not None and value < ALPHA for value in tests)
    return first, second, third


def _bars(subject: Subject, found: Comparisons, pairs: Sequence[Comparison]) -> Picture | None:
    first = (pairs[0].first_model, pairs[0].first_arm)
    bars = [Bar(subject.contender(*first), _measures(subject, first, found))]
    for one in pairs:
        other = (one.second_model, one.second_arm)
        bars.append(Bar(subject.contender(*other), _measures(subject, other, found), significant(one)))
    if all(measure is None or measure.value is None for bar in bars for measure in bar.measures):
        return None
    marked = "; ".join(_differs(bar) for bar in bars[1:] if any(bar.significant))
    alt = (
        f"AUC, sensitivity and specificity of {bars[0].label} and {len(pairs)} others, "
        f"{subject.places.cohort(found)}. Significantly different: {marked or 'none'}"
    )
    return bars_picture(bars, alt)


def _differs(bar: Bar) -> str:
    names = [
        name
        for name, marked in zip(("AUC", "sensitivity", "specificity"), bar.significant, strict=True)
        if marked
    ]
    return f"{bar.label} ({', '.join(names)})"


def _measures(subject: Subject, contender: tuple[str, str], found: Comparisons) -> tuple[Measure | None, ...]:
    cell = cell_of(subject, contender, found)
    return (None, None, None) if cell is None else (cell.auc, cell.sensitivity, cell.specificity)


def comparison_table(subject: Subject, found: Comparisons, pairs: Sequence[Comparison]) -> PrintedTable:
    """Other models down; difference of AUC and discordant calls across."""
    notes = Footnotes()
    adjusted = any(one.p_adjusted is not None for one in pairs)
    return PrintedTable(
        caption=(
            "Difference: AUC of the reference minus that of the other (DeLong). Right alone: patients whom "
            "only the reference / only the other called right (McNemar)."
        ),
        stub=("Compared with", ""),
        groups=(
            Group("AUC", ("Other's", "Difference (95% CI)", "P", *(("P, Holm",) if adjusted else ()))),
            Group(f"Sensitivity: {subject.event}", ("Right alone", "P")),
            Group(f"Specificity: {subject.no_event}", ("Right alone", "P")),
        ),
        lines=tuple(_line(subject, found, one, adjusted=adjusted, notes=notes) for one in pairs),
        footnotes=notes.lines(),
    )


def _line(subject: Subject, found: Comparisons, one: Comparison, *, adjusted: bool, notes: Footnotes) -> Line:
    other = (one.second_model, one.second_arm)
    cell = cell_of(subject, other, found)
    extra = (_p(one.p_adjusted, one.difference, notes),) if adjusted else ()
    return Line(
        subject.contender(*other),
        (
            NOT_APPLICABLE if cell is None else value_entry(cell.auc, notes),
            measure_entry(one.difference, notes),
            _p(one.p_value, one.difference, notes),
            *extra,
            *_discordance(one.sensitivity, notes),
            *_discordance(one.specificity, notes),
        ),
    )


def _p(value: float | None, difference: Measure, notes: Footnotes) -> Entry:
    if value is None and difference.value is None:
        return absent_entry(difference.standing, notes)
    return p_entry(value)


def _discordance(found: Discordance, notes: Footnotes) -> tuple[Entry, Entry]:
    if found.standing.kind != "ok":
        hidden = absent_entry(found.standing, notes)
        return hidden, hidden
    counts = pair(found.only_first, found.only_second)
    return Entry(counts, absent=counts == WITHHELD), p_entry(found.p_value, notes.mark(_test(found.method)))


def _test(method: str) -> str:
    return f"McNemar's test, {method}." if method else ""


def _net_benefit(subject: Subject, pairs: Sequence[Comparison]) -> PrintedTable | None:
    shown = [one for one in pairs if one.net_benefit]
    if not shown:
        return None
    points = {(index, point.threshold): point for index, one in enumerate(shown) for point in one.net_benefit}
    lines = []
    for threshold in sorted({threshold for _, threshold in points}):
        entries = []
        for index in range(len(shown)):
            point = points.get((index, threshold))
            entries.append(
                NOT_APPLICABLE
                if point is None
                else Entry(
                    f"{number(point.difference)} ({between(number(point.low), number(point.high))})",
                    strong=point.low > 0 or point.high < 0,
                )
            )
        lines.append(Line(f"{threshold:g}", tuple(entries)))
    return PrintedTable(
        caption="Net benefit of the reference minus that of the other, with 95% confidence intervals.",
        stub=("Threshold probability", ""),
        groups=(Group("", tuple(subject.contender(one.second_model, one.second_arm) for one in shown)),),
        lines=tuple(lines),
    )
