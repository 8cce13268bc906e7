"""Table 1: who the patients are, in the paper's three cohorts and at each centre."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from server.records import CohortRow, Described
from server.report.printed import BLANK, NOT_APPLICABLE, Entry, Footnotes, Group, Line, PrintedTable, p_entry
from server.report.printed import absent_entry as absent
from server.report.subject import Subject
from server.report.words import WITHHELD, count, described, number

_PARTS = {"training": "Training set", "internal": "Internal test set", "external": "External test set"}
_TESTS = {
    "Student t": "Student's t-test.",
    "Welch t": "Welch's t-test.",
    "Mann-Whitney U": "Mann-Whitney U test.",
    "Mann-Whitney U, continuity-corrected": "Mann-Whitney U test with continuity correction.",
    "Pearson chi-squared": "Pearson's chi-squared test.",
    "Yates chi-squared": "Chi-squared test with Yates' correction.",
    "Fisher exact": "Fisher's exact test.",
}
_CAPTION = (
    "Mean ± standard deviation, median (quartiles) or number (%). Patients without a value are left out "
    "and counted beneath."
)

_Groups: TypeAlias = Mapping[str, tuple[CohortRow, ...]]
"""Rows by the heading that they stand under."""


@dataclass(frozen=True)
class Characteristics:
    """The chapter.

    Attributes
    ----------
    paper : PrintedTable or None
        Training, internal and external patients of all centres.
    centres : PrintedTable or None
        Each centre, and all together.
    """

    paper: PrintedTable | None
    centres: PrintedTable | None


def characteristics(subject: Subject) -> Characteristics | None:
    """Table 1, if the study asked who its patients are."""
    if not subject.results.cohort:
        return None
    return Characteristics(table_one(subject), centre_table(subject))


def table_one(subject: Subject) -> PrintedTable | None:
    """The paper's cohorts side by side, if the study described them."""
    rows = [row for row in subject.results.cohort if row.site is None and row.part != "whole"]
    return _table(subject, _grouped(rows, lambda row: _PARTS[row.part])) if rows else None


def centre_table(subject: Subject) -> PrintedTable | None:
    """Every centre's patients side by side, then all together."""
    rows = [row for row in subject.results.cohort if row.part == "whole"]
    return _table(subject, _grouped(rows, lambda row: row.site or "All centres together")) if rows else None


def _grouped(rows: Sequence[CohortRow], heading: Callable[[CohortRow], str]) -> _Groups:
    headings = dict.fromkeys(heading(row) for row in rows)
    return {name: tuple(row for row in rows if heading(row) == name) for name in headings}


def _table(subject: Subject, groups: _Groups) -> PrintedTable:
    notes = Footnotes()
    everything = [row for rows in groups.values() for row in rows]
    extra = [
        name
        for name, any_there in (
            ("P", any(row.p_value is not None for row in everything) or _any_hidden(everything)),
            ("SMD", any(row.smd is not None for row in everything)),
        )
        if any_there
    ]
    lines = tuple(_lines(groups, tuple(extra), notes))
    return PrintedTable(
        caption=_CAPTION
        + (" SMD: standardised mean difference, with expansion minus without." if "SMD" in extra else ""),
        stub=("Characteristic", "Level"),
        groups=tuple(_heading(subject, name, rows, extra) for name, rows in groups.items()),
        lines=lines,
        footnotes=notes.lines(),
    )


def _heading(subject: Subject, name: str, rows: Sequence[CohortRow], extra: Sequence[str]) -> Group:
    negative, positive = _size([row.negative for row in rows]), _size([row.positive for row in rows])
    together = None if negative is None or positive is None else negative + positive
    return Group(
        f"{name} (n = {count(together)})",
        (
            f"{subject.no_event} (n = {count(negative)})",
            f"{subject.event} (n = {count(positive)})",
            *extra,
        ),
    )


def _size(groups: Sequence[Described]) -> int | None:
    """How many patients a column holds, from any row that may tell."""
    return next(
        (one.used + one.missing for one in groups if one.used is not None and one.missing is not None), None
    )


def _lines(groups: _Groups, extra: tuple[str, ...], notes: Footnotes) -> Iterator[Line]:
    variables = dict.fromkeys((row.label, row.unit) for rows in groups.values() for row in rows)
    for label, unit in variables:
        own = [[row for row in rows if (row.label, row.unit) == (label, unit)] for rows in groups.values()]
        levels = tuple(dict.fromkeys(row.level for rows in own for row in rows))
        name = f"{label} ({unit})" if unit else label
        if len(levels) == 1:
            entries = [_entries(rows, levels[0], extra, notes) for rows in own]
            yield Line(f"{name}, {levels[0]}" if levels[0] else name, _joined(entries))
            continue
        yield Line(name, _joined([_head(rows, extra, notes) for rows in own]))
        for level in levels:
            yield Line(level, _joined([_level(rows, level, extra, notes) for rows in own]), parent=name)


def _joined(entries: Sequence[Sequence[Entry]]) -> tuple[Entry, ...]:
    return tuple(entry for group in entries for entry in group)


def _entries(rows: Sequence[CohortRow], level: str, extra: Sequence[str], notes: Footnotes) -> list[Entry]:
    """A variable of one line."""
    row = next((row for row in rows if row.level == level), None)
    if row is None:
        return [NOT_APPLICABLE] * (2 + len(extra))
    groups = [
        _described(group, row.decimals, _missing(group), notes) for group in (row.negative, row.positive)
    ]
    return [*groups, *_difference(rows, extra, notes)]


def _head(rows: Sequence[CohortRow], extra: Sequence[str], notes: Footnotes) -> list[Entry]:
    """The line above a factor's levels: its test, and who has no value."""
    if not rows:
        return [NOT_APPLICABLE] * (2 + len(extra))
    missing = [Entry("", below=_missing(group)) for group in (rows[0].negative, rows[0].positive)]
    return [*missing, *_difference(rows, extra, notes)]


def _level(rows: Sequence[CohortRow], level: str, extra: Sequence[str], notes: Footnotes) -> list[Entry]:
    row = next((row for row in rows if row.level == level), None)
    if row is None:
        return [NOT_APPLICABLE] * 2 + [BLANK] * len(extra)
    groups = [_described(group, row.decimals, "", notes) for group in (row.negative, row.positive)]
    return [*groups, *[BLANK] * len(extra)]


def _described(group: Described, decimals: int, below: str, notes: Footnotes) -> Entry:
    if group.standing.kind != "ok":
        return absent(group.standing, notes)
    return Entry(described(group, decimals), below=below)


def _missing(group: Described) -> str:
    if group.standing.kind != "ok" or group.missing == 0:
        return ""
    return f"missing: {count(group.missing)}"


def _any_hidden(rows: Sequence[CohortRow]) -> bool:
    return any(group.standing.kind == "suppressed" for row in rows for group in (row.negative, row.positive))


def _difference(rows: Sequence[CohortRow], extra: Sequence[str], notes: Footnotes) -> list[Entry]:
    """P-value and standardised difference, of the variable as a whole."""
    tested = next((row for row in rows if row.p_value is not None), rows[0])
    hidden = _any_hidden(rows)
    found = []
    for name in extra:
        value = tested.p_value if name == "P" else tested.smd
        if value is None:
            found.append(Entry(WITHHELD, absent=True) if hidden else NOT_APPLICABLE)
        elif name == "P":
            test = _TESTS.get(tested.test, f"{tested.test}." if tested.test else "")
            note = f"{tested.note[0].upper()}{tested.note[1:]}." if tested.note else ""
            found.append(p_entry(value, notes.marks(test, note)))
        else:
            found.append(Entry(number(value, 2)))
    return found
