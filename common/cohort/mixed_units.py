"""Columns of which some values alone look as if they were in another unit, as after two persons' typing.

Their medians are usual, so the distribution as a whole tells nothing; a group of values does that hardly any
patient has. Single values are no sign here: such patients exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from common.cohort.variable import Range, Variable

_FEWEST = 2
_ROWS_SHOWN = 8


@dataclass(frozen=True)
class StrayUnit:
    """A unit in which some of a variable's values are kept although the others have the schema's.

    Attributes
    ----------
    columns : tuple of str
        The variables.
    name : str
        What the values may be, e.g. "minutes".
    factor : float or None
        One of these in the schema's unit; None if no factor leads from one to the other.
    strays : Range
        Values in the schema's unit that few patients have, and that this unit makes usual ones.
    share : float
        Of a sound column fewer values than this share are strays.
    whole : bool
        Whether strays are whole numbers.
    beyond : float
        The largest stray that the suspicion needs is larger than this.
    gap : Range or None
        Where a sound column that reaches to its strays has values, too, and a mixed one has none.
    """

    columns: tuple[str, ...]
    name: str
    factor: float | None
    strays: Range
    share: float = 0.05
    whole: bool = False
    beyond: float = 0.0
    gap: Range | None = None


_STRAY_UNITS = (
    # Patients come two or three days after onset, hardly any after ten
    StrayUnit(("onset_to_ct_h",), "minutes", 1 / 60, Range(73, 4320), whole=True, beyond=240),
    StrayUnit(("onset_to_ct_h",), "days", 24, Range(1e-9, 0.19)),
    # Follow-ups after a week or a month are usual; then there are others between three and six days
    StrayUnit(
        ("ct_to_followup_h",),
        "minutes",
        1 / 60,
        Range(150, 4320),
        share=0.2,
        whole=True,
        beyond=720,
        gap=Range(72.01, 149.99),
    ),
    StrayUnit(("ct_to_followup_h",), "days", 24, Range(1e-9, 3), share=0.2),
    StrayUnit(("ich_volume_ml", "followup_ich_volume_ml"), "litres", 1000, Range(1e-9, 0.0999)),
    StrayUnit(("age",), "decades", 10, Range(1, 9.5)),
    # An INR beyond 8 is an overdose of warfarin
    StrayUnit(("inr",), "prothrombin times in seconds", None, Range(8.01, 20)),
)


def find_stray_units(variable: Variable, values: Mapping[int, float]) -> Iterator[str]:
    """What some of a column's values may be, in words; nothing where they are no more than a sound column's.

    Parameters
    ----------
    variable : Variable
        Of the column.
    values : mapping of int to float
        By row of the table, without blank cells.
    """
    for unit in _STRAY_UNITS:
        if variable.name not in unit.columns:
            continue
        strays = {row: value for row, value in values.items() if _is_stray(unit, value)}
        bridged = unit.gap is not None and any(value in unit.gap for value in values.values())
        if (
            _FEWEST <= len(strays) < len(values)
            and len(strays) > unit.share * len(values)
            and max(strays.values()) > unit.beyond
            and not bridged
        ):
            yield _describe(variable, unit, strays, len(values))


def _is_stray(unit: StrayUnit, value: float) -> bool:
    return value in unit.strays and (value.is_integer() or not unit.whole)


def _describe(variable: Variable, unit: StrayUnit, strays: Mapping[int, float], size: int) -> str:
    low, high = min(strays.values()), max(strays.values())
    rows = ", ".join(map(str, list(strays)[:_ROWS_SHOWN])) + (", …" if len(strays) > _ROWS_SHOWN else "")
    what = f"{len(strays)} of {size} values are {low:g} to {high:g} {variable.unit}".rstrip()
    if unit.factor is None:
        meaning = f"they are no {variable.name.upper()}"
    else:
        meaning = f"they are {unit.factor * low:.3g} to {unit.factor * high:.3g} {variable.unit}"
    return f"{what} (rows {rows}); if these are {unit.name}, {meaning}"
