"""How a hospital's own table is read: headings, codes, units and layout, as `[mapping]` in site.toml says.

Nothing of it is guessed when the table is read: a heading, a code or a unit that the mapping does not name is
refused. It is the hospital's own: nothing of it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from common.cohort.sheet import SheetOptions
from common.cohort.unit_conversions import find_conversion, list_units
from common.cohort.variable import Variable
from common.errors import Finding, Level
from common.runtime.settings_file import Section

PLACE = "site.toml"
"""Where findings on a mapping point to."""

Encoding = Literal["utf-8", "utf-16", "gb18030", "big5", "shift_jis", "euc_kr", "cp1252", "cp1250", "cp1251"]
"""Of a CSV. GBK and GB2312 are parts of GB18030; Latin-1 is a part of Windows' cp1252."""

_RESEMBLES = 0.75


def _expand_heading(value: object) -> object:
    return {"heading": value} if isinstance(value, str) else value


class ColumnMapping(Section):
    """Which column of the hospital's table holds a variable, and how its cells are read."""

    heading: str = Field(min_length=1, max_length=500)
    """The heading in the hospital's table."""
    values: dict[str, str | int | float] = Field(default_factory=dict, max_length=500)
    """What the hospital's codes mean: a level of the variable, 1 for yes, 0 for no, or "" for unknown."""
    unit: str = ""
    """The unit of the cells, where it is not the variable's: "minutes", "kPa" …"""
    event: str = ""
    """In a long export: the event whose row holds the value; by default the baseline's."""
    instrument: str = ""
    """In a long export: the repeated instrument whose row holds it."""
    instance: int = Field(default=1, ge=1)
    """Which repetition of the instrument."""


class LongFormat(Section):
    """The columns that tell which row of a patient is which, where a patient has several (REDCap)."""

    baseline: str = ""
    """The event whose row is the patient's."""
    event_column: str = "redcap_event_name"
    """The heading of the event; "" if there are no events."""
    instrument_column: str = "redcap_repeat_instrument"
    """The heading of the repeated instrument; it may be missing."""
    instance_column: str = "redcap_repeat_instance"
    """The heading of the number of the repetition; it may be missing."""


HeadingOrMapping = Annotated[
    ColumnMapping, BeforeValidator(_expand_heading, json_schema_input_type=str | ColumnMapping)
]
"""A heading alone stands for a mapping of nothing but the heading."""


class TableMapping(Section):
    """How a hospital's own table is read."""

    sheet: str = ""
    """The worksheet; by default the only one with content, or "patients"."""
    encoding: Encoding = "utf-8"
    """The characters of a CSV."""
    separator: Literal[",", ";", "\t", "|"] = ","
    """What stands between a CSV's columns."""
    decimal: Literal[".", ","] = "."
    """The decimal sign in text."""
    headings_row: int = Field(default=1, ge=1, le=100)
    """The row of the headings; what stands above is not read."""
    left_out: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Rows that are no patients, such as totals and comments: patterns of their first filled cell."""
    not_recorded: tuple[str, ...] = ()
    """Variables that the hospital does not keep: blank for every patient."""
    long: LongFormat | None = None
    """How a long export is read; by default one row is one patient."""
    columns: dict[str, HeadingOrMapping] = Field(default_factory=dict)
    """By variable: its heading, or a table with heading, values and unit."""

    @model_validator(mode="after")
    def _check_events(self) -> Self:
        for name, column in self.columns.items():
            if (column.event or column.instrument) and self.long is None:
                raise ValueError(f"columns.{name} names an event or instrument -> write [mapping.long] too")
        if "patient" in self.not_recorded:
            raise ValueError(
                "not_recorded lists 'patient' -> every patient needs a pseudonym: map its column"
            )
        both = sorted(set(self.columns) & set(self.not_recorded))
        if both:
            raise ValueError(f"{both} are mapped and not recorded -> keep one of the two")
        return self

    @property
    def options(self) -> SheetOptions:
        """How the file is read."""
        return SheetOptions(self.sheet, self.encoding, self.separator, self.headings_row)


def find_mapping_faults(mapping: TableMapping, variables: Sequence[Variable]) -> Iterator[Finding]:
    """What a mapping says that its variables cannot mean, and names that look misspelt.

    Parameters
    ----------
    mapping : TableMapping
        The hospital's.
    variables : sequence of Variable
        Of the schema and of the study. A name that is none of them may belong to another study.
    """
    known = {variable.name: variable for variable in variables}
    for name, column in mapping.columns.items():
        variable = known.get(name)
        if variable is None:
            yield from _note_unknown(f"mapping.columns.{name}", name, known)
            continue
        yield from _find_value_faults(variable, column)
        if column.unit and find_conversion(variable, column.unit) is None:
            units = list_units(variable)
            what = f"mapping.columns.{name}.unit: {column.unit!r} is no unit that can be converted"
            remedy = f"write one of: {', '.join(units)}" if units else "the variable has no unit: remove it"
            yield Finding(PLACE, what, remedy)
    for name in mapping.not_recorded:
        if name not in known:
            yield from _note_unknown("mapping.not_recorded", name, known)


def _find_value_faults(variable: Variable, column: ColumnMapping) -> Iterator[Finding]:
    for code, meaning in column.values.items():
        if meaning == "" or read_meaning(variable, meaning) is not None:
            continue
        key = f"mapping.columns.{variable.name}.values"
        what = f"{key}: {code!r} stands for {meaning!r}, which is no value of it"
        yield Finding(PLACE, what, f'write {variable.allowed}, or "" for unknown')


def read_meaning(variable: Variable, meaning: str | float) -> float | str | None:
    """What a code stands for: a level, or a number; None if the variable has no such value."""
    if variable.kind == "categorical":
        return str(meaning) if str(meaning) in variable.levels else None
    try:
        number = float(meaning)
    except ValueError:
        return None
    if variable.kind == "binary":
        return number if number in {0.0, 1.0} else None
    return number if variable.possible is not None and number in variable.possible else None


def _note_unknown(key: str, name: str, known: dict[str, Variable]) -> Iterator[Finding]:
    near = get_close_matches(name, known, n=1, cutoff=_RESEMBLES)
    if near:
        what = f"{key}: neither the study nor the cohort table has a variable {name!r}"
        yield Finding(PLACE, what, f"did you mean {near[0]!r}?", Level.LOOK)
