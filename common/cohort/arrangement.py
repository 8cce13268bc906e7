"""A hospital's own table, arranged as the study's: its headings named, its rows one a patient.

What a row of totals or a comment is, and which row of a patient with several is the baseline's, the
mapping says.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TypeAlias

from common.cohort.cell_rule import CellRule, make_rule, normalise_code
from common.cohort.column_letters import column_letter
from common.cohort.row_names import name_rows
from common.cohort.schema import find_variable
from common.cohort.sheet import ContestedCell, SheetCell, SheetRow, TableSheet
from common.cohort.spelling import compare_heading, compare_identifier
from common.cohort.table_mapping import (
    PLACE,
    ColumnMapping,
    LongFormat,
    TableMapping,
    find_mapping_faults,
)
from common.cohort.variable import Variable
from common.errors import Finding, Level

_PATIENT = "patient"
_MEANT = 0.6

RowKey: TypeAlias = tuple[str, str, str]
"""Event, repeated instrument and its number: which of a patient's rows."""


@dataclass(frozen=True)
class ColumnSource:
    """The hospital's column behind a variable.

    Attributes
    ----------
    heading : str
        The hospital's heading.
    index : int or None
        Its place in the file, from 0; None if it has none.
    rule : CellRule
        How its cells are read.
    extra : int or None
        The place in `SheetRow.extra` if the value stands in another row of the patient, or in no column.
    event : str
        The event or instrument of that row, for messages.
    """

    heading: str
    index: int | None
    rule: CellRule
    extra: int | None = None
    event: str = ""


@dataclass(frozen=True)
class ArrangedSheet:
    """A table under the study's headings.

    Attributes
    ----------
    sheet : TableSheet
        With the variables' names as headings; columns of the hospital's own have none.
    sources : mapping of str to ColumnSource
        By variable; empty where there is no mapping.
    stops : tuple of Finding
        What the mapping says that cannot be: nobody of the table is studied.
    notes : tuple of Finding
        Rows that were left out, and what a person has to look at.
    """

    sheet: TableSheet
    sources: Mapping[str, ColumnSource] = field(default_factory=dict, hash=False)
    stops: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()


def arrange_sheet(
    table: str, sheet: TableSheet, mapping: TableMapping | None, variables: Sequence[Variable]
) -> ArrangedSheet:
    """The table as the mapping says; as it is if there is no mapping.

    Parameters
    ----------
    table : str
        The file's name, for messages.
    sheet : TableSheet
        As it was written.
    mapping : TableMapping or None
        The hospital's.
    variables : sequence of Variable
        Of the schema and of the study.
    """
    if mapping is None:
        return ArrangedSheet(sheet)
    # Further readers' columns are none of the schema's list: "hypodensity_third_reader"
    named = (find_variable(name) for name in (*mapping.columns, *mapping.not_recorded))
    known = {one.name: one for one in (*named, *variables) if one is not None}
    faults = tuple(find_mapping_faults(mapping, tuple(known.values())))
    columns = {name: column for name, column in mapping.columns.items() if name in known}
    places, problems = _place_headings(table, sheet, columns)
    sources, header = _name_columns(mapping, known, places, sheet.header)
    kept, left_out = _leave_out(sheet, mapping.left_out)
    notes = [*_note_left_out(table, left_out, mapping.left_out)]
    if mapping.long is not None:
        keys, missing = _find_keys(table, sheet, mapping.long)
        problems += missing
        if not missing and _PATIENT in header:
            kept, lost = _gather_rows(kept, keys, mapping, sources, header.index(_PATIENT))
            notes += _note_lost(table, lost, mapping.long)
    extras = sum(source.extra is not None for source in sources.values())
    rows = tuple(replace(row, extra=(*row.extra, *(None,) * (extras - len(row.extra)))) for row in kept)
    stops = (*(fault for fault in faults if fault.level is Level.REFUSED), *problems)
    looked = (*(fault for fault in faults if fault.level is not Level.REFUSED), *notes)
    return ArrangedSheet(
        replace(sheet, header=header, rows=rows if extras else tuple(kept)), sources, stops, looked
    )


def _place_headings(
    table: str, sheet: TableSheet, columns: Mapping[str, ColumnMapping]
) -> tuple[dict[str, int], list[Finding]]:
    """The place of each variable's column, and what is wrong with the headings that the mapping names."""
    by_heading: defaultdict[str, list[int]] = defaultdict(list)
    for index, heading in enumerate(sheet.header):
        by_heading[compare_heading(heading)].append(index)
    places, problems = dict[str, int](), list[Finding]()
    for name, column in columns.items():
        found = by_heading.get(compare_heading(column.heading), [])
        if len(found) == 1:
            places[name] = found[0]
            continue
        what = (
            f"mapping.columns.{name}: {table} has no heading {column.heading!r} in row {sheet.headings_row}"
        )
        near = get_close_matches(compare_heading(column.heading), [h for h in by_heading if h], 1, _MEANT)
        remedy = f"did you mean {near[0]!r}?" if near else "correct it, or run rhe-client map again"
        if found:
            letters = " and ".join(map(column_letter, found))
            what = f"mapping.columns.{name}: heading {column.heading!r} stands {len(found)} times ({letters})"
            remedy = "keep one of the columns, or rename one of them in the table"
        problems.append(Finding(PLACE, what, remedy))
    return places, problems


def _name_columns(
    mapping: TableMapping, known: Mapping[str, Variable], places: Mapping[str, int], headings: tuple[str, ...]
) -> tuple[dict[str, ColumnSource], tuple[str, ...]]:
    """Where each variable comes from, and the headings: a variable's name, or nothing.

    A heading of the study's that the mapping does not speak of keeps its meaning.
    """
    spoken = {*mapping.columns, *mapping.not_recorded}
    header = [heading if heading in known and heading not in spoken else "" for heading in headings]
    sources, extras = dict[str, ColumnSource](), 0
    for name, index in places.items():
        column = mapping.columns[name]
        rule = make_rule(known[name], column, comma=mapping.decimal == ",")
        where = ", ".join(filter(None, (column.event, column.instrument)))
        if where or header[index]:
            # A second variable of one column, as a long export has it: the later of the two is carried beside
            sources[name] = ColumnSource(column.heading, index, rule, extras, where)
            extras += 1
        else:
            header[index] = name
            sources[name] = ColumnSource(column.heading, index, rule)
    for name in mapping.not_recorded:
        if name in known:
            sources[name] = ColumnSource("not recorded", None, CellRule(known[name]), extras)
            extras += 1
    return sources, tuple(header)


def _leave_out(sheet: TableSheet, patterns: Sequence[str]) -> tuple[list[SheetRow], list[int]]:
    """Rows of patients, and the numbers of the others."""
    plain = [normalise_code(pattern) for pattern in patterns]
    kept, left_out = list[SheetRow](), list[int]()
    for row in sheet.rows:
        first = normalise_code(next((cell for cell in row.cells if cell is not None), "")) if plain else ""
        if any(fnmatch.fnmatchcase(first, pattern) for pattern in plain):
            left_out.append(row.number)
        else:
            kept.append(row)
    return kept, left_out


def _note_left_out(table: str, rows: Sequence[int], patterns: Sequence[str]) -> Iterator[Finding]:
    if rows:
        are = "1 row is no patient" if len(rows) == 1 else f"{len(rows)} rows are no patients"
        what = f"{are} by mapping.left_out ({', '.join(map(repr, patterns))})"
        yield Finding(f"{table}, {name_rows(rows)}", what, "", Level.KNOW)


def _find_keys(
    table: str, sheet: TableSheet, long: LongFormat
) -> tuple[tuple[int | None, int | None, int | None], list[Finding]]:
    """The places of event, instrument and repetition; a finding if the event's column is not there."""
    by_heading = {compare_heading(heading): index for index, heading in enumerate(sheet.header)}
    names = (long.event_column, long.instrument_column, long.instance_column)
    found = [by_heading.get(compare_heading(name)) if name else None for name in names]
    keys = (found[0], found[1], found[2])
    if long.event_column and keys[0] is None:
        what = f"mapping.long.event_column: {table} has no heading {long.event_column!r}"
        return keys, [Finding(PLACE, what, 'correct it; write "" if the export has no events')]
    return keys, []


def _gather_rows(
    rows: Sequence[SheetRow],
    keys: tuple[int | None, int | None, int | None],
    mapping: TableMapping,
    sources: Mapping[str, ColumnSource],
    identifier: int,
) -> tuple[list[SheetRow], list[int]]:
    """One row a patient, with what the patient's other rows hold; rows of patients without a baseline's."""
    baseline = _key_of(mapping.long.baseline if mapping.long else "", "", 1)
    others: defaultdict[tuple[str, RowKey], list[SheetRow]] = defaultdict(list)
    kept, patients = list[SheetRow](), set[str]()
    for row in rows:
        patient = compare_identifier(normalise_code(_cell(row, identifier) or ""))
        event, instrument = (_text(row, keys[0]), _text(row, keys[1]))
        key = _key_of(event, instrument, _text(row, keys[2]) or 1)
        if key == baseline:
            kept.append(row)
            patients.add(patient)
        else:
            others[patient, key].append(row)
    gathered = []
    for row in kept:
        patient = compare_identifier(normalise_code(_cell(row, identifier) or ""))
        extra = [
            _take_cell(row if key == baseline else None, others.get((patient, key), []), source.index)
            for key, source in (
                (_find_key(name, mapping), source)
                for name, source in sources.items()
                if source.extra is not None
            )
        ]
        gathered.append(replace(row, extra=tuple(extra)))
    lost = {patient: group[0].number for (patient, _), group in others.items() if patient not in patients}
    return gathered, list(lost.values())


def _find_key(name: str, mapping: TableMapping) -> RowKey:
    column = mapping.columns.get(name)
    baseline = mapping.long.baseline if mapping.long else ""
    if column is None:
        return _key_of(baseline, "", 1)
    return _key_of(column.event or baseline, column.instrument, column.instance if column.instrument else 1)


def _key_of(event: str, instrument: str, instance: object) -> RowKey:
    return normalise_code(event), normalise_code(instrument), normalise_code(instance)


def _take_cell(row: SheetRow | None, others: Sequence[SheetRow], index: int | None) -> SheetCell:
    if index is None:
        return None
    if row is not None:
        return _cell(row, index)
    cells = {normalise_code(cell): cell for other in others if (cell := _cell(other, index)) is not None}
    if len(cells) > 1:
        return ContestedCell(tuple(other.number for other in others))
    return next(iter(cells.values()), None)


def _cell(row: SheetRow, index: int) -> SheetCell:
    return row.cells[index] if index < len(row.cells) else None


def _text(row: SheetRow, index: int | None) -> str:
    cell = None if index is None else _cell(row, index)
    return "" if cell is None else str(cell)


def _note_lost(table: str, rows: Sequence[int], long: LongFormat) -> Iterator[Finding]:
    if rows:
        what = f"{len(rows)} patient(s) have no row of the baseline event {long.baseline!r}: not screened"
        remedy = "right if they were never admitted; else correct the event, or mapping.long.baseline"
        yield Finding(f"{table}, {name_rows(rows)}", what, remedy, Level.LOOK)
