"""The columns of a hospital's table, with what their headings say: one for each event of a long export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from client.cohort.mapping.data_dictionary import DictionaryField, find_field
from client.cohort.mapping.heading_words import Heading, match_words, parse_heading, simplify_text, speaks_of
from common.cohort.cell_rule import normalise_code
from common.cohort.sheet import SheetCell, SheetRow, TableSheet
from common.cohort.spelling import compare_heading
from common.cohort.table_mapping import LongFormat

_BASELINE_EVENTS = (
    "baseline basis aufnahme admission screening enrol inclusion initial ingreso ricovero opname visit_1 t0 "
    "v1 day_0 tag_0 "
    "入院 基线 arrival presentation index einschluss admissao inclusao"
)
_OUTCOME = ("other_time",)
LONG = LongFormat()


@dataclass(frozen=True)
class Candidate:
    """One column, or what a long export has of it at one event.

    Attributes
    ----------
    heading : str
        In the table.
    parsed : tuple of Heading
        The heading's words, and the label's of a data dictionary.
    cells : tuple of SheetCell
        Of the rows of this event.
    event : str
        Empty at the baseline.
    is_followup : bool
        Whether the event is a follow-up's.
    choices : mapping of str to str
        Labels of codes.
    """

    heading: str
    parsed: tuple[Heading, ...]
    cells: tuple[SheetCell, ...]
    event: str = ""
    is_followup: bool = False
    choices: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def unit(self) -> str:
        """That the label or the heading states; empty if none does."""
        return next((one.unit for one in reversed(self.parsed) if one.unit), "")


@dataclass(frozen=True)
class CandidateList:
    """Every column that may hold a variable.

    Attributes
    ----------
    columns : tuple of Candidate
        In the table's order, the baseline first.
    long : LongFormat or None
        How a long export tells its rows apart.
    doubts : tuple of str
        What a person has to look at.
    """

    columns: tuple[Candidate, ...]
    long: LongFormat | None = None
    doubts: tuple[str, ...] = ()


def list_candidates(
    sheet: TableSheet, rows: Sequence[SheetRow], fields: Mapping[str, DictionaryField]
) -> CandidateList:
    """The columns of a table whose rows of totals and comments are gone."""
    places = {compare_heading(heading): index for index, heading in enumerate(sheet.header) if heading}
    if not {LONG.event_column, LONG.instrument_column} & set(places):
        return CandidateList(tuple(_list_columns(sheet, rows, fields)))
    event_at, instrument_at = places.get(LONG.event_column), places.get(LONG.instrument_column)
    once = [row for row in rows if instrument_at is None or not _text(row, instrument_at)]
    events = list(dict.fromkeys(_text(row, event_at) for row in once)) if event_at is not None else []
    baseline, doubts = _choose_baseline(events, event_at)
    columns = [*_list_columns(sheet, _rows_of(once, event_at, baseline), fields)]
    for event in events:
        if event == baseline or _is_outcome(event):
            continue
        later = _list_columns(sheet, _rows_of(once, event_at, event), fields, event)
        columns += [one for one in later if any(cell is not None for cell in one.cells)]
    long = LONG.model_copy(
        update={"baseline": baseline, **({} if event_at is not None else {"event_column": ""})}
    )
    return CandidateList(tuple(columns), long, doubts)


def _list_columns(
    sheet: TableSheet, rows: Sequence[SheetRow], fields: Mapping[str, DictionaryField], event: str = ""
) -> Iterator[Candidate]:
    keys = {LONG.event_column, LONG.instrument_column, LONG.instance_column}
    for index, heading in enumerate(sheet.header):
        if not heading or heading in keys:
            continue
        known = find_field(fields, heading)
        labels = [heading] if known is None else [heading, known.label]
        cells = tuple(row.cells[index] if index < len(row.cells) else None for row in rows)
        choices = {} if known is None else known.choices
        parsed = tuple(map(parse_heading, labels))
        yield Candidate(heading, parsed, cells, event, bool(event) and _is_imaging_followup(event), choices)


def _rows_of(rows: Sequence[SheetRow], event_at: int | None, event: str) -> list[SheetRow]:
    return [row for row in rows if event_at is None or _text(row, event_at) == event]


def _text(row: SheetRow, index: int) -> str:
    cell = row.cells[index] if index < len(row.cells) else None
    return "" if cell is None else str(cell)


def _choose_baseline(events: Sequence[str], event_at: int | None) -> tuple[str, tuple[str, ...]]:
    """The event of the baseline, by its name; else the first, which a person has to confirm."""
    if event_at is None or not events:
        return "", ()
    named = [event for event in events if match_words(_BASELINE_EVENTS, simplify_text(event))]
    if len(named) == 1:
        return named[0], ()
    chosen = (named or list(events))[0]
    return chosen, (
        f"is {chosen!r} the event of the baseline? The others are {', '.join(map(repr, events))}",
    )


def _is_outcome(event: str) -> bool:
    return speaks_of(parse_heading(event).text, _OUTCOME)


def _is_imaging_followup(event: str) -> bool:
    return speaks_of(parse_heading(event).text, ("followup",))


def describe_cells(candidate: Candidate, *, hide: bool) -> str:
    """A few values for the eyes of the hospital; none of an identifier or a path."""
    filled = [cell for cell in candidate.cells if cell is not None]
    if hide or not filled:
        return f"{len({normalise_code(cell) for cell in filled})} different" if filled else "blank"
    shown = list(dict.fromkeys(str(cell) for cell in filled))
    return ", ".join(shown[:3]) + (", …" if len(shown) > 3 else "")
