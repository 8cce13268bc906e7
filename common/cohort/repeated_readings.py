"""Repeated readings: by a second reader, and by the first reader in a second session.

References
----------
Ning et al. (2025), Scientific Reports, Methods and Fig. 3 (intra- and inter-observer agreement).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from common.cohort.variable import Variable

Reading: TypeAlias = Literal["intra", "inter"]
"""intra: the reader of the first mask once more, later; inter: another reader."""

READINGS: tuple[Reading, ...] = ("intra", "inter")
"""Every repeated reading, in the order of the table's columns."""

Reader: TypeAlias = Literal["first"] | Reading
"""Whose reading: the first, or a repeated one."""

READERS: tuple[Reader, ...] = ("first", *READINGS)
"""The first reading, then the repeated ones."""

WHO: Mapping[Reading, str] = MappingProxyType({"intra": "second session", "inter": "second reader"})
"""Each repeated reading in words."""

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

_CIRCUMSTANCES: Mapping[Reading, str] = MappingProxyType(
    {
        "intra": "by the same reader in a second session, without a look at the first",
        "inter": "by a second reader, without a look at the first one's",
    }
)


def column_of_reading(name: str, reading: Reading) -> str:
    """The name of the column that holds a variable's repeated reading.

    Examples
    --------
    >>> repeated_column("baseline_mask", "inter")
    'baseline_mask_second_reader'
    """
    return f"{name}_{WHO[reading].replace(' ', '_')}"


def variables_of_readings(markers: Iterable[Variable]) -> Iterator[Variable]:
    """The optional columns of repeated readings: a mask and the NCCT markers of each.

    Parameters
    ----------
    markers : iterable of Variable
        The columns of the first reading.
    """
    first_reading = tuple(markers)
    for reading in READINGS:
        yield Variable(
            column_of_reading(MASK_COLUMN, reading),
            "path",
            "repeated readings",
            f"Baseline mask, {WHO[reading]}",
            f"The baseline CT segmented again {_CIRCUMSTANCES[reading]}",
            required=False,
        )
        for marker in first_reading:
            yield Variable(
                column_of_reading(marker.name, reading),
                "binary",
                "repeated readings",
                f"{marker.label}, {WHO[reading]}",
                f"{marker.label} judged again {_CIRCUMSTANCES[reading]}",
                required=False,
            )
