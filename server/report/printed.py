"""Tables as a journal prints them, in one form for the page and for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from string import ascii_lowercase

from common.stats.estimate import Estimate, Status
from server.report.auc_words import (
    AucBounds,
    describe_bounds,
    describe_no_interval,
    describe_other_interval,
)
from server.report.journal_style import JournalStyle, format_p_in
from server.report.words import (
    ALPHA,
    DASH,
    format_bounds,
    format_interval,
    format_number,
    format_p_value,
    format_ratio,
    name_standing,
)


@dataclass(frozen=True)
class TableEntry:
    """One cell of a table.

    Attributes
    ----------
    text : str
        Its first line.
    mark : str
        Letters of its footnotes, separated by commas.
    below : str
        A second, smaller line; empty if there is none.
    absent : bool
        Whether the text says why there is no number.
    strong : bool
        Whether it is emphasised, as a significant p-value.
    p_value : float or None
        The p-value in full that the text gives; None if it gives another number.
    """

    text: str
    mark: str = ""
    below: str = ""
    absent: bool = False
    strong: bool = False
    p_value: float | None = None

    def write_plain(self, style: JournalStyle = JournalStyle.PAPER) -> str:
        """Text, second line and footnotes in one line, e.g. "14 (66.7); missing: 2 [a]"."""
        first = self.text if self.p_value is None else format_p_in(style, self.p_value)
        text = "; ".join(part for part in (first, self.below) if part)
        return f"{text} [{self.mark}]" if self.mark else text


BLANK = TableEntry("")
NOT_APPLICABLE = TableEntry(DASH)


@dataclass(frozen=True)
class ColumnGroup:
    """Columns under one heading.

    Attributes
    ----------
    title : str
        The common heading; empty if the columns have none.
    columns : tuple of str
        The heading of each column.
    mark : str
        Letters of the common heading's footnotes.
    """

    title: str
    columns: tuple[str, ...]
    mark: str = ""


@dataclass(frozen=True)
class TableLine:
    """One line of a table.

    Attributes
    ----------
    label : str
        The text of the first column.
    entries : tuple of TableEntry
        In the order of the columns; empty if the line is a heading.
    parent : str
        Label of the line under which it is indented; empty if it is not.
    """

    label: str
    entries: tuple[TableEntry, ...] = ()
    parent: str = ""


@dataclass(frozen=True)
class PrintedTable:
    """A table with its footnotes.

    Attributes
    ----------
    caption : str
        The text above the table.
    stub : tuple of (str, str)
        Headings of the first column: for its lines, and for lines indented under them.
    groups : tuple of ColumnGroup
        The columns beside the first.
    lines : tuple of TableLine
        From top to bottom.
    footnotes : tuple of (str, str)
        Letter and text of each.
    """

    caption: str
    stub: tuple[str, str]
    groups: tuple[ColumnGroup, ...]
    lines: tuple[TableLine, ...]
    footnotes: tuple[tuple[str, str], ...] = ()

    @property
    def width(self) -> int:
        """Number of columns beside the first."""
        return sum(len(group.columns) for group in self.groups)

    @property
    def edges(self) -> tuple[bool, ...]:
        """Whether each column beside the first is the leftmost of its group."""
        return tuple(place == 0 for group in self.groups for place in range(len(group.columns)))

    @property
    def grouped(self) -> bool:
        """Whether any columns have a common heading."""
        return any(group.title for group in self.groups)


@dataclass
class Footnotes:
    """Letters for the texts of footnotes, in the order in which the table first needs them."""

    _letters: dict[str, str] = field(default_factory=dict)

    def mark(self, text: str) -> str:
        """The text's letter: a, b, ..., z, aa, ab, ...; nothing for no text."""
        if not text:
            return ""
        if text not in self._letters:
            before, place = divmod(len(self._letters), len(ascii_lowercase))
            first = ascii_lowercase[before - 1] if before else ""
            self._letters[text] = first + ascii_lowercase[place]
        return self._letters[text]

    def mark_all(self, *texts: str) -> str:
        """The letters of several texts, e.g. "a,c"."""
        return ",".join(letter for letter in map(self.mark, texts) if letter)

    def list_texts(self) -> tuple[tuple[str, str], ...]:
        """Letter and text of each footnote."""
        return tuple((letter, text) for text, letter in self._letters.items())


def enter_absent(standing: Status, notes: Footnotes) -> TableEntry:
    """The entry for a number that is withheld or not defined, with the reason as a footnote."""
    word = name_standing(standing)
    reason = f"{word[0].upper()}{word[1:]}: {standing.reason}." if standing.reason else ""
    return TableEntry(word, notes.mark(reason), absent=True)


def enter_estimate(estimate: Estimate, notes: Footnotes) -> TableEntry:
    """The entry for a value with its interval, e.g. "0.777 (0.716-0.830)"; why there is none, where known."""
    if estimate.value is None:
        return enter_absent(estimate.standing, notes)
    bounds = format_interval(estimate)
    if bounds:
        return TableEntry(f"{format_number(estimate.value)} ({bounds})")
    return TableEntry(format_number(estimate.value), notes.mark(_write_sentence(estimate.standing.reason)))


def enter_auc(
    estimate: Estimate, usual: str, notes: Footnotes, bounds: AucBounds = (None, None)
) -> TableEntry:
    """The entry for an AUC with its interval, and a footnote with what a reader must know of it.

    Parameters
    ----------
    estimate : Estimate
        The AUC.
    usual : str
        The method of the other AUCs' intervals, as the plan names it.
    notes : Footnotes
        Of the table.
    bounds : tuple of float or None
        How far the raw scores' AUC, and the limits of its interval, can be.
    """
    if estimate.value is None:
        return enter_absent(estimate.standing, notes)
    interval = format_interval(estimate)
    texts = (
        describe_other_interval(estimate, usual) or _write_sentence(describe_no_interval(estimate)),
        describe_bounds(bounds),
    )
    value = format_number(estimate.value)
    return TableEntry(
        f"{value} ({interval})" if interval else value, notes.mark(" ".join(filter(None, texts)))
    )


def _write_sentence(words: str) -> str:
    """The words with a capital letter and a full stop; nothing of nothing."""
    return f"{words[0].upper()}{words[1:]}." if words else ""


def enter_value(estimate: Estimate, notes: Footnotes) -> TableEntry:
    """The entry for a value without its interval."""
    if estimate.value is None:
        return enter_absent(estimate.standing, notes)
    return TableEntry(format_number(estimate.value))


def enter_ratio(estimate: Estimate, notes: Footnotes) -> TableEntry:
    """The entry for an odds ratio with its interval, of which one limit or both may not have been found."""
    if estimate.value is None:
        return enter_absent(estimate.standing, notes)
    if estimate.low is None and estimate.high is None:
        return TableEntry(format_ratio(estimate.value))
    low, high = (
        "not found" if limit is None else format_ratio(limit) for limit in (estimate.low, estimate.high)
    )
    return TableEntry(f"{format_ratio(estimate.value)} ({format_bounds(low, high)})")


def enter_p_value(value: float | None, mark: str = "") -> TableEntry:
    """The entry for a p-value, emphasised below 0.05, or a dash."""
    strong = value is not None and value < ALPHA
    return TableEntry(format_p_value(value), mark, strong=strong, p_value=value)


def _mark_title(group: ColumnGroup) -> str:
    return f"{group.title} [{group.mark}]" if group.mark else group.title


def write_spreadsheet_rows(
    table: PrintedTable, style: JournalStyle = JournalStyle.PAPER
) -> Iterator[tuple[str, ...]]:
    """The table's rows for a CSV file: two headings, the lines, a blank row and the footnotes."""
    if table.grouped:
        titles = ((_mark_title(group), *[""] * (len(group.columns) - 1)) for group in table.groups)
        yield ("", "", *(title for group in titles for title in group))
    yield (*table.stub, *(column for group in table.groups for column in group.columns))
    for line in table.lines:
        if line.entries:
            names = (line.parent, line.label) if line.parent else (line.label, "")
            yield (*names, *(entry.write_plain(style) for entry in line.entries))
    if table.footnotes:
        yield ()
        for letter, text in table.footnotes:
            yield (f"[{letter}] {text}",)
