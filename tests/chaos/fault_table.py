"""What was broken, how the study took it, and what was said: counted and printed."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = ("fault", "phase", "sites", "how it ended", "waited s", "same bits", "what was said")
_WIDTHS = (34, 11, 5, 22, 8, 9, 72)


@dataclass(frozen=True)
class Row:
    """One fault and what came of it.

    Attributes
    ----------
    fault : str
        Who suffers what.
    phase : str
        Of the study, when it happened.
    sites : int
        How many hospitals took part.
    ended : str
        "went on", "ended, resumed" or what else came of it in a few words.
    waited_s : float or None
        Until the study had asked and heard everybody again, seconds; None if it was not measured.
    same_bits : bool or None
        Whether the results have every bit of an undisturbed study; None if there are none to compare.
    said : str
        By the coordinator's and the hospital's commands, one line of each.
    trouble : str
        What is not as it must be; empty if all is.
    """

    fault: str
    phase: str
    sites: int
    ended: str
    waited_s: float | None
    same_bits: bool | None
    said: str
    trouble: str = ""

    @property
    def holds(self) -> bool:
        """Whether the wait was bounded, the message there and no bit another."""
        return not self.trouble and self.same_bits is not False


def format_head() -> str:
    """The head of the table."""
    return "\n".join((_format_cells(_HEAD), _format_cells(tuple("-" * width for width in _WIDTHS))))


def format_row(row: Row) -> str:
    """A row of the table."""
    return _format_cells(list_cells(row))


def list_cells(row: Row) -> tuple[str, ...]:
    """The row in words, as in the head."""
    bits = {None: "-", True: "yes", False: "NO"}[row.same_bits]
    ended = f"{row.ended}; TROUBLE: {row.trouble}" if row.trouble else row.ended
    waited = "-" if row.waited_s is None else f"{row.waited_s:.0f}"
    return (row.fault, row.phase or "-", str(row.sites), ended, waited, bits, row.said or "nothing")


def write_markdown(rows: Sequence[Row]) -> str:
    """The table for a document."""
    lines = [_join(_HEAD), _join("---" for _ in _HEAD)]
    return "\n".join([*lines, *(_join(cell.replace("|", "/") for cell in list_cells(row)) for row in rows)])


def summarize(rows: Sequence[Row], planned: int) -> tuple[str, int]:
    """The last line and the exit status, 0 if every fault was tried and taken as it must be."""
    taken = sum(row.holds for row in rows)
    said = f"{taken} of {planned} faults taken as they must be"
    if failed := len(rows) - taken:
        said += f", {failed} NOT"
    if missing := planned - len(rows):
        said += f", {missing} NOT RUN"
    return said, 0 if taken == planned else 1


def _join(cells: object) -> str:
    return f"| {' | '.join(cells)} |"  # type: ignore[arg-type]


def _format_cells(cells: Sequence[str]) -> str:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, _WIDTHS, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    )
