"""What the report calls readers, readings and comparisons of readings."""

from __future__ import annotations

from collections.abc import Sequence

from common.cohort.repeated_readings import FIRST, Reader, describe_reading, name_reading, place_of_reading
from common.plan.agreement import describe_criterion
from common.plan.sections import ALL_READERS, ALL_SESSIONS, ReadingCriterion
from server.report.words import join_words

_WITH_FIRST: dict[Reader, str] = {"intra": "Same reader, second session", "inter": "Second reader"}
"""The paper's repeated readings, each beside the first."""


def title_reader(number: int, names: Sequence[str]) -> str:
    """A reader's name in the plan, else "First reader" and so on.

    Parameters
    ----------
    number : int
        From 1.
    names : sequence of str
        Those of the plan, in its order; "" where it gives none.
    """
    given = names[number - 1] if number <= len(names) else ""
    return given or f"{_title_ordinal(number)} reader"


def title_criterion(name: ReadingCriterion, names: Sequence[str]) -> str:
    """An entry of `radiomics.readings`: a reading that is compared with the first, or several together."""
    if name in {ALL_READERS, ALL_SESSIONS} or not any(names):
        words = describe_criterion(name)
        return _WITH_FIRST.get(name, words[:1].upper() + words[1:])
    return title_comparison((FIRST, name), names)


def title_comparison(readings: Sequence[Reader], names: Sequence[str]) -> str:
    """Readings that are compared with each other; the paper's two are called by what is beside the first."""
    if list(readings[:-1]) == [FIRST] and readings[-1] in _WITH_FIRST and len(names) <= 2 and not any(names):
        return _WITH_FIRST[readings[-1]]
    places = [place_of_reading(reading) for reading in readings]
    readers = list(dict.fromkeys(reader for reader, _ in places))
    sessions = list(dict.fromkeys(session for _, session in places))
    if len(readers) == 1:
        numbers = join_words([str(session) for session in sessions])
        return f"{title_reader(readers[0], names)}, sessions {numbers}"
    if len(readers) > 2:
        return f"All {len(readers)} readers"
    return join_words(
        [_title_reading(reading, names, start=not place) for place, reading in enumerate(readings)]
    )


def _title_reading(reading: Reader, names: Sequence[str], *, start: bool) -> str:
    """A reading within a title; "First reader" has a capital at its start alone, a name everywhere."""
    reader, session = place_of_reading(reading)
    who = title_reader(reader, names)
    shown = who if start or who in names else who[0].lower() + who[1:]
    return shown if session == 1 else f"{shown}, session {session}"


def _title_ordinal(number: int) -> str:
    words = describe_reading(name_reading(number, 1))
    return words[:1].upper() + words[1:].removesuffix(" reader")
