"""REDCap's data dictionary: what its fields are called, and what their codes mean."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.cohort.cell_rule import normalise_code
from common.cohort.sheet import refuse_file

_NAME, _KIND, _LABEL = "Variable / Field Name", "Field Type", "Field Label"
_CHOICES = "Choices, Calculations, OR Slider Labels"
_TAG = re.compile(r"<[^>]{0,200}>")
_CHECKBOX = re.compile(r"(.+)___(.+)")
_LARGEST = 20_000_000


@dataclass(frozen=True)
class DictionaryField:
    """One field of a data dictionary.

    Attributes
    ----------
    label : str
        What the form asks.
    choices : mapping of str to str
        Labels of the codes; empty where the field has none.
    """

    label: str
    choices: Mapping[str, str] = field(default_factory=dict, hash=False)


def read_dictionary(path: Path) -> dict[str, DictionaryField]:
    """The fields of a data dictionary, by name; each choice of a checkbox under its column's name.

    Raises
    ------
    CohortError
        If the file cannot be read, or is no data dictionary of REDCap's.
    """
    try:
        content = path.read_bytes()[: _LARGEST + 1]
        text = content.decode("utf-8-sig")
    except OSError as failure:
        refuse_file(path, f"cannot be read ({failure.strerror})", "give REDCap's data dictionary, a CSV")
    except UnicodeDecodeError:
        refuse_file(path, "is not UTF-8 text", "download the data dictionary from REDCap again")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if rows.fieldnames is None or not {_NAME, _LABEL} <= set(rows.fieldnames):
        refuse_file(path, f"has no columns {_NAME!r} and {_LABEL!r}", "download it from REDCap in English")
    return dict(_read_fields(rows))


def _read_fields(rows: csv.DictReader[str]) -> Iterator[tuple[str, DictionaryField]]:
    for row in rows:
        name, kind = (row.get(_NAME) or "").strip(), (row.get(_KIND) or "").strip()
        label = _TAG.sub(" ", row.get(_LABEL) or "").strip()
        choices = _read_choices(kind, row.get(_CHOICES) or "")
        if kind == "checkbox":
            for code, chosen in choices.items():
                yield f"{name}___{code}", DictionaryField(chosen, {"1": "yes", "0": "no"})
        elif name:
            yield name, DictionaryField(label, choices)


def _read_choices(kind: str, text: str) -> dict[str, str]:
    """Labels by code, of "1, Male | 2, Female"."""
    if kind in {"yesno", "truefalse"}:
        return {"1": "yes", "0": "no"}
    if kind not in {"radio", "dropdown", "checkbox"}:
        return {}
    pairs = (choice.partition(",") for choice in text.split("|") if "," in choice)
    return {normalise_code(code): _TAG.sub(" ", label).strip() for code, _, label in pairs}


def find_field(fields: Mapping[str, DictionaryField], heading: str) -> DictionaryField | None:
    """The field behind a heading of an export, which may bear labels instead of names."""
    if heading in fields:
        return fields[heading]
    match = _CHECKBOX.fullmatch(heading)
    if match:
        return fields.get(f"{match[1]}___{match[2].casefold()}")
    labelled = [one for one in fields.values() if one.label == heading]
    return labelled[0] if len(labelled) == 1 else None
