"""The ledger as tables that a data protection officer can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.filesize import decimal
from rich.table import Table

from client.release.ledger import Departure, LedgerLine

_OWN = "shown as this hospital's own"


def make_audit_tables(lines: Sequence[LedgerLine]) -> Iterator[Table]:
    """One table for each study; consecutive answers of the same kind share a row."""
    studies = dict.fromkeys(line.departure.plan_hash for line in lines)
    for study in studies:
        yield _make_table(study, [line for line in lines if line.departure.plan_hash == study])


def _make_table(study: str, lines: Sequence[LedgerLine]) -> Table:
    table = Table(title=f"Plan {study[:12] or 'unknown'}", title_justify="left")
    for name in ("first", "last", "phase", "what", "of"):
        table.add_column(name)
    for name in ("answers", "numbers", "bytes"):
        table.add_column(name, justify="right")
    table.add_column("readable as")
    for _, group in groupby(lines, key=lambda line: _group_of(line.departure)):
        table.add_row(*_make_row(list(group)))
    return table


def _group_of(departure: Departure) -> tuple[object, ...]:
    return (
        departure.phase,
        departure.what,
        departure.subject,
        departure.code,
        departure.summed_with,
        departure.hidden,
    )


def _make_row(lines: Sequence[LedgerLine]) -> tuple[str, ...]:
    first, last = lines[0], lines[-1]
    departure = first.departure
    what = departure.what if departure.code == "OK" else f"{departure.what} {departure.code}"
    return (
        f"{first.time:%Y-%m-%d %H:%M:%S}",
        f"{last.time:%H:%M:%S}",
        departure.phase,
        what,
        departure.subject,
        str(sum(line.departure.times for line in lines)),
        f"{sum(line.departure.numbers for line in lines):,}",
        decimal(sum(line.departure.size for line in lines)),
        _describe_readable(departure),
    )


def _describe_readable(departure: Departure) -> str:
    if not departure.numbers:
        return "no number left"
    if departure.hidden:
        return f"nothing but the sum with {', '.join(departure.summed_with)}"
    return _OWN
