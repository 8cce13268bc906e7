"""The ledger as tables that a data protection officer can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.filesize import decimal
from rich.table import Table

from client.ledger import Departure, Line

_OWN = "shown as this hospital's own"


def audit_tables(lines: Sequence[Line]) -> Iterator[Table]:
    """One table a study: answers of one kind that left one after the other are one row."""
    studies = dict.fromkeys(line.departure.plan_hash for line in lines)
    for study in studies:
        yield _table(study, [line for line in lines if line.departure.plan_hash == study])


def _table(study: str, lines: Sequence[Line]) -> Table:
    table = Table(title=f"Plan {study[:12] or 'unknown'}", title_justify="left")
    for name in ("first", "last", "phase", "what", "of"):
        table.add_column(name)
    for name in ("answers", "numbers", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("readable as")
    for _, group in groupby(lines, key=lambda line: _alike(line.departure)):
        table.add_row(*_row(list(group)))
    return table


def _alike(departure: Departure) -> tuple[object, ...]:
    return (
        departure.phase,
        departure.what,
        departure.subject,
        departure.code,
        departure.summed_with,
        departure.hidden,
    )


def _row(lines: Sequence[Line]) -> tuple[str, ...]:
    first, last = lines[0], lines[-1]
    departure = first.departure
    what = departure.what if departure.code == "OK" else f"{departure.what} {departure.code}"
    return (
        f"{first.time:%Y-%m-%d %H:%M:%S}",
        f"{last.time:%H:%M:%S}",
        departure.phase,
        what,
        departure.subject,
        str(len(lines)),
        f"{sum(line.departure.numbers for line in lines):,}",
        decimal(sum(line.departure.size for line in lines)),
        _readable(departure),
    )


def _readable(departure: Departure) -> str:
    if not departure.numbers:
        return "no number left"
    if departure.hidden:
        return f"nothing but the sum with {', '.join(departure.summed_with)}"
    return _OWN
