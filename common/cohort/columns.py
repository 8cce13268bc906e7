"""Which column of a table holds which variable."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from common.cohort.arrangement import ColumnSource
from common.cohort.column_letters import column_letter
from common.cohort.schema import VARIABLES, Variable, find_variable
from common.cohort.sheet import SheetCell, SheetRow, TableSheet, read_heading
from common.errors import Finding

_RESEMBLES = 0.75
"""difflib's ratio from which an unknown heading counts as a misspelt one ("smoker", "ich_volume")."""

_MAY_BE_MEANT = 0.5
"""The ratio from which a heading is suggested as the missing required column ("sbp")."""

_ROWS_SEARCHED = 5
"""Rows among which the headings are looked for."""
_FEWEST_HEADINGS = 3
"""Fewest known headings that make a lower row the headings'; no patient's cells hold as many."""

_IMAGES = frozenset(variable.name for variable in VARIABLES if variable.group == "files")
_BASELINE = frozenset({"baseline_ct", "baseline_mask"})


@dataclass(frozen=True)
class WantedColumns:
    """What a study needs of a table beyond the schema.

    Attributes
    ----------
    scores : tuple of Variable
        The study's score columns, from `common.cohort.score_columns`.
    own : tuple of Variable
        The variables that the plan declares beyond the schema's.
    needed : frozenset of str or None
        Columns of the schema that the study needs; None: all that the schema requires.
    images : bool or None
        Whether the columns of baseline CT and mask must be there; None: if the table has any for images.
    complete : bool
        Whether every column that the schema requires must be there, not the identifier alone.
    """

    scores: tuple[Variable, ...] = ()
    images: bool | None = True
    complete: bool = True
    own: tuple[Variable, ...] = ()
    needed: frozenset[str] | None = None

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Columns that the study needs and the schema does not have."""
        return (*self.own, *self.scores)

    def needs(self, variable: Variable) -> bool:
        """Whether a column of the schema must be there; `images` decides of its columns of files."""
        if not variable.required or self.needed is None:
            return variable.required
        return variable.group in {"identity", "files"} or variable.name in self.needed


SCHEMA_ALONE = WantedColumns()
"""No scores, and images for networks."""


@dataclass(frozen=True)
class MatchedColumn:
    """A column of the table and the variable that it holds.

    Attributes
    ----------
    variable : Variable
        From the schema or the study.
    index : int
        The column's place in the table, from 0; -1 if it has none.
    source : ColumnSource or None
        The hospital's own column behind it, where a mapping says so.
    """

    variable: Variable
    index: int
    source: ColumnSource | None = None

    @property
    def where(self) -> str:
        """For a message: the variable, the letter that a spreadsheet shows, the hospital's own heading."""
        letter = "" if self.index < 0 else column_letter(self.index)
        named = "" if self.source is None else self.source.heading
        own = repr(named) if named not in {"", self.variable.name} else ""
        event = "" if self.source is None else self.source.event
        return f"column {self.variable.name!r} ({', '.join(filter(None, (letter, own, event)))})"

    def cell_of(self, row: SheetRow) -> SheetCell:
        """The row's cell; None where the row ends before it."""
        if self.source is not None and self.source.extra is not None:
            return row.extra[self.source.extra]
        return row.cells[self.index] if self.index < len(row.cells) else None


@dataclass(frozen=True)
class MatchedColumns:
    """All columns of a table.

    Attributes
    ----------
    matched : tuple of MatchedColumn
        Columns of the schema and of the study, in the table's order.
    width : int
        Number of cells that a row should have.
    images : bool
        Whether every patient needs CT and mask.
    unread_files : tuple of str
        The schema's columns of files that the table lacks or misspells: what they name is not known.
    own : mapping of str to Variable
        The plan's own variables by heading.
    """

    matched: tuple[MatchedColumn, ...]
    width: int
    images: bool
    unread_files: tuple[str, ...] = ()
    own: Mapping[str, Variable] = field(default_factory=dict, hash=False)

    @cached_property
    def score_names(self) -> frozenset[str]:
        """The columns of scores."""
        return frozenset(one.variable.name for one in self.matched if one.variable.group == "scores")


def match_columns(
    table: str,
    sheet: TableSheet,
    wanted: WantedColumns,
    sources: Mapping[str, ColumnSource] = MappingProxyType({}),
) -> tuple[MatchedColumns, list[Finding]]:
    """The table's columns, and a finding for each problem with its headings.

    Parameters
    ----------
    table : str
        The file's name, for messages.
    sheet : TableSheet
        The table.
    wanted : WantedColumns
        What the study needs beyond the schema.
    sources : mapping of str to ColumnSource
        The hospital's columns by variable, where a mapping names them.
    """
    beside = [name for name, source in sources.items() if source.extra is not None]
    header = (*sheet.header, *beside)
    known = {heading: variable for heading in header if (variable := find_variable(heading)) is not None}
    known |= {variable.name: variable for variable in wanted.declared}
    absent = [one for one in (*VARIABLES, *wanted.own) if one.name not in header]
    unknown = [heading for heading in header if heading and heading not in known]
    misspelt = {
        heading: near for heading in unknown if (near := _find_resembling(heading, absent)) is not None
    }
    findings = [] if sources else [*_find_duplicates(table, header), *_find_unnamed(table, sheet)]
    findings += [
        Finding(
            f"{table}, row 1, column {column_letter(header.index(heading))}",
            f"unknown column {heading!r}",
            f"did you mean {near!r}? Headings are compared letter by letter",
        )
        for heading, near in misspelt.items()
    ]
    meant = {*header, *misspelt.values()}
    images = bool(_IMAGES & meant) if wanted.images is None else wanted.images
    required = [*filter(wanted.needs, VARIABLES), *wanted.declared]
    lacking = [variable for variable in required if variable.name not in meant]
    if not wanted.complete:
        lacking = [variable for variable in lacking if variable.name in {"patient", *_BASELINE}]
    if images and not _BASELINE & meant:
        findings.append(_report_no_images(table))
    elif images:
        findings += [
            _report_missing(table, variable, unknown) for variable in lacking if variable.name in _BASELINE
        ]
    findings += [
        _report_unmapped(table, variable) if sources else _report_missing(table, variable, unknown)
        for variable in lacking
        if variable.name not in _BASELINE
    ]
    ordered = _order_columns(header, known, sources)
    unread = {*(_IMAGES & {*misspelt.values()}), *(_BASELINE - {*header} if _IMAGES & meant else ())}
    unread_files = tuple(variable.name for variable in VARIABLES if variable.name in unread)
    own = {variable.name: variable for variable in wanted.own}
    return MatchedColumns(ordered, len(sheet.header), images, unread_files, own), findings


def _order_columns(
    header: tuple[str, ...], known: Mapping[str, Variable], sources: Mapping[str, ColumnSource]
) -> tuple[MatchedColumn, ...]:
    """The columns that are looked at, in the table's order; of a heading that stands twice the first."""
    places = {heading: index for index, heading in reversed(list(enumerate(header)))}
    matched = (
        MatchedColumn(known[name], _find_place(sources.get(name), index), sources.get(name))
        for name, index in places.items()
        if name in known
    )
    return tuple(sorted(matched, key=lambda column: column.index))


def _find_place(source: ColumnSource | None, index: int) -> int:
    if source is None:
        return index
    return -1 if source.index is None else source.index


def find_headings_below(table: str, sheet: TableSheet, wanted: WantedColumns) -> Finding | None:
    """A finding if a title stands above the headings; None if row 1 holds them, or no row near it does."""
    declared = {variable.name for variable in wanted.declared}
    best, most = None, max(_FEWEST_HEADINGS - 1, _count_headings(sheet.header, declared))
    for row in sheet.rows[:_ROWS_SEARCHED]:
        known = _count_headings(map(read_heading, row.cells), declared)
        if row.number <= _ROWS_SEARCHED and known > most:
            best, most = row.number, known
    if best is None:
        return None
    what = f"the headings stand in row {best}"
    return Finding(f"{table}, row {best}", what, "delete the rows above: headings belong into row 1")


def _count_headings(headings: Iterable[str], declared: set[str]) -> int:
    return len({one for one in headings if one in declared or find_variable(one) is not None})


def _find_resembling(heading: str, absent: list[Variable]) -> str | None:
    """The schema's column that this heading misspells; None if the column is the hospital's own."""
    # NFKC, because keyboards for Chinese and Japanese write letters of another width that look alike
    plain = unicodedata.normalize("NFKC", heading).casefold()
    normal = "_".join(plain.replace("-", " ").replace("_", " ").split())
    known = {variable.name: variable.name for variable in absent}
    known |= {variable.label.casefold().replace(" ", "_"): variable.name for variable in absent}
    near = difflib.get_close_matches(normal, known, n=1, cutoff=_RESEMBLES)
    return known[near[0]] if near else None


def _find_duplicates(table: str, header: tuple[str, ...]) -> list[Finding]:
    """Findings on headings that occur twice (capitals ignored): the program cannot know which is meant."""
    counts = Counter(heading.casefold() for heading in header if heading)
    return [
        Finding(
            f"{table}, row 1, columns "
            + " and ".join(column_letter(i) for i, other in enumerate(header) if other.casefold() == heading),
            f"the heading {heading!r} stands {count} times",
            "keep one of the columns",
        )
        for heading, count in counts.items()
        if count > 1
    ]


def _find_unnamed(table: str, sheet: TableSheet) -> list[Finding]:
    """Findings on columns that have cells but no heading."""
    return [
        Finding(
            f"{table}, column {column_letter(index)}",
            "the column has cells but no heading",
            "name it, or delete the column",
        )
        for index, heading in enumerate(sheet.header)
        if not heading and any(index < len(row.cells) and row.cells[index] is not None for row in sheet.rows)
    ]


def _report_no_images(table: str) -> Finding:
    """One finding for a site without any images in a study of networks."""
    return Finding(
        f"{table}, row 1",
        "columns 'baseline_ct' and 'baseline_mask' are missing: the study's networks look at CTs",
        "add both columns; a site without images can take part in a study without networks",
    )


def _report_unmapped(table: str, variable: Variable) -> Finding:
    """One finding on a variable of which a hospital's mapping does not speak."""
    return Finding(
        table,
        f"no column for {variable.name!r}: {variable.meaning}; {variable.allowed}",
        "name your column under [mapping.columns] in site.toml"
        + ("" if variable.name == "patient" else ", or list it in mapping.not_recorded"),
    )


def _report_missing(table: str, variable: Variable, unknown: list[str]) -> Finding:
    near = difflib.get_close_matches(variable.name, unknown, n=1, cutoff=_MAY_BE_MEANT)
    hint = f" (is {near[0]!r} meant?)" if near else ""
    return Finding(
        f"{table}, row 1",
        f"column {variable.name!r} is missing{hint}: {variable.meaning}; {variable.allowed}",
        "add the column; leave cells blank where the value is unknown",
    )
