"""Values that look as if they were in another unit: of single cells beyond the range, and of whole columns.

A cell beyond its range is refused in any case; here is why it may have happened. A column within its range is
used, and a person has to look at it: 180 is an interval in hours, and three hours in minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from common.cohort.columns import MatchedColumns
from common.cohort.mixed_units import find_stray_units
from common.cohort.patient import Patient
from common.cohort.variable import Range, Variable
from common.errors import Finding, Level

_FEWEST = 5
"""Values from which a column's distribution tells something."""


@dataclass(frozen=True)
class OtherUnit:
    """A unit in which hospitals keep a variable although the schema has another.

    Attributes
    ----------
    columns : tuple of str
        The variables.
    name : str
        What the values may be, e.g. "minutes".
    factor : float
        One of these in the schema's unit.
    usual : Range
        Values of most patients in the schema's unit: a value that converts to one of these is suspicious.
    median : Range or None
        Medians that no cohort has in the schema's unit; None: its values lie beyond the schema's range.
    whole : bool
        Whether the suspicion needs whole numbers.
    peak : float
        The largest value that the suspicion needs.
    stray : float or None
        A single value beyond this is suspicious although the schema allows it; None: no single one is.
    """

    columns: tuple[str, ...]
    name: str
    factor: float
    usual: Range
    median: Range | None = None
    whole: bool = False
    peak: float = 0.0
    stray: float | None = None


_VOLUMES = ("ich_volume_ml", "ivh_volume_ml", "followup_ich_volume_ml", "followup_ivh_volume_ml")
_HEMATOMAS = ("ich_volume_ml", "followup_ich_volume_ml")
_PRESSURES = ("sbp_mmhg", "dbp_mmhg")

_OTHER_UNITS = (
    # Patients come two or three days after onset, hardly any after ten; follow-ups after months are usual
    OtherUnit(
        ("onset_to_ct_h",), "minutes", 1 / 60, Range(0.2, 72), Range(24, 2160), whole=True, peak=72, stray=240
    ),
    OtherUnit(("onset_to_ct_h",), "days", 24, Range(0.2, 24), Range(1e-9, 0.3)),
    OtherUnit(("ct_to_followup_h",), "minutes", 1 / 60, Range(3, 72), Range(240, 8760), whole=True, peak=720),
    OtherUnit(("ct_to_followup_h",), "days", 24, Range(3, 168), Range(1e-9, 4)),
    OtherUnit(_VOLUMES, "mm³", 0.001, Range(0.001, 400)),
    OtherUnit(_HEMATOMAS, "litres", 1000, Range(0.01, 400), Range(1e-9, 0.1)),
    OtherUnit(("sbp_mmhg",), "kPa", 7.50062, Range(70, 300)),
    OtherUnit(("sbp_mmhg",), "cm Hg", 10, Range(70, 300)),
    OtherUnit(("dbp_mmhg",), "kPa", 7.50062, Range(30, 200)),
    OtherUnit(("dbp_mmhg",), "cm Hg", 10, Range(30, 200)),
    OtherUnit(("age",), "months", 1 / 12, Range(10, 115)),
    OtherUnit(("age",), "days", 1 / 365.25, Range(10, 115)),
    OtherUnit(("age",), "decades", 10, Range(10, 115), Range(1, 12)),
)
_BIRTH_YEARS = Range(1890, 2100)
_QUICK = Range(20, 150)
_CLOTTING_S = Range(8, 20)
_SEVERAL, _SMALL_CM = 20, 10.0
"""Of this many hematomas one is larger than this in ml; a diameter in cm never is."""


def guess_unit(variable: Variable, value: float) -> str:
    """What a value beyond the variable's range may be, in words; empty if nothing is near."""
    if variable.name == "age" and value in _BIRTH_YEARS and value.is_integer():
        return "a year of birth?"
    if variable.name == "inr" and value in _QUICK:
        return "a prothrombin time in %? it is no INR"
    guesses = [
        f"{other.name} would be {other.factor * value:.3g} {variable.unit}"
        for other in _OTHER_UNITS
        if variable.name in other.columns and other.factor * value in other.usual
    ]
    return f"{' and '.join(guesses)}?" if guesses else ""


def guess_stray(variable: Variable, value: float) -> tuple[float, str] | None:
    """What one value far from the rest may be: in the schema's unit, and its unit; None if it is usual."""
    for other in _OTHER_UNITS:
        converted = other.factor * value
        if (
            variable.name in other.columns
            and other.stray is not None
            and value > other.stray
            and converted in other.usual
            and (not other.whole or value.is_integer())
        ):
            return converted, other.name
    return None


def find_unit_doubts(table: str, columns: MatchedColumns, patients: Sequence[Patient]) -> Iterator[Finding]:
    """Remarks on columns whose distribution is not one in the schema's unit."""
    for column in columns.matched:
        variable = column.variable
        if variable.kind != "continuous":
            continue
        cells = ((patient.row, patient.value(variable.name)) for patient in patients)
        values = {row: cell for row, cell in cells if isinstance(cell, float)}
        remedy = f"find out what was written down; the column's unit is {variable.unit or 'a pure number'}"
        if len(values) < _FEWEST:
            continue
        whole = tuple(_doubt_column(variable, tuple(values.values())))
        for doubt in whole or find_stray_units(variable, values):
            yield Finding(f"{table}, {column.where}", doubt, remedy, Level.LOOK)


def _doubt_column(variable: Variable, values: Sequence[float]) -> Iterator[str]:
    middle, largest = median(values), max(values)
    shown = f"the median is {middle:g} {variable.unit}".rstrip()
    for other in _OTHER_UNITS:
        if (
            variable.name in other.columns
            and other.median is not None
            and middle in other.median
            and other.factor * middle in other.usual
            and largest > other.peak
            and (not other.whole or all(value.is_integer() for value in values))
        ):
            yield f"{shown}; if these are {other.name}, it is {other.factor * middle:.3g} {variable.unit}"
    if variable.name == "inr" and middle in _CLOTTING_S:
        yield f"{shown}; if these are prothrombin times in seconds, they are no INR"
    if variable.name in _HEMATOMAS and len(values) >= _SEVERAL and 0 < largest <= _SMALL_CM:
        yield f"{shown}, the largest of {len(values)} is {largest:g}; are these diameters in cm?"
