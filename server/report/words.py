"""The report's words: names of models and cohorts, numbers as the paper prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from common.cards.contributors import PARTIAL
from common.plan.matrix import Part, Relation
from common.stats.estimate import Estimate, Status
from server.results.cohort import VariableDescription
from server.results.evaluation import Cell
from server.results.file import StudySummary
from server.results.training import LearningCurve

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
WITHHELD = "withheld"
UNDEFINED = "not defined"
ALPHA = 0.05
"""A p-value below this is called significant, as in the paper."""

RELATIONS: dict[Relation, str] = {
    "apparent": "apparent performance",
    "selection": "chose the round",
    "internal": "internal test",
    "seen centre": "seen centre",
    "external": "external",
    "given": "given score",
}
"""The words for each relation in tables."""

RELATION_MEANINGS: dict[Relation, str] = {
    "external": "the centre took no part in training or in choosing the round: the model is carried over",
    "internal": "patients held out of training, of a centre that trained the model",
    "given": "a score that came with the hospitals' tables; on whom it was made is not known here",
    "seen centre": "some of these patients or centres trained the model, so the number is too good",
    "selection": "patients on whom the best round was chosen, so the number is slightly too good",
    "apparent": "the very patients who trained the model: no evidence that it works on others",
}
"""What each relation means, from the strongest evidence to the weakest."""

PART_NAMES: dict[Part, str] = {
    "train": "training patients",
    "validation": "validation patients",
    "test": "internal test",
    "whole": "all patients",
}
"""The words for each part of a cohort."""


def join_words(words: Sequence[str]) -> str:
    """The words as an English list.

    Examples
    --------
    >>> join_words(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


class ArmRecord(Protocol):
    """A record of what was trained, or selected, in one arm."""

    @property
    def arm(self) -> str:
        """Name of the arm."""

    @property
    def kind(self) -> str:
        """How the arm trains."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Whose patients trained."""


def name_arm(arm: Cell | ArmRecord) -> str:
    """What was trained in the arm, in few words: its name, and a mark if not all its centres trained it."""
    is_partial = isinstance(arm, Cell | LearningCurve) and arm.partial
    return f"{name_plain_arm(arm)} ({PARTIAL})" if is_partial else name_plain_arm(arm)


def name_plain_arm(arm: Cell | ArmRecord) -> str:
    """The arm in few words, as all models have it in common, e.g. "Federated", "Chongqing alone"."""
    if arm.kind == "given":
        return "Given score"
    if arm.kind == "earlier":
        return "Earlier model"
    if arm.kind == "local":
        sites = arm.training_sites if isinstance(arm, Cell) else arm.sites
        return f"{join_words(sites)} alone"
    if arm.kind == "pooled":
        return "Pooled data"
    _, _, left = arm.arm.partition("-without-")
    return f"Federated without {left}" if left else "Federated"


def name_event(study: StudySummary) -> str:
    """The name of the outcome."""
    return study.endpoint


def name_no_event(study: StudySummary) -> str:
    """The name of the outcome's absence."""
    return f"no {study.endpoint}" if study.outcome_meaning else f"non-{study.endpoint}"


def name_outcome(study: StudySummary) -> str:
    """What patients have who reached the outcome, in a sentence."""
    return study.endpoint if study.outcome_meaning else "expansion"


def format_number(value: float | None, decimals: int = 3) -> str:
    """The number as the paper prints it, or a dash.

    Examples
    --------
    >>> format_number(0.7771), format_number(-0.0001)
    ('0.777', '0.000')
    """
    if value is None:
        return DASH
    digits = f"{abs(value):.{decimals}f}"
    return f"{MINUS}{digits}" if value < 0 and float(digits) > 0 else digits


def format_probability(risk: float) -> str:
    """A predicted risk to a hundredth; one that would round to 0 or 1, though it is neither, says so.

    Examples
    --------
    >>> format_probability(0.316), format_probability(4e-5), format_probability(0.9999)
    ('0.32', '< 0.01', '> 0.99')
    """
    if 0 < risk < 0.005:
        return "< 0.01"
    return "> 0.99" if 0.995 <= risk < 1 else format_number(risk, 2)


def has_digit(text: str) -> bool:
    """Whether a number is in the text."""
    return any(map(str.isdigit, text))


def format_significant(value: float | None) -> str:
    """A number of any size with three significant digits, or a dash.

    Examples
    --------
    >>> format_significant(0.0123456), format_significant(12345.6), format_significant(2.5e-7)
    ('0.0123', '1.23e+04', '2.5e-07')
    """
    if value is None:
        return DASH
    digits = f"{abs(value):.3g}"
    return f"{MINUS}{digits}" if value < 0 else digits


def format_ratio(value: float) -> str:
    """An odds ratio, which may be huge or tiny if few patients contribute to it.

    Examples
    --------
    >>> format_ratio(1.0307), format_ratio(0.00002), format_ratio(51234.6), format_ratio(1e300)
    ('1.031', '< 0.001', '51,235', '> 1,000,000')
    """
    if value < 0.0005:
        return "< 0.001"
    if value > 1_000_000:
        return "> 1,000,000"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"


def format_bounds(low: str, high: str) -> str:
    """The two bounds of an interval, with "to" where a dash beside a minus sign would be misread.

    Examples
    --------
    >>> format_bounds("-0.1", "0.2")
    '-0.1 to 0.2'
    """
    plain = low[:1].isdigit() and high[:1].isdigit()
    return f"{low}{DASH}{high}" if plain else f"{low} to {high}"


def format_unit(unit: str) -> str:
    """The unit as a journal prints it; in files a liter is a small l.

    Examples
    --------
    >>> format_unit("ml"), format_unit("mm Hg")
    ('mL', 'mm Hg')
    """
    return {"ml": "mL", "g/l": "g/L", "mmol/l": "mmol/L", "U/l": "U/L"}.get(unit, unit)


def describe_threshold(cell: Cell, study: StudySummary) -> str:
    """The score from (or up to) which patients are called positive: the cell's threshold, else the plan's."""
    value = f"{study.threshold if cell.threshold is None else cell.threshold:g}"
    return f"\N{LESS-THAN OR EQUAL TO} {value}" if cell.falling else value


def format_count(value: int | None) -> str:
    """The count, or the word for a count that is not shown."""
    return WITHHELD if value is None else f"{value:,}"


def format_pair(first: int | None, second: int | None) -> str:
    """Two counts, e.g. "21 / 39"."""
    return WITHHELD if first is None and second is None else f"{format_count(first)} / {format_count(second)}"


def format_classes(cell: Cell) -> str:
    """The cell's numbers of patients with and without expansion, e.g. "21 / 39"."""
    return format_pair(cell.positive, cell.negative)


def format_interval(estimate: Estimate, decimals: int = 3) -> str:
    """The confidence interval, or an empty string if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return format_bounds(format_number(estimate.low, decimals), format_number(estimate.high, decimals))


def name_standing(standing: Status) -> str:
    """Whether an absent number is withheld or not defined."""
    return WITHHELD if standing.kind == "suppressed" else UNDEFINED


def explain_standing(standing: Status) -> str:
    """Why a number is absent, with the reason if one is known."""
    word = name_standing(standing)
    return f"{word}: {standing.reason}" if standing.reason else word


def explain_absence(estimate: Estimate) -> str:
    """Why the estimate has no number."""
    return explain_standing(estimate.standing)


def count_patients(cell: Cell) -> str:
    """How many patients a cell is computed from, in words."""
    if cell.positive is None or cell.negative is None:
        return "number of patients withheld"
    return f"{cell.positive + cell.negative:,} patients"


def describe_group(group: VariableDescription, decimals: int) -> str:
    """One group's summary of a variable, as the paper's Table 1 prints it."""
    if group.standing.kind != "ok":
        return explain_standing(group.standing)
    if group.patients is not None:
        share = "" if group.percent is None else f" ({format_number(group.percent, 1)})"
        return f"{group.patients:,}{share}"
    if group.mean is not None:
        return f"{format_number(group.mean, decimals)} ± {format_number(group.sd, decimals)}"
    quartiles = (group.first_quartile, group.median, group.third_quartile)
    if quartiles == (None, None, None):
        return DASH
    first, median, third = (format_number(value, decimals) for value in quartiles)
    return f"{median} ({first}, {third})"


def format_p_value(value: float | None) -> str:
    """The p-value as the paper prints it.

    Examples
    --------
    >>> format_p_value(0.0004), format_p_value(0.0312)
    ('< .001', '.031')
    """
    if value is None:
        return DASH
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def format_data_volume(size_bytes: int) -> str:
    """The size in decimal units.

    Examples
    --------
    >>> format_data_volume(12_345_678)
    '12.3 MB'
    """
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """The time in the units that a reader expects.

    Examples
    --------
    >>> format_duration(3725.2)
    '1 h 2 min'
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def format_moment(moment: str) -> str:
    """A moment in ISO 8601 in the form for readers, e.g. "2026-03-01 12:30 UTC"."""
    return f"{moment[:10]} {moment[11:16]} UTC"
