"""Units in which hospitals keep a variable, and how their values become the variable's unit.

References
----------
BIPM (2019), The International System of Units, 9th edition (minutes, kPa, mm Hg).
Mass and substance: 1 mmol/L of glucose is 18.016 mg/dL, 1 mg/dL of creatinine 88.42 umol/L.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from common.cohort.variable import Variable


@dataclass(frozen=True)
class Conversion:
    """From a hospital's unit to a variable's: value * `times` / `over` + `plus`.

    Attributes
    ----------
    times, over, plus : float
        Kept apart, so that 4320 minutes are 72 hours to the last bit.
    """

    times: float = 1.0
    over: float = 1.0
    plus: float = 0.0

    def convert(self, value: float) -> float:
        """The value in the variable's unit."""
        return value * self.times / self.over + self.plus


AS_IT_IS = Conversion()
"""Of values that are in the variable's unit."""

_KPA = 7.50061683
_GLUCOSE, _CREATININE, _CHOLESTEROL, _UREA = 18.016, 88.42, 38.67, 6.006

_BY_UNIT: Mapping[str, Mapping[str, Conversion]] = {
    "hour": {
        "minutes": Conversion(over=60),
        "days": Conversion(24),
        "seconds": Conversion(over=3600),
        "h:mm": Conversion(),
        "hours": Conversion(),
    },
    "minute": {"hours": Conversion(60), "days": Conversion(1440), "minutes": Conversion()},
    "day": {"hours": Conversion(over=24), "weeks": Conversion(7), "days": Conversion()},
    "year": {"months": Conversion(over=12), "days": Conversion(over=365.25), "years": Conversion()},
    "mm hg": {"kPa": Conversion(_KPA), "cm Hg": Conversion(10), "mm Hg": Conversion()},
    "ml": {
        "cm³": Conversion(),
        "cc": Conversion(),
        "mm³": Conversion(over=1000),
        "litres": Conversion(1000),
        "ul": Conversion(over=1000),
        "ml": Conversion(),
    },
    "°c": {"°F": Conversion(5, 9, -160 / 9), "°C": Conversion()},
    "kg": {"lb": Conversion(0.45359237), "g": Conversion(over=1000), "kg": Conversion()},
    "cm": {"m": Conversion(100), "mm": Conversion(over=10), "inches": Conversion(2.54), "cm": Conversion()},
    "mm": {"cm": Conversion(10), "mm": Conversion()},
    "g/dl": {"g/L": Conversion(over=10), "g/dL": Conversion()},
    "g/l": {"g/dL": Conversion(10), "g/L": Conversion()},
}
_SUBSTANCES: Mapping[str, Mapping[str, Mapping[str, Conversion]]] = {
    "gluc": {
        "mg/dl": {"mmol/L": Conversion(_GLUCOSE)},
        "mmol/l": {"mg/dL": Conversion(over=_GLUCOSE)},
    },
    "crea": {
        "mg/dl": {"umol/L": Conversion(over=_CREATININE)},
        "umol/l": {"mg/dL": Conversion(_CREATININE)},
    },
    "chol": {
        "mg/dl": {"mmol/L": Conversion(_CHOLESTEROL)},
        "mmol/l": {"mg/dL": Conversion(over=_CHOLESTEROL)},
    },
    "urea": {"mg/dl": {"mmol/L": Conversion(_UREA)}, "mmol/l": {"mg/dL": Conversion(over=_UREA)}},
}
"""By a substance's name, then by the variable's unit: moles can be weighed only of a known substance."""


def list_units(variable: Variable) -> Mapping[str, Conversion]:
    """The units that can be converted to the variable's, its own among them; by their names in site.toml."""
    unit = _simplify(variable.unit).removesuffix("s").replace("mmhg", "mm hg")
    units = dict(_BY_UNIT.get(unit, {}))
    for substance, conversions in _SUBSTANCES.items():
        if substance in f"{variable.name} {variable.label}".casefold():
            units |= conversions.get(unit, {})
    return units


def find_conversion(variable: Variable, unit: str) -> Conversion | None:
    """The conversion from a unit, whatever its capitals and its micro sign; None if there is none."""
    plain = {_simplify(name): conversion for name, conversion in list_units(variable).items()}
    return plain.get(_simplify(unit))


def _simplify(unit: str) -> str:
    return unicodedata.normalize("NFKC", unit).casefold().replace("\u03bc", "u").strip()
