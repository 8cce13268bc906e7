"""Table 1: who the patients are, in the paper's three cohorts and at each centre."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from server.report.printed import (
    BLANK,
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_p_value,
)
from server.report.printed import enter_absent as absent
from server.report.subject import Subject
from server.report.words import (
    DASH,
    WITHHELD,
    describe_group,
    format_count,
    format_number,
    format_unit,
    name_outcome,
)
from server.results.cohort import CohortRow, VariableDescription

_TESTED = {"internal": "Internal test set", "external": "External test set"}
_TESTS = {
    "Student t": "Student's t-test.",
    "Welch t": "Welch's t-test.",
    "Mann-Whitney U": "Mann-Whitney U test.",
    "Mann-Whitney U, continuity-corrected": "Mann-Whitney U test with continuity correction.",
    "Pearson chi-squared": "Pearson's chi-squared test.",
    "Yates chi-squared": "Chi-squared test with Yates' correction.",
    "Fisher exact": "Fisher's exact test.",
}
_CHOSEN = (
    "Mean with t-test, or median with Mann-Whitney test: chosen on {}, by D'Agostino and Pearson's test of "
    "normality in both groups."
)
_ROUNDED = "Values were rounded to {} before they were ranked: medians, quartiles and P are of these."
_CAPTION = (
    "Mean ± standard deviation, median (quartiles) or number (%). Patients without a value are left out "
    "and counted beneath."
)

_Groups: TypeAlias = Mapping[str, tuple[CohortRow, ...]]
"""Rows by the heading of their columns."""


@dataclass(frozen=True)
class CharacteristicsChapter:
    """The chapter "Table 1: characteristics".

    Attributes
    ----------
    paper : PrintedTable or None
        The training, internal and external patients of all centres; None if the study did not describe them.
    centres : PrintedTable or None
        Each centre's patients, and all patients together; None if the study did not describe them.
    """

    paper: PrintedTable | None
    centres: PrintedTable | None


def build_characteristics(subject: Subject) -> CharacteristicsChapter | None:
    """Table 1, or None if the study did not describe its patients."""
    if not subject.results.cohort:
        return None
    return CharacteristicsChapter(build_table_one(subject), build_centre_table(subject))


def build_table_one(subject: Subject) -> PrintedTable | None:
    """The paper's cohorts side by side, or None if the study did not describe them."""
    rows = [row for row in subject.results.cohort if row.site is None and row.part != "whole"]
    if not rows:
        return None
    untested = f"{subject.centres.untested.capitalize()} set"
    return _build_table(subject, _group_rows(rows, lambda row: _TESTED.get(row.part, untested)))


def build_centre_table(subject: Subject) -> PrintedTable | None:
    """Every centre's patients side by side, then all together; None if the study did not describe them."""
    rows = [row for row in subject.results.cohort if row.part == "whole"]
    return (
        _build_table(subject, _group_rows(rows, lambda row: row.site or "All centres together"))
        if rows
        else None
    )


def _group_rows(rows: Sequence[CohortRow], heading: Callable[[CohortRow], str]) -> _Groups:
    headings = dict.fromkeys(heading(row) for row in rows)
    return {name: tuple(row for row in rows if heading(row) == name) for name in headings}


def _build_table(subject: Subject, groups: _Groups) -> PrintedTable:
    notes = Footnotes()
    everything = [row for rows in groups.values() for row in rows]
    extra = [
        name
        for name, any_there in (
            ("P", any(row.p_value is not None for row in everything) or _is_any_hidden(everything)),
            ("SMD", any(row.smd is not None for row in everything)),
        )
        if any_there
    ]
    lines = tuple(_build_lines(groups, tuple(extra), notes))
    return PrintedTable(
        caption=_CAPTION
        + (
            f" SMD: standardised mean difference, with {name_outcome(subject.results.study)} minus without."
            if "SMD" in extra
            else ""
        ),
        stub=("Characteristic", "Level"),
        groups=tuple(_build_heading(subject, name, rows, extra) for name, rows in groups.items()),
        lines=lines,
        footnotes=notes.list_texts(),
    )


def _build_heading(
    subject: Subject, name: str, rows: Sequence[CohortRow], extra: Sequence[str]
) -> ColumnGroup:
    negative, positive = (
        _count_patients([row.negative for row in rows]),
        _count_patients([row.positive for row in rows]),
    )
    total = None if negative is None or positive is None else negative + positive
    return ColumnGroup(
        f"{name} (n = {format_count(total)})",
        (
            f"{subject.no_event} (n = {format_count(negative)})",
            f"{subject.event} (n = {format_count(positive)})",
            *extra,
        ),
    )


def _count_patients(groups: Sequence[VariableDescription]) -> int | None:
    """How many patients a column describes, from any row that shows it."""
    return next(
        (
            group.used + group.missing
            for group in groups
            if group.used is not None and group.missing is not None
        ),
        None,
    )


def _build_lines(groups: _Groups, extra: tuple[str, ...], notes: Footnotes) -> Iterator[TableLine]:
    variables = dict.fromkeys((row.label, row.unit) for rows in groups.values() for row in rows)
    for label, unit in variables:
        by_group = [
            [row for row in rows if (row.label, row.unit) == (label, unit)] for rows in groups.values()
        ]
        levels = tuple(dict.fromkeys(row.level for rows in by_group for row in rows))
        name = f"{label} ({format_unit(unit)})" if unit else label
        if len(levels) == 1:
            entries = [_enter_variable(rows, levels[0], extra, notes) for rows in by_group]
            yield TableLine(f"{name}, {levels[0]}" if levels[0] else name, _join_entries(entries))
            continue
        yield TableLine(name, _join_entries([_enter_factor(rows, extra, notes) for rows in by_group]))
        for level in levels:
            yield TableLine(
                level,
                _join_entries([_enter_level(rows, level, extra, notes) for rows in by_group]),
                parent=name,
            )


def _join_entries(entries: Sequence[Sequence[TableEntry]]) -> tuple[TableEntry, ...]:
    return tuple(entry for group in entries for entry in group)


def _enter_variable(
    rows: Sequence[CohortRow], level: str, extra: Sequence[str], notes: Footnotes
) -> list[TableEntry]:
    """The entries of a variable with one line."""
    row = next((row for row in rows if row.level == level), None)
    if row is None:
        return [NOT_APPLICABLE] * (2 + len(extra))
    groups = [
        _enter_description(group, row.decimals, _describe_missing(group), notes)
        for group in (row.negative, row.positive)
    ]
    return [*groups, *_enter_difference(rows, extra, notes)]


def _enter_factor(rows: Sequence[CohortRow], extra: Sequence[str], notes: Footnotes) -> list[TableEntry]:
    """The entries of the line above a factor's levels: its test and its missing values."""
    if not rows:
        return [NOT_APPLICABLE] * (2 + len(extra))
    missing = [
        TableEntry("", below=_describe_missing(group)) for group in (rows[0].negative, rows[0].positive)
    ]
    return [*missing, *_enter_difference(rows, extra, notes)]


def _enter_level(
    rows: Sequence[CohortRow], level: str, extra: Sequence[str], notes: Footnotes
) -> list[TableEntry]:
    row = next((row for row in rows if row.level == level), None)
    if row is None:
        return [NOT_APPLICABLE] * 2 + [BLANK] * len(extra)
    groups = [_enter_description(group, row.decimals, "", notes) for group in (row.negative, row.positive)]
    return [*groups, *[BLANK] * len(extra)]


def _enter_description(group: VariableDescription, decimals: int, below: str, notes: Footnotes) -> TableEntry:
    if group.standing.kind != "ok":
        return absent(group.standing, notes)
    return TableEntry(describe_group(group, decimals), below=below)


def _describe_missing(group: VariableDescription) -> str:
    if group.standing.kind != "ok" or group.missing == 0:
        return ""
    return f"missing: {format_count(group.missing)}"


def _is_any_hidden(rows: Sequence[CohortRow]) -> bool:
    return any(group.standing.kind == "suppressed" for row in rows for group in (row.negative, row.positive))


def _enter_difference(rows: Sequence[CohortRow], extra: Sequence[str], notes: Footnotes) -> list[TableEntry]:
    """The entries for p-value and standardised difference of the variable."""
    tested = next((row for row in rows if row.p_value is not None), rows[0])
    hidden = _is_any_hidden(rows)
    chosen = _CHOSEN.format(tested.chosen_on) if tested.chosen_on else ""
    rounded = _describe_rounding(tested)
    entries = []
    for name in extra:
        value = tested.p_value if name == "P" else tested.smd
        if value is None:
            mark = notes.mark_all(chosen, rounded) if name == "P" else ""
            entries.append(TableEntry(WITHHELD if hidden else DASH, mark, absent=hidden))
        elif name == "P":
            test = _TESTS.get(tested.test, f"{tested.test}." if tested.test else "")
            note = f"{tested.note[0].upper()}{tested.note[1:]}." if tested.note else ""
            entries.append(enter_p_value(value, notes.mark_all(test, note, chosen, rounded)))
        else:
            entries.append(TableEntry(format_number(value, 2)))
    return entries


def _describe_rounding(row: CohortRow) -> str:
    """A footnote on a variable of which the table shows ranks; an empty string for any other."""
    is_ranked = any(group.mean is None and group.median is not None for group in (row.negative, row.positive))
    if row.resolution is None or not is_ranked:
        return ""
    return _ROUNDED.format(f"{row.resolution:g} {format_unit(row.unit)}".strip())
