"""What a model's numbers at centres new to it say, in words that follow from stated rules.

No rule looks at a value alone: each asks on which side of a mark the whole 95 % interval lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.stats.decision import NetBenefit, compute_net_benefit
from common.stats.estimate import Estimate, absent, undefined
from common.stats.treat_all import compare_with_treat_all
from server.report.words import explain_absence, format_count, format_number, join_words
from server.results.evaluation import Cell

Answer: TypeAlias = Literal["yes", "no", "open"]
"""Whether the interval says so, says the opposite, or leaves it open."""
CarryOverVerdict: TypeAlias = Literal[
    "carries over", "in part", "ranks only", "not shown", "does not carry over"
]

ENOUGH = 100
"""Patients of each outcome below which an external validation is called small."""

VERDICTS: dict[CarryOverVerdict, str] = {
    "carries over": "Carries over",
    "in part": "Carries over in part",
    "ranks only": "Ranks patients only",
    "not shown": "Not shown to carry over",
    "does not carry over": "Does not carry over",
}
"""The words for each verdict, from the best to the worst."""

VERDICT_RULES = (
    (
        "Each word follows from a 95% confidence interval, never from a value alone. Ranks patients: "
        "the AUC's interval lies above 0.5. Lower AUC than at home: the interval of the AUC there "
        "minus that on the training centres' held-out patients, who are others (unpaired), lies below "
        "0. Risks too high or too low: the intercept's interval lies below or above 0; too extreme or "
        "too alike: the slope's lies below or above 1. Useful: at the frozen threshold the intervals "
        "of the net benefit, and of its gain over treating everybody, lie above 0."
    ),
    (
        f"{VERDICTS['carries over']}: it ranks patients, is useful, is not shown to be lower than at "
        f"home nor its risks to be wrong, and there are at least {ENOUGH} patients of each outcome "
        f"(Collins et al., Stat Med 2016). {VERDICTS['in part']}: it ranks patients and is useful, but "
        f"not all of the rest holds. {VERDICTS['ranks only']}: it ranks patients and is not shown to "
        f"be useful. {VERDICTS['not shown']}: the AUC's interval holds 0.5, or there is none. "
        f"{VERDICTS['does not carry over']}: it lies below 0.5. No interval is adjusted for the number "
        "of models and directions."
    ),
)
"""How the words come about, for the reader."""

VERDICT_TERMS: tuple[tuple[str, str], ...] = (
    (
        "Home",
        (
            "The centres that trained a model. Minus home: its AUC at a new centre less that on patients of "
            "its own centres who were held out of training; the two share no patient."
        ),
    ),
    (
        "Frozen threshold",
        "The score from which patients are called positive, set before any test: by the plan or in training.",
    ),
    (
        "Gain over treating everybody",
        (
            "The model's net benefit less that of treating everybody, on the same patients: what is won by "
            "sparing those whom the model calls negative, less what their missed outcomes cost."
        ),
    ),
)
"""What the words beside a verdict mean, for the glossary."""


@dataclass(frozen=True)
class Judged:
    """One question about a model, answered.

    Attributes
    ----------
    answer : Answer
        What the intervals say.
    words : str
        The answer in few words.
    """

    answer: Answer
    words: str


@dataclass(frozen=True)
class CarriedOver:
    """One model at centres that had no part in it.

    Attributes
    ----------
    cell : Cell
        The result.
    ranking, loss, risks, benefit : Judged
        Does it rank patients there; as well as at home; are its risks right; does acting on it help.
    point : NetBenefit or None
        The decision curve at the model's threshold; None where it has no such point.
    gain : Estimate
        Net benefit minus that of treating everybody, at the same threshold.
    """

    cell: Cell
    ranking: Judged
    loss: Judged
    risks: Judged
    benefit: Judged
    point: NetBenefit | None
    gain: Estimate

    @property
    def verdict(self) -> CarryOverVerdict:
        """The answer to the study's question."""
        if self.ranking.answer == "open":
            return "not shown"
        if self.ranking.answer == "no":
            return "does not carry over"
        if self.benefit.answer != "yes":
            return "ranks only"
        doubts = "no" in {self.loss.answer, self.risks.answer} or self.is_small or not self.has_all_numbers
        return "in part" if doubts else "carries over"

    @property
    def is_small(self) -> bool:
        """Whether too few patients of an outcome were judged, or their number is withheld."""
        return min(self.cell.positive or 0, self.cell.negative or 0) < ENOUGH

    @property
    def has_all_numbers(self) -> bool:
        """Whether the comparison with held-out patients, intercept and slope exist, each with an interval."""
        calibration = self.cell.calibration
        if calibration is None or not self.cell.from_internal:
            return False
        estimates = [
            calibration.intercept,
            calibration.slope,
            *(test.difference for test in self.cell.from_internal),
        ]
        return all(estimate.low is not None for estimate in estimates)

    @property
    def title(self) -> str:
        """The verdict in words."""
        return VERDICTS[self.verdict]

    @property
    def sentence(self) -> str:
        """The four answers in one sentence."""
        text = f"{self.ranking.words}; {self.loss.words}; {self.risks.words}; {self.benefit.words}"
        return f"{text[:1].upper()}{text[1:]}."

    def list_doubts(self) -> tuple[str, ...]:
        """What speaks against carrying over, or leaves it open; never empty."""
        return tuple(_list_doubts(self))


def judge_cell(cell: Cell, threshold: float) -> CarriedOver:
    """One model at centres new to it; `threshold` is the plan's, where the cell's own was not recorded."""
    own = threshold if cell.threshold is None else cell.threshold
    point = _find_point(cell, own)
    gain = _NO_POINT if point is None else compare_with_treat_all(cell.confusion, own)
    return CarriedOver(
        cell=cell,
        ranking=judge_ranking(cell.auc),
        loss=judge_loss(cell),
        risks=judge_risks(cell),
        benefit=judge_benefit(point, gain, own),
        point=point,
        gain=gain,
    )


def _find_point(cell: Cell, threshold: float) -> NetBenefit | None:
    """The curve's point at the threshold; where it has none, as for a chosen threshold, that of the calls."""
    point = next((point for point in cell.decision if abs(point.threshold - threshold) < _SAME), None)
    calls = cell.confusion
    hits, lost, false, spared = (
        calls.true_positive,
        calls.false_negative,
        calls.false_positive,
        calls.true_negative,
    )
    if point is not None or cell.calibration is None or not 0 < threshold < 1:
        return point
    if hits is None or lost is None or false is None or spared is None:
        return None
    return compute_net_benefit(threshold, (false, hits), (false + spared, hits + lost))


_SAME = 1e-9
_NO_POINT = absent(undefined("no net benefit is known at this threshold"), "net benefit")


def judge_ranking(auc: Estimate) -> Judged:
    """Whether the model ranks patients better than chance."""
    if auc.value is None:
        return Judged("open", f"its AUC is {explain_absence(auc)}")
    if auc.low is None or auc.high is None:
        return Judged("open", "its AUC has no interval")
    if auc.low > 0.5:
        return Judged("yes", "ranks patients better than chance")
    if auc.high < 0.5:
        return Judged("no", "ranks patients worse than chance")
    return Judged("open", "not shown to rank patients better than chance")


def judge_loss(cell: Cell) -> Judged:
    """Whether the AUC is lower than on held-out patients of the centres that trained the model."""
    known = [test.difference for test in cell.from_internal if test.difference.low is not None]
    if not known:
        return Judged("open", "not compared with held-out patients at home")
    several = " of some training centres" if len(cell.from_internal) > 1 else ""
    if any(difference.high is not None and difference.high < 0 for difference in known):
        return Judged("no", f"lower AUC than at home{several}")
    least = min(difference.low for difference in known if difference.low is not None)
    if least > 0:
        return Judged("yes", "higher AUC than at home")
    return Judged("open", "AUC not shown to be lower than at home")


def judge_risks(cell: Cell) -> Judged:
    """Whether predicted risks are shown to be wrong; that they are right is never shown."""
    calibration = cell.calibration
    if calibration is None:
        return Judged("open", "no predicted risks")
    faults = [*_list_intercept_faults(calibration.intercept), *_list_slope_faults(calibration.slope)]
    if faults:
        return Judged("no", f"risks {join_words(faults)}")
    if calibration.intercept.low is None and calibration.slope.low is None:
        return Judged("open", "calibration not known")
    missing = [
        name
        for name, estimate in (("intercept", calibration.intercept), ("slope", calibration.slope))
        if estimate.low is None
    ]
    part = f" ({missing[0]} not known)" if missing else ""
    return Judged("open", f"risks not shown to be wrong{part}")


def _list_intercept_faults(intercept: Estimate) -> Iterator[str]:
    if intercept.high is not None and intercept.high < 0:
        yield "too high"
    if intercept.low is not None and intercept.low > 0:
        yield "too low"


def _list_slope_faults(slope: Estimate) -> Iterator[str]:
    if slope.high is not None and slope.high < 0:
        yield "in reverse order"
    elif slope.high is not None and slope.high < 1:
        yield "too extreme"
    if slope.low is not None and slope.low > 1:
        yield "too alike"


def judge_benefit(point: NetBenefit | None, gain: Estimate, threshold: float) -> Judged:
    """Whether acting on the model from the threshold on helps more than treating nobody or everybody."""
    if point is None:
        return Judged("open", f"usefulness at {threshold:g} not known")
    if point.high < 0:
        return Judged("no", f"at {threshold:g} worse than treating nobody")
    if gain.high is not None and gain.high < 0:
        return Judged("no", f"at {threshold:g} worse than treating everybody")
    if point.low > 0 and gain.low is not None and gain.low > 0:
        return Judged("yes", f"useful at {threshold:g}")
    rivals = [
        rival for rival, low in (("nobody", point.low), ("everybody", gain.low)) if low is None or low <= 0
    ]
    return Judged("open", f"at {threshold:g} not shown to help more than treating {' or '.join(rivals)}")


def _list_doubts(judged: CarriedOver) -> Iterator[str]:
    cell = judged.cell
    if cell.auc.low is not None:
        yield f"the AUC may be as low as {format_number(cell.auc.low)}"
    if judged.loss.answer != "yes":
        yield _describe_loss(judged)
    if judged.risks.answer != "yes":
        yield judged.risks.words if judged.risks.answer == "no" else "right risks are not shown"
    if judged.benefit.answer != "yes":
        yield judged.benefit.words
    if judged.is_small:
        yield (
            f"few patients: {format_count(cell.positive)} with and {format_count(cell.negative)} without the "
            f"outcome, fewer than {ENOUGH} of each"
        )
    if cell.missing is None or cell.missing:
        yield f"patients without a score: {format_count(cell.missing)}"
    if cell.partial:
        yield "a centre missed rounds of the training"


def _describe_loss(judged: CarriedOver) -> str:
    """A loss that is shown, or the largest that is not excluded."""
    lows = [test.difference.low for test in judged.cell.from_internal if test.difference.low is not None]
    if judged.loss.answer == "no" or not lows:
        return judged.loss.words
    return f"a loss of {format_number(-min(lows))} against home is not excluded"
