"""How the report says things: labels of models and cohorts, numbers as the paper prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from server.records import Described, Measure
from server.results import Cell, LearningCurve, Study

MISSING = "\N{EN DASH}"
WITHHELD = "withheld"

Relation = Literal["apparent", "selection", "internal", "seen centre", "external"]

RELATIONS: dict[Relation, str] = {
    "apparent": "apparent performance",
    "selection": "chose the round",
    "internal": "internal test",
    "seen centre": "seen centre",
    "external": "external",
}
"""What stands in the table."""

RELATION_MEANINGS: dict[Relation, str] = {
    "external": "the centre took no part in training or in choosing the round: the model is carried over",
    "internal": "patients held out of training, of a centre that trained the model",
    "seen centre": "some of these patients or centres trained the model, so the number is too good",
    "selection": "patients on whom the best round was chosen, so the number is slightly too good",
    "apparent": "the very patients who trained the model: no evidence that it works on others",
}
"""What it means, from the strongest evidence to the weakest."""

_PARTS = {
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


def arm_label(arm: Cell | LearningCurve) -> str:
    """The arm in few words, e.g. "Federated", "Chongqing alone"."""
    if arm.kind == "local":
        sites = arm.training_sites if isinstance(arm, Cell) else arm.sites
        return f"{join_words(sites)} alone"
    if arm.kind == "pooled":
        return "Pooled data"
    _, _, left = arm.arm.partition("-without-")
    return f"Federated without {left}" if left else "Federated"


def part_label(cell: Cell) -> str:
    """Which patients of the cohort's sites, in words."""
    return _PARTS[cell.part]


def sites_label(cell: Cell) -> str:
    """Whose patients, in few words."""
    if len(cell.cohort_sites) == 1:
        return cell.cohort_sites[0]
    return " + ".join(cell.cohort_sites) if len(cell.cohort_sites) <= 3 else "All centres together"


def cohort_label(cell: Cell) -> str:
    """Whose and which patients, in one line."""
    return f"{sites_label(cell)}, {part_label(cell)}"


def positive_label(study: Study) -> str:
    """The name of the event."""
    return study.endpoint


def negative_label(study: Study) -> str:
    """The name of its absence."""
    return f"non-{study.endpoint}"


def number(value: float | None, decimals: int = 3) -> str:
    """The number as the paper prints it, or a dash."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def count(value: int | None) -> str:
    """The count, or the word for a count that is not shown."""
    return WITHHELD if value is None else f"{value:,}"


def pair(first: int | None, second: int | None) -> str:
    """Two counts, e.g. "21 / 39"."""
    return WITHHELD if first is None and second is None else f"{count(first)} / {count(second)}"


def classes(cell: Cell) -> str:
    """Patients with and without expansion."""
    return pair(cell.positive, cell.negative)


def interval(measure: Measure) -> str:
    """The interval in brackets, or nothing."""
    if measure.low is None or measure.high is None:
        return ""
    return f"{measure.low:.3f}{MISSING}{measure.high:.3f}"


def estimate(measure: Measure) -> str:
    """Value and interval in one line, or why there is none."""
    if measure.value is None:
        return absence(measure)
    bounds = interval(measure)
    return f"{number(measure.value)} (95% CI {bounds})" if bounds else number(measure.value)


def absence(measure: Measure) -> str:
    """Why there is no number."""
    word = WITHHELD if measure.standing.kind == "suppressed" else "not defined"
    return f"{word}: {measure.standing.reason}" if measure.standing.reason else word


def patients(cell: Cell) -> str:
    """How many patients stand behind a cell."""
    if cell.positive is None or cell.negative is None:
        return "number of patients withheld"
    return f"{cell.positive + cell.negative:,} patients"


def described(group: Described, decimals: int) -> str:
    """One group's entry in the cohort's table, as the paper's Table 1 prints it."""
    if group.standing.kind != "ok":
        word = WITHHELD if group.standing.kind == "suppressed" else "not defined"
        return f"{word}: {group.standing.reason}" if group.standing.reason else word
    if group.patients is not None:
        share = "" if group.percent is None else f" ({group.percent:.1f})"
        return f"{group.patients:,}{share}"
    if group.mean is not None:
        return f"{number(group.mean, decimals)} ± {number(group.sd, decimals)}"
    first, third = number(group.first_quartile, decimals), number(group.third_quartile, decimals)
    return f"{number(group.median, decimals)} ({first}, {third})"


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
