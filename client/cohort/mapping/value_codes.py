"""What a column's values tell: what its codes mean, its unit, and whether they fit the variable."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from statistics import median

from client.cohort.mapping.code_words import LEVELS, NO, PAIRS, UNKNOWN, YES
from client.cohort.mapping.heading_words import choose_level, simplify_text
from common.cohort.cell_rule import CellRule, UnlistedCodeError, normalise_code
from common.cohort.sheet import SheetCell
from common.cohort.unit_conversions import Conversion, list_units
from common.cohort.variable import Range, Variable

USUAL: Mapping[str, Range] = {
    "age": Range(30, 95),
    "onset_to_ct_h": Range(0.2, 23.9),
    "ct_to_followup_h": Range(4, 120),
    "sbp_mmhg": Range(95, 230),
    "dbp_mmhg": Range(45, 140),
    "inr": Range(0.8, 5),
    "ich_volume_ml": Range(0.5, 150),
    "followup_ich_volume_ml": Range(0.5, 200),
}
"""Where the median of any hospital's patients lies, in the variable's unit."""

_MANY_CODES = 40
_MOST_LEVELS = 30
_PATH = re.compile(r"[\\/]|\.(nii|dcm|nrrd|mha|mhd|img|hdr)\b", re.IGNORECASE)
_FIT = 0.95
"""Share of cells from which values fit."""
_AMBIGUOUS = frozenset({"h", "m", "v"})
"""Codes of the sexes that mean one thing in one language and the other in another: hombre; man."""


@dataclass(frozen=True)
class ValueGuess:
    """How the values fit a variable.

    Attributes
    ----------
    weight : float
        With which the heading's confidence is multiplied; 0 if these values cannot be the variable's.
    values : mapping of str to str
        Codes and what they mean; empty where none needs an explanation.
    unit : str
        The cells' unit; empty if it is the variable's.
    unlisted : tuple of str
        Codes of which nothing is known.
    doubts : tuple of str
        Why a person has to look.
    """

    weight: float
    values: Mapping[str, str] = field(default_factory=dict, hash=False)
    unit: str = ""
    unlisted: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def judge_values(
    variable: Variable,
    cells: Sequence[SheetCell],
    *,
    unit: str = "",
    choices: Mapping[str, str] | None = None,
    comma: bool = False,
) -> ValueGuess:
    """How a column's cells fit a variable.

    Parameters
    ----------
    variable : Variable
        That its heading speaks of.
    cells : sequence of SheetCell
        Blank ones too.
    unit : str
        That the heading states.
    choices : mapping of str to str, optional
        Labels of the codes, from a data dictionary.
    comma : bool
        Whether text has decimal commas.
    """
    filled = [cell for cell in cells if cell is not None]
    if not filled and not choices:
        return ValueGuess(0.75, doubts=("the column is blank",))
    if variable.kind == "text":
        return _judge_identifiers(filled, len(cells))
    if variable.kind == "path":
        return ValueGuess(1.0 if _share(filled, _is_path) >= _FIT else 0.0)
    if variable.kind == "continuous":
        return _judge_numbers(variable, filled, unit, comma=comma)
    return _judge_codes(variable, filled, choices or {})


def _share(cells: Sequence[SheetCell], test: object) -> float:
    return sum(1 for cell in cells if callable(test) and test(cell)) / len(cells) if cells else 0.0


def _is_path(cell: SheetCell) -> bool:
    return isinstance(cell, str) and _PATH.search(cell) is not None


def _judge_identifiers(cells: Sequence[SheetCell], size: int) -> ValueGuess:
    different = len({normalise_code(cell) for cell in cells})
    if any(isinstance(cell, date | time) for cell in cells):
        return ValueGuess(0.0)
    if different < len(cells):
        return ValueGuess(0.6, doubts=(f"{len(cells) - different} values stand twice",))
    if len(cells) < size:
        return ValueGuess(0.75, doubts=(f"{size - len(cells)} rows have none",))
    return ValueGuess(1.0)


def _judge_codes(variable: Variable, cells: Sequence[SheetCell], choices: Mapping[str, str]) -> ValueGuess:
    counts = Counter(normalise_code(cell) for cell in cells)
    codes = list(dict.fromkeys([*choices, *(code for code, _ in counts.most_common())]))
    if len(codes) > (_MOST_LEVELS if variable.kind == "categorical" else _MANY_CODES):
        return ValueGuess(0.0)
    meanings = {code: _find_meaning(variable, code, choices.get(code)) for code in codes}
    known = {code: meaning for code, meaning in meanings.items() if meaning is not None}
    unlisted = tuple(code for code in codes if code not in known)
    share = sum(counts[code] for code in known) / max(1, counts.total())
    if not any(known.values()) and not choices:
        return ValueGuess(0.0 if len(codes) > _MOST_LEVELS // 3 else 0.5, {}, "", unlisted, _ask(unlisted))
    doubts = list(_ask(unlisted))
    weight = 1.0 if share >= _FIT else 0.7
    if not choices and (oddity := _find_oddity(variable, counts, known)):
        weight, doubts = 0.7, [*doubts, oddity]
    if variable.kind == "binary" and not choices:
        known = _add_pairs(known)
    plain = all(code == meaning for code, meaning in known.items())
    return ValueGuess(weight, {} if plain and not unlisted else known, "", unlisted, tuple(doubts))


def _add_pairs(known: Mapping[str, str]) -> dict[str, str]:
    """The codes with those of the other answer, which nobody of this table may have given."""
    if len(set(known.values()) - {""}) != 1:
        return dict(known)
    added = {no: "0" for yes, no in PAIRS.items() if yes in known}
    added |= {yes: "1" for yes, no in PAIRS.items() if no in known}
    return {**known, **{code: meaning for code, meaning in added.items() if code not in known}}


def _ask(unlisted: Sequence[str]) -> tuple[str, ...]:
    shown = ", ".join(map(repr, unlisted[:4])) + (", …" if len(unlisted) > 4 else "")
    return (f"what does {shown} mean?",) if unlisted else ()


def _find_oddity(variable: Variable, counts: Mapping[str, int], known: Mapping[str, str]) -> str:
    """Why codes that can be read may mean something else; empty if they do not."""
    codes = {code for code in counts if known.get(code)}
    if variable.kind == "binary":
        return (
            "no code says no: are blank cells a no?" if codes and {known[c] for c in codes} == {"1"} else ""
        )
    if variable.name == "sex" and len(codes) > 1 and codes <= _AMBIGUOUS:
        return f"{' and '.join(sorted(codes))} mean one thing in one language and the other in another"
    meanings = [known[code] for code in codes]
    if variable.name == "sex" and len(codes) > 1 and len(set(meanings)) == 1:
        return f"all codes mean {meanings[0]}"
    return ""


def _find_meaning(variable: Variable, code: str, label: str | None) -> str | None:
    """What a code or its label means: a level, "1", "0", or "" for unknown; None if that is not known."""
    text = normalise_code(label) if label is not None else code
    if text in UNKNOWN:
        return ""
    if variable.kind == "binary":
        words = {text, *text.replace(",", " ").split()[:1]}
        yes, no = bool(words & YES), bool(words & NO)
        return None if yes == no else "1" if yes else "0"
    if text in {level.casefold() for level in variable.levels}:
        return next(level for level in variable.levels if level.casefold() == text)
    levels = LEVELS.get(variable.name)
    return None if levels is None else choose_level(levels, simplify_text(text))


def _judge_numbers(variable: Variable, cells: Sequence[SheetCell], unit: str, *, comma: bool) -> ValueGuess:
    if _share(cells, lambda cell: isinstance(cell, date | time)) > 1 - _FIT:
        return ValueGuess(0.0)
    unknown = {code: "" for code in map(normalise_code, cells) if code in UNKNOWN}
    numbers, texts = _read_numbers(variable, cells, unknown, comma=comma)
    if not numbers or len(texts) > 0.2 * len(cells):
        return ValueGuess(0.0)
    doubts = [f"no numbers: {', '.join(map(repr, sorted(set(texts))[:3]))}"] if texts else []
    units = list_units(variable)
    fitting = [name for name, conversion in units.items() if _fits(variable, numbers, conversion)]
    weight, chosen = 1.0 if not texts else 0.9, ""
    if unit and unit in units:
        chosen = unit
        if unit not in fitting:
            weight, doubts = 0.5, [*doubts, f"the values do not look like {unit}"]
    elif not _fits(variable, numbers, Conversion()):
        apart = sorted(name for name in fitting if units[name] != Conversion())
        if not apart:
            return ValueGuess(
                0.4, unknown, "", (), (*doubts, "the values are not those of patients in this unit")
            )
        weight, chosen, doubts = 0.7, apart[0], [*doubts, f"the heading states no unit; is it {apart[0]}?"]
    elif unit:
        weight, doubts = (
            0.5,
            [*doubts, f"the heading says {unit}, which cannot be converted to {variable.unit}"],
        )
    same = chosen and units[chosen] == Conversion()
    return ValueGuess(weight, unknown, "" if same else chosen, (), tuple(doubts))


def _read_numbers(
    variable: Variable, cells: Sequence[SheetCell], unknown: Mapping[str, str], *, comma: bool
) -> tuple[list[float], list[str]]:
    """The cells' numbers, and the texts of cells that have none and are not known to be missing."""
    rule, numbers, texts = CellRule(variable, comma=comma), list[float](), list[str]()
    for cell in cells:
        if normalise_code(cell) in unknown:
            continue
        try:
            value = rule.translate(cell)
        except UnlistedCodeError:
            value = None
        if isinstance(value, float):
            numbers.append(value)
        else:
            texts.append(str(cell))
    return numbers, texts


def _fits(variable: Variable, numbers: Sequence[float], conversion: Conversion) -> bool:
    """Whether nearly all are possible values, and their median one that patients have."""
    if variable.possible is None:
        return False
    converted = [conversion.convert(number) for number in numbers]
    inside = sum(number in variable.possible for number in converted)
    usual = USUAL.get(variable.name, variable.possible)
    return inside >= _FIT * len(converted) and median(converted) in usual
