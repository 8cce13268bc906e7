"""What is shown of a long work: the same few words on a terminal, on a page and after `status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Tone: TypeAlias = Literal["good", "busy", "waiting", "bad", "quiet"]
"""All is well; something is computed; somebody is waited for; something went wrong; nothing happens."""


@dataclass(frozen=True)
class ShownBar:
    """How far one part of the work is.

    Attributes
    ----------
    label : str
        Which part.
    done, total : int
        Steps; a total of 0: it is not known how many.
    note : str
        What stands behind the bar; may be empty.
    """

    label: str
    done: int
    total: int
    note: str = ""


@dataclass(frozen=True)
class ShownParty:
    """One site, or the coordinator, as the other side sees it.

    Attributes
    ----------
    name : str
        As in the plan.
    words : str
        What it is at, and when it was last heard.
    tone : Tone
        How the words are coloured.
    """

    name: str
    words: str
    tone: Tone


@dataclass(frozen=True)
class Fact:
    """One value with its name.

    Attributes
    ----------
    label : str
        What it is.
    value : str
        With its unit.
    """

    label: str
    value: str


@dataclass(frozen=True)
class Board:
    """Everything that is shown at one moment.

    Attributes
    ----------
    title : str
        The study's name, or the site's.
    condition : str
        Whether it runs, in a few words.
    tone : Tone
        Of the condition.
    bars : tuple of ShownBar
        The whole, then its part.
    parties : tuple of ShownParty
        Who is asked.
    facts : tuple of Fact
        All else.
    lines : tuple of str
        What happened, the latest last, each with its time.
    """

    title: str
    condition: str
    tone: Tone
    bars: tuple[ShownBar, ...] = ()
    parties: tuple[ShownParty, ...] = ()
    facts: tuple[Fact, ...] = ()
    lines: tuple[str, ...] = ()

    def write_json(self) -> dict[str, Any]:
        """The board as one JSON object."""
        return asdict(self)

    def write_text(self, most_lines: int = 5) -> list[str]:
        """The board as plain lines for a terminal or a mail, with the last of what happened."""
        width = max((len(entry.name) for entry in self.parties), default=0)
        return [
            f"{self.title}: {self.condition}",
            *(f"  {_describe_bar(bar)}" for bar in self.bars),
            *(f"  {party.name:{width}}  {party.words}" for party in self.parties),
            *(f"  {fact.label}: {fact.value}" for fact in self.facts),
            *(f"  | {line}" for line in self.lines[-most_lines:]),
        ]


def _describe_bar(bar: ShownBar) -> str:
    count = f" {bar.done} of {bar.total}" if bar.total else ""
    return f"{bar.label}{count}" + (f"; {bar.note}" if bar.note else "")
