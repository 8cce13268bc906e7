"""How the report says things: labels of models and cohorts, numbers as the paper prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from server.analyses import FeatureSelection, FittedModel, Part
from server.records import Described, Measure, Standing, SupportVectorMachine
from server.results import Cell, LearningCurve, Study

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
WITHHELD = "withheld"
UNDEFINED = "not defined"
ALPHA = 0.05
"""A p-value below this is called significant, as in the paper."""

Relation = Literal["apparent", "selection", "internal", "seen centre", "external", "given"]

RELATIONS: dict[Relation, str] = {
    "apparent": "apparent performance",
    "selection": "chose the round",
    "internal": "internal test",
    "seen centre": "seen centre",
    "external": "external",
    "given": "given score",
}
"""What stands in the table."""

RELATION_MEANINGS: dict[Relation, str] = {
    "external": "the centre took no part in training or in choosing the round: the model is carried over",
    "internal": "patients held out of training, of a centre that trained the model",
    "given": "a score that came with the hospitals' tables; on whom it was made is not known here",
    "seen centre": "some of these patients or centres trained the model, so the number is too good",
    "selection": "patients on whom the best round was chosen, so the number is slightly too good",
    "apparent": "the very patients who trained the model: no evidence that it works on others",
}
"""What it means, from the strongest evidence to the weakest."""

PARTS: dict[Part, str] = {
    "train": "training patients",
    "validation": "validation patients",
    "test": "internal test",
    "whole": "all patients",
}


def join_words(words: Sequence[str]) -> str:
    """The words as English lists them.

    Examples
    --------
    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def arm_label(arm: Cell | LearningCurve | FittedModel | FeatureSelection | SupportVectorMachine) -> str:
    """The arm in few words, e.g. "Federated", "Chongqing alone"."""
    if arm.kind == "given":
        return "Given score"
    if arm.kind == "local":
        sites = arm.training_sites if isinstance(arm, Cell) else arm.sites
        return f"{join_words(sites)} alone"
    if arm.kind == "pooled":
        return "Pooled data"
    _, _, left = arm.arm.partition("-without-")
    return f"Federated without {left}" if left else "Federated"


def positive_label(study: Study) -> str:
    """The name of the event."""
    return study.endpoint


def negative_label(study: Study) -> str:
    """The name of its absence."""
    return f"non-{study.endpoint}"


def number(value: float | None, decimals: int = 3) -> str:
    """The number as the paper prints it, or a dash.

    Examples
    --------
    >>> number(0.7771), number(-0.0001)
    ('0.777', '0.000')
    """
    if value is None:
        return MISSING
    digits = f"{abs(value):.{decimals}f}"
    return f"{MINUS}{digits}" if value < 0 and float(digits) > 0 else digits


def significant(value: float | None) -> str:
    """A number of any size with three significant digits, or a dash.

    Examples
    --------
    >>> significant(0.0123456), significant(12345.6), significant(2.5e-7)
    ('0.0123', '1.23e+04', '2.5e-07')
    """
    if value is None:
        return MISSING
    digits = f"{abs(value):.3g}"
    return f"{MINUS}{digits}" if value < 0 else digits


def ratio(value: float) -> str:
    """An odds ratio, which may be huge or tiny where few patients stand behind it.

    Examples
    --------
    >>> ratio(1.0307), ratio(0.00002), ratio(51234.6), ratio(1e300)
    ('1.031', '< 0.001', '51,235', '> 1,000,000')
    """
    if value < 0.0005:
        return "< 0.001"
    if value > 1_000_000:
        return "> 1,000,000"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"


def between(low: str, high: str) -> str:
    """Two bounds of an interval; a dash beside a minus sign would be misread.

    Examples
    --------
    >>> between("-0.1", "0.2")
    '-0.1 to 0.2'
    """
    plain = low[:1].isdigit() and high[:1].isdigit()
    return f"{low}{MISSING}{high}" if plain else f"{low} to {high}"


def threshold(cell: Cell, study: Study) -> str:
    """From, or up to, which score patients are called positive: the cell's own threshold, else the plan's."""
    value = f"{study.threshold if cell.threshold is None else cell.threshold:g}"
    return f"\N{LESS-THAN OR EQUAL TO} {value}" if cell.falling else value


def count(value: int | None) -> str:
    """The count, or the word for a count that is not shown."""
    return WITHHELD if value is None else f"{value:,}"


def pair(first: int | None, second: int | None) -> str:
    """Two counts, e.g. "21 / 39"."""
    return WITHHELD if first is None and second is None else f"{count(first)} / {count(second)}"


def classes(cell: Cell) -> str:
    """Patients with and without expansion."""
    return pair(cell.positive, cell.negative)


def interval(measure: Measure, decimals: int = 3) -> str:
    """The interval, or nothing."""
    if measure.low is None or measure.high is None:
        return ""
    return between(number(measure.low, decimals), number(measure.high, decimals))


def estimate(measure: Measure) -> str:
    """Value and interval in one line, or why there is none."""
    if measure.value is None:
        return absence(measure)
    bounds = interval(measure)
    return f"{number(measure.value)} (95% CI {bounds})" if bounds else number(measure.value)


def standing_word(standing: Standing) -> str:
    """Whether a number that is not there is withheld or does not exist."""
    return WITHHELD if standing.kind == "suppressed" else UNDEFINED


def why(standing: Standing) -> str:
    """Why a number is not there, with the reason if one is known."""
    word = standing_word(standing)
    return f"{word}: {standing.reason}" if standing.reason else word


def absence(measure: Measure) -> str:
    """Why there is no number."""
    return why(measure.standing)


def patients(cell: Cell) -> str:
    """How many patients stand behind a cell."""
    if cell.positive is None or cell.negative is None:
        return "number of patients withheld"
    return f"{cell.positive + cell.negative:,} patients"


def described(group: Described, decimals: int) -> str:
    """One group's entry in the cohort's table, as the paper's Table 1 prints it."""
    if group.standing.kind != "ok":
        return why(group.standing)
    if group.patients is not None:
        share = "" if group.percent is None else f" ({number(group.percent, 1)})"
        return f"{group.patients:,}{share}"
    if group.mean is not None:
        return f"{number(group.mean, decimals)} ± {number(group.sd, decimals)}"
    quartiles = (group.first_quartile, group.median, group.third_quartile)
    if quartiles == (None, None, None):
        return MISSING
    first, median, third = (number(value, decimals) for value in quartiles)
    return f"{median} ({first}, {third})"


def p_value(value: float | None) -> str:
    """The p-value as the paper prints it.

    Examples
    --------
    >>> p_value(0.0004), p_value(0.0312)
    ('< .001', '.031')
    """
    if value is None:
        return MISSING
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def data_volume(size_bytes: int) -> str:
    """The size in decimal units.

    Examples
    --------
    >>> data_volume(12_345_678)
    '12.3 MB'
    """
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration(seconds: float) -> str:
    """The time in the units that a reader thinks in.

    Examples
    --------
    >>> duration(3725.2)
    '1 h 2 min'
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def clock(moment: str) -> str:
    """A moment in ISO 8601 as a reader writes it, e.g. "2026-03-01 12:30 UTC"."""
    return f"{moment[:10]} {moment[11:16]} UTC"
