"""Tables as a journal prints them, once for the page and for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from string import ascii_lowercase

from server.records import Measure, Standing
from server.report.words import ALPHA, MISSING, interval, number, p_value, ratio, standing_word


@dataclass(frozen=True)
class Entry:
    """One cell of a table.

    Attributes
    ----------
    text : str
    mark : str
        Letters of its footnotes, separated by commas.
    below : str
        A second, smaller line.
    absent : bool
        Whether the text says why there is no number.
    strong : bool
        Whether it is emphasised, as a significant p-value.
    """

    text: str
    mark: str = ""
    below: str = ""
    absent: bool = False
    strong: bool = False

    @property
    def plain(self) -> str:
        """All of it in one line, e.g. "14 (66.7); missing: 2 [a]"."""
        text = "; ".join(part for part in (self.text, self.below) if part)
        return f"{text} [{self.mark}]" if self.mark else text


BLANK = Entry("")
NOT_APPLICABLE = Entry(MISSING)


@dataclass(frozen=True)
class Group:
    """Columns under one heading.

    Attributes
    ----------
    title : str
        Empty where the columns stand for themselves.
    columns : tuple of str
    """

    title: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes
    ----------
    label : str
    entries : tuple of Entry
        In the order of the columns; none if the line is a heading.
    parent : str
        The line that it is indented under; empty if it is not.
    """

    label: str
    entries: tuple[Entry, ...] = ()
    parent: str = ""


@dataclass(frozen=True)
class PrintedTable:
    """A table with its footnotes.

    Attributes
    ----------
    caption : str
    stub : tuple of str
        Headings of the first column: of its lines, and of lines indented under them.
    groups : tuple of Group
    lines : tuple of Line
    footnotes : tuple of (str, str)
        Letter and text.
    """

    caption: str
    stub: tuple[str, str]
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    footnotes: tuple[tuple[str, str], ...] = ()

    @property
    def width(self) -> int:
        """Columns beside the first."""
        return sum(len(group.columns) for group in self.groups)

    @property
    def edges(self) -> tuple[bool, ...]:
        """Whether each column beside the first is the left one of its group."""
        return tuple(place == 0 for group in self.groups for place in range(len(group.columns)))

    @property
    def grouped(self) -> bool:
        """Whether any columns stand under a common heading."""
        return any(group.title for group in self.groups)


@dataclass
class Footnotes:
    """Letters for texts, in the order in which the table first needs them."""

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

    def marks(self, *texts: str) -> str:
        """The letters of several texts, e.g. "a,c"."""
        return ",".join(letter for letter in map(self.mark, texts) if letter)

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Letter and text of each."""
        return tuple((letter, text) for text, letter in self._letters.items())


def absent_entry(standing: Standing, notes: Footnotes) -> Entry:
    """That a number is withheld or not defined, the reason as a footnote."""
    word = standing_word(standing)
    reason = f"{word[0].upper()}{word[1:]}: {standing.reason}." if standing.reason else ""
    return Entry(word, notes.mark(reason), absent=True)


def measure_entry(measure: Measure, notes: Footnotes) -> Entry:
    """Value and interval as the paper prints them, e.g. "0.777 (0.716-0.830)"."""
    if measure.value is None:
        return absent_entry(measure.standing, notes)
    bounds = interval(measure)
    return Entry(f"{number(measure.value)} ({bounds})" if bounds else number(measure.value))


def value_entry(measure: Measure, notes: Footnotes) -> Entry:
    """The value without its interval."""
    if measure.value is None:
        return absent_entry(measure.standing, notes)
    return Entry(number(measure.value))


def ratio_entry(measure: Measure, notes: Footnotes) -> Entry:
    """An odds ratio with its interval."""
    if measure.value is None:
        return absent_entry(measure.standing, notes)
    if measure.low is None or measure.high is None:
        return Entry(ratio(measure.value))
    return Entry(f"{ratio(measure.value)} ({ratio(measure.low)}{MISSING}{ratio(measure.high)})")


def p_entry(value: float | None, mark: str = "") -> Entry:
    """A p-value, emphasised below 0.05, or a dash."""
    return Entry(p_value(value), mark, strong=value is not None and value < ALPHA)


def spreadsheet(table: PrintedTable) -> Iterator[tuple[str, ...]]:
    """The table's rows for a CSV file: two headings, the lines, a blank row and the footnotes."""
    if table.grouped:
        titles = ((group.title, *[""] * (len(group.columns) - 1)) for group in table.groups)
        yield ("", "", *(title for group in titles for title in group))
    yield (*table.stub, *(column for group in table.groups for column in group.columns))
    for line in table.lines:
        if line.entries:
            names = (line.parent, line.label) if line.parent else (line.label, "")
            yield (*names, *(entry.plain for entry in line.entries))
    if table.footnotes:
        yield ()
        for letter, text in table.footnotes:
            yield (f"[{letter}] {text}",)
