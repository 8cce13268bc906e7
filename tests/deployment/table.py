"""What is tried, what came of it on the code before, and what comes of it now."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.deployment.federation import Federation

_WIDTHS = (44, 46, 46)


@dataclass(frozen=True)
class Seen:
    """What an attack saw.

    Attributes
    ----------
    succeeded : bool
        Whether the attacker got what it wanted.
    how : str
        In a few words: what it got, or what refused it.
    """

    succeeded: bool
    how: str


Attempt = Callable[[Federation], Seen]


@dataclass(frozen=True)
class Attack:
    """Something that must be refused.

    Attributes
    ----------
    title : str
        Who does what.
    before : str
        What the code of commit 9a7d608 gave, as this attack saw it there.
    attempt : callable
        Tries it on a running federation.
    control : callable or None
        The same attack from where it must succeed; if it does not, the attack cannot tell success.
    """

    title: str
    before: str
    attempt: Attempt
    control: Attempt | None = None


@dataclass(frozen=True)
class Row:
    """An attack and its end.

    Attributes
    ----------
    attack : Attack
    state : str
        "refused", "SUCCEEDED", "BLIND" (the control did not succeed) or "NOT RUN".
    how : str
    """

    attack: Attack
    state: str
    how: str


def try_attack(attack: Attack, federation: Federation) -> Row:
    """The attack's row; whatever goes wrong is not taken for a refusal."""
    try:
        if attack.control is not None:
            control = attack.control(federation)
            if not control.succeeded:
                return Row(attack, "BLIND", f"where it must succeed it did not: {control.how}")
        seen = attack.attempt(federation)
    except Exception as failure:  # noqa: BLE001 - told in the row, and counted
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        return Row(attack, "NOT RUN", " ".join(lines[-2:])[-300:])
    return Row(attack, "SUCCEEDED" if seen.succeeded else "refused", seen.how)


def format_title() -> str:
    """The head of the table."""
    return "\n".join(
        (
            _format_cells(("attack", "code before", "now")),
            _format_cells(tuple("-" * width for width in _WIDTHS)),
        )
    )


def format_row(row: Row) -> str:
    """A row of the table."""
    return _format_cells((row.attack.title, row.attack.before, f"{row.state}: {row.how}"))


def summarize(rows: Sequence[Row], hindrances: Sequence[str], planned: int) -> tuple[str, int]:
    """The last line and the exit status: 0 if every attack was tried and refused, or tools are missing."""
    counts = {
        state: sum(row.state == state for row in rows)
        for state in ("refused", "SUCCEEDED", "BLIND", "NOT RUN")
    }
    missing = planned - len(rows)
    said = f"{counts['refused']} of {planned} attacks refused, {counts['SUCCEEDED']} succeeded"
    if counts["BLIND"]:
        said += f", {counts['BLIND']} BLIND"
    if counts["NOT RUN"] or missing:
        said += f", {counts['NOT RUN'] + missing} NOT RUN"
    if hindrances:
        said += f"; NOT RUN because: {'; '.join(hindrances)}"
    broken = counts["SUCCEEDED"] + counts["BLIND"] + counts["NOT RUN"] + (missing if not hindrances else 0)
    return said, 1 if broken else 0


def _format_cells(cells: Sequence[str]) -> str:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, _WIDTHS, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    )
