"""What a model's risk is worth: how it did at centres new to it, who trained it, which inputs are usual."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from client.predict.inputs import find_value, list_needed_variables
from client.predict.new_patient import NewPatient
from common.cards.card import Metric, ModelCard, NetworkContent, SvmContent, UsualRange
from common.plan.models import BRAIN, SCORE_OF

_NOT_KNOWN = "not known"
_SD_REACH = 3
_OF_NETWORKS = ("ich_volume_ml", "ivh_volume_ml")
"""What is measured on the lesion that a network sees."""
_RELATIONS = {"external": "at centres new to the model", "internal": "held-out patients of its own centres"}


def find_judgements(card: ModelCard) -> tuple[Metric, ...]:
    """The model's results at centres new to it; without any, those on held-out patients of its own."""
    external = [metric for metric in card.metrics if metric.relation == "external"]
    whole = [metric for metric in external if metric.part == "whole"]
    internal = [metric for metric in card.metrics if metric.relation == "internal"]
    return tuple(whole or external or internal)


def describe_worth(card: ModelCard) -> dict[str, Any]:
    """What a program reads of the model's worth; None where it is not known."""
    return {
        "judged": [
            {
                "relation": metric.relation,
                "sites": list(metric.cohort_sites),
                "part": metric.part,
                "auc": metric.auc,
                "auc_low": metric.low,
                "auc_high": metric.high,
                "sensitivity": metric.sensitivity,
                "specificity": metric.specificity,
                "calibration_intercept": metric.calibration_intercept,
                "calibration_slope": metric.calibration_slope,
            }
            for metric in find_judgements(card)
        ],
        "trained_on": [{"site": centre.site, "patients": centre.patients} for centre in card.training],
        "simulated": card.profile == "simulation",
        "left_out": _list_left_out(card),
        "usual_ranges": {
            usual.variable: {"low": usual.low, "high": usual.high, "how": usual.how}
            for usual in list_ranges(card).values()
        },
    }


def list_worth(card: ModelCard) -> tuple[str, ...]:
    """Lines for the terminal: who trained the model, whom it was not made for, and how it did elsewhere."""
    centres = ", ".join(
        f"{centre.site} ({_NOT_KNOWN if centre.patients is None else centre.patients} patients)"
        for centre in card.training
    )
    simulated = "simulated patients of " if card.profile == "simulation" else ""
    left_out = "; ".join(_list_left_out(card))
    lines = [f"trained on: {simulated}{centres}", f"not made for: {left_out or 'nobody was left out'}"]
    judgements = find_judgements(card)
    if not any(metric.relation == "external" for metric in judgements):
        lines.append(f"at centres new to the model: {_NOT_KNOWN}, it was not judged there")
    lines += [_describe_judgement(metric, card.operating_point) for metric in judgements]
    unknown = list_unknown_ranges(card)
    if unknown:
        lines.append(f"usual range of the training patients {_NOT_KNOWN} for: {', '.join(unknown)}")
    return tuple(lines)


def _list_left_out(card: ModelCard) -> list[str]:
    """Whom the study left out, by what is known of a new patient: there is no follow-up CT yet."""
    return [criterion.label for criterion in card.population if criterion.variable != "ct_to_followup_h"]


def _describe_judgement(metric: Metric, operating_point: float) -> str:
    where = f"{_RELATIONS[metric.relation]} ({', '.join(metric.cohort_sites)})"
    interval = ""
    if metric.low is not None and metric.high is not None:
        interval = f" (95 % CI {metric.low:.2f} to {metric.high:.2f})"
    auc = _NOT_KNOWN if metric.auc is None else f"{metric.auc:.2f}{interval}"
    at_point = [
        f"{name} {_NOT_KNOWN if share is None else f'{100 * share:.0f} %'}"
        for name, share in (("sensitivity", metric.sensitivity), ("specificity", metric.specificity))
    ]
    called = f"{' and '.join(at_point)} from {operating_point:g}"
    return f"{where}: AUC {auc}; {called}; {_describe_calibration(metric)}"


def _describe_calibration(metric: Metric) -> str:
    intercept, slope = metric.calibration_intercept, metric.calibration_slope
    if intercept is None or slope is None:
        return f"calibration {_NOT_KNOWN}"
    return f"calibration intercept {intercept:.2f} (0 is right on average), slope {slope:.2f} (1 is right)"


def list_ranges(card: ModelCard) -> dict[str, UsualRange]:
    """The usual range of each input of which the card tells one, by name: of Table 1, or mean and 3 SD."""
    content = card.content
    taken = _OF_NETWORKS if isinstance(content, NetworkContent) else list_needed_variables(content)
    ranges = {}
    if not isinstance(content, NetworkContent):
        moments = {
            covariate.name: (covariate.mean, covariate.sd)
            for covariate in content.covariates
            if covariate.mean is not None and covariate.sd is not None
        }
        if isinstance(content, SvmContent):
            factors = {covariate.name for covariate in content.covariates if covariate.factor}
            numbers = [column for column in content.fitted.columns if column.variable not in factors]
            moments |= {column.variable: (column.mean, column.sd) for column in numbers}
        for name, (mean, sd) in moments.items():
            low, high = mean - _SD_REACH * sd, mean + _SD_REACH * sd
            ranges[name] = UsualRange(variable=name, low=low, high=high, how="mean and 3 SD")
    ranges |= {usual.variable: usual for usual in card.ranges}
    # A score's moments are those of its logit, while a reader knows the score, which lies in [0, 1]
    return {name: ranges[name] for name in taken if name in ranges and not name.startswith(SCORE_OF)}


def list_unusual(card: ModelCard, case: NewPatient) -> Iterator[str]:
    """Notes on the patient's inputs outside the usual range: there the risk is extrapolated."""
    for name, usual in list_ranges(card).items():
        value = _find_number(card, case, name)
        if value is not None and not usual.low <= value <= usual.high:
            yield (
                f"{name} = {value:g} lies outside the training patients' usual range, {usual.low:.4g} to "
                f"{usual.high:.4g} ({usual.how}): the risk is extrapolated"
            )


def list_unknown_ranges(card: ModelCard) -> tuple[str, ...]:
    """Numeric inputs of which no usual range is known."""
    content, known = card.content, list_ranges(card)
    if isinstance(content, NetworkContent):
        return tuple(name for name in _OF_NETWORKS[:1] if name not in known)
    return tuple(
        covariate.name
        for covariate in content.covariates
        if not covariate.factor
        and covariate.name not in known
        and covariate.name != BRAIN
        and not covariate.name.startswith(SCORE_OF)
    )


def _find_number(card: ModelCard, case: NewPatient, name: str) -> float | None:
    if isinstance(card.content, NetworkContent):
        if case.lesion is None:
            return None
        return case.lesion.ich_ml if name == "ich_volume_ml" else case.lesion.ivh_ml
    value = find_value(case, name)
    return value if isinstance(value, float) else None


def format_risk(risk: float) -> str:
    """A risk to a digit that means something.

    Examples
    --------
    >>> [format_risk(risk) for risk in (4e-5, 0.1234, 0.9996)]
    ['< 0.1 %', '12.3 %', '> 99.9 %']
    """
    if risk < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if risk > 0.999 else f"{100 * risk:.1f} %"
