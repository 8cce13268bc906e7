"""Repeated readings: of each patient by several readers, and by one reader in several sessions.

The first reader's first session stands in the table's ordinary columns. Every other reading has columns of
its own, whose names say who read and in which session.

References
----------
Ning et al. (2025), Scientific Reports, Methods and Fig. 3 (intra- and inter-observer agreement).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from common.cohort.variable import Variable

Reader: TypeAlias = str
"""Who read, and in which session: "first", "intra", "inter", or e.g. "reader3-session1"."""

Reading: TypeAlias = str
"""A `Reader` other than the first: intra is the first reader's second session, inter the second reader's
first; every other has the name readerN-sessionM."""

FIRST: Reader = "first"
"""The first reader's first session."""

READINGS: tuple[Reading, ...] = ("intra", "inter")
"""The paper's repeated readings, in the order of the table's columns."""

MOST = 20
"""So many readers and so many sessions have names."""

MARKERS = (
    "irregular_shape",
    "satellite_sign",
    "island_sign",
    "black_hole_sign",
    "blend_sign",
    "fluid_level",
    "swirl_sign",
    "hypodensity",
    "heterogeneous_density",
)
"""The nine NCCT markers, as the paper's Table 1 lists them."""

MASK_COLUMN = "baseline_mask"
"""The column of the first reading's mask."""

_WORDS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ORDINALS = (*_WORDS, *(f"{number}th" for number in range(len(_WORDS) + 1, MOST + 1)))
_PAPERS = {(1, 1): FIRST, (1, 2): "intra", (2, 1): "inter"}
_PLACES = {name: place for place, name in _PAPERS.items()}
_GENERAL = re.compile(r"reader([1-9]\d?)-session([1-9]\d?)")
_COLUMN = re.compile(
    r"(?P<name>\w+?)(?:_(?P<reader>{0})_reader)?(?:_(?P<session>{0})_session)?".format(
        "|".join(_ORDINALS[1:])
    )
)


def name_reading(reader: int, session: int) -> Reader:
    """The name of a reading.

    Parameters
    ----------
    reader, session : int
        From 1.

    Examples
    --------
    >>> [name_reading(1, 1), name_reading(1, 2), name_reading(2, 1), name_reading(3, 2)]
    ['first', 'intra', 'inter', 'reader3-session2']
    """
    return _PAPERS.get((reader, session), f"reader{reader}-session{session}")


def place_of_reading(reading: Reader) -> tuple[int, int]:
    """The number of a reading's reader and of the session, both from 1; the inverse of `name_reading`.

    Raises
    ------
    ValueError
        If no reading has this name.
    """
    if reading in _PLACES:
        return _PLACES[reading]
    found = _GENERAL.fullmatch(reading)
    place = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < max(place) <= MOST or place in _PAPERS:
        raise ValueError(f"{reading!r} is no reading -> intra, inter, or e.g. reader3-session1")
    return place


def list_readings(sessions: Sequence[int]) -> tuple[Reader, ...]:
    """All readings of readers who read in so many sessions, reader by reader.

    Examples
    --------
    >>> list_readings([2, 1])
    ('first', 'intra', 'inter')
    """
    return tuple(
        name_reading(reader, session)
        for reader, number in enumerate(sessions, 1)
        for session in range(1, number + 1)
    )


def describe_reading(reading: Reader) -> str:
    """A reading in words.

    Examples
    --------
    >>> [describe_reading(reading) for reading in ("first", "intra", "inter", "reader3-session2")]
    ['first reader', 'second session', 'second reader', 'third reader, second session']
    """
    reader, session = place_of_reading(reading)
    who = [f"{_ORDINALS[reader - 1]} reader"] if reader > 1 or session == 1 else []
    when = [f"{_ORDINALS[session - 1]} session"] if session > 1 else []
    return ", ".join((*who, *when))


def column_of_reading(name: str, reading: Reader) -> str:
    """The name of the column that holds a variable's reading; of the first one, the variable's own name.

    Examples
    --------
    >>> column_of_reading("baseline_mask", "inter")
    'baseline_mask_second_reader'
    >>> column_of_reading("hypodensity", "reader3-session2")
    'hypodensity_third_reader_second_session'
    """
    reader, session = place_of_reading(reading)
    who = f"_{_ORDINALS[reader - 1]}_reader" if reader > 1 else ""
    return name + who + (f"_{_ORDINALS[session - 1]}_session" if session > 1 else "")


def find_reading(column: str) -> tuple[str, Reading] | None:
    """The mask or marker and the repeated reading that a column of this name holds; None if it holds none.

    Examples
    --------
    >>> find_reading("hypodensity_third_reader")
    ('hypodensity', 'reader3-session1')
    """
    found = _COLUMN.fullmatch(column)
    if found is None or found["name"] not in {MASK_COLUMN, *MARKERS}:
        return None
    reader, session = (_ORDINALS.index(found[part] or "first") + 1 for part in ("reader", "session"))
    return None if (reader, session) == (1, 1) else (found["name"], name_reading(reader, session))


def variables_of_readings(
    markers: Iterable[Variable], readings: Iterable[Reading] = READINGS
) -> Iterator[Variable]:
    """The optional columns of repeated readings: a mask and the NCCT markers of each.

    Parameters
    ----------
    markers : iterable of Variable
        The columns of the first reading.
    readings : iterable of Reading
        The paper's by default.
    """
    first_reading = tuple(markers)
    for reading in readings:
        who, circumstances = describe_reading(reading), _describe_circumstances(reading)
        yield Variable(
            column_of_reading(MASK_COLUMN, reading),
            "path",
            "repeated readings",
            f"Baseline mask, {who}",
            f"The baseline CT segmented again {circumstances}",
            required=False,
        )
        for marker in first_reading:
            yield Variable(
                column_of_reading(marker.name, reading),
                "binary",
                "repeated readings",
                f"{marker.label}, {who}",
                f"{marker.label} judged again {circumstances}",
                required=False,
            )


def _describe_circumstances(reading: Reading) -> str:
    reader, session = place_of_reading(reading)
    if reader == 1:
        return f"by the same reader in a {_ORDINALS[session - 1]} session, without a look at the first"
    again = "" if session == 1 else f" in a {_ORDINALS[session - 1]} session"
    return f"by a {_ORDINALS[reader - 1]} reader{again}, without a look at the first one's"
