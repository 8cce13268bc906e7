"""An AUC in words: the method of its interval, how far the scores' own AUC can be, why it has no interval."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor, log10
from typing import TypeAlias

from common.stats.estimate import Estimate
from server.report.words import explain_absence, format_interval, format_number
from server.results.comparison import CentreAuc
from server.results.evaluation import Cell, Subgroup

JudgedAuc: TypeAlias = Cell | Subgroup | CentreAuc
"""A record of an AUC with its bounds."""
AucBounds: TypeAlias = tuple[float | None, float | None]
"""How far the AUC of the raw scores, and each limit of its interval, can be from the printed one."""

_METHODS = {
    "logit-delong": "DeLong on the logit scale",
    "delong": "DeLong",
    "mc_binomial": "exact binomial",
}
"""The methods of an AUC's interval, by their names in the plan."""
_NO_VARIANCE = " An AUC of 0 or 1 has no variance by DeLong."
_NO_INTERVAL = "no interval: all scores are equal, or there is one patient of an outcome"
"""Of results whose file does not say which of the two."""
AT_THE_EDGE = (
    "An AUC of 0 or 1 has no variance by DeLong. Interval and P add the squares of the distances between "
    "each AUC and its limit (Zou and Donner 2008); its own limit is Newcombe's (2006, method 5)."
)


def name_interval(method: str) -> str:
    """The method of an AUC's interval in words."""
    return _METHODS.get(method, method)


def describe_usual_interval(method: str) -> str:
    """The method of the page's intervals, with a warning of the paper's."""
    warning = " (as in the paper; not a valid interval of an AUC)" if method == "mc_binomial" else ""
    return f"{name_interval(method)}{warning}"


def name_other_interval(estimate: Estimate, usual: str) -> str:
    """The method of an AUC's interval in words if it is not the usual one; else an empty string."""
    known = estimate.low is not None and estimate.method in _METHODS and estimate.method != usual
    return name_interval(estimate.method) if known else ""


def describe_other_interval(estimate: Estimate, usual: str) -> str:
    """A footnote on an AUC whose interval is not the usual one; else an empty string."""
    method = name_other_interval(estimate, usual)
    if not method:
        return ""
    detail = (
        " (AUC x n successes of n patients; not a valid interval of an AUC)"
        if estimate.method == "mc_binomial"
        else ""
    )
    why = _NO_VARIANCE if estimate.value in {0.0, 1.0} else ""
    return f"Interval: {method}{detail}, not {name_interval(usual)}.{why}"


def describe_extreme_difference(method: str) -> str:
    """A footnote on a difference of which one AUC is 0 or 1; else an empty string."""
    return AT_THE_EDGE if "Newcombe" in method else ""


def bounds_of(record: JudgedAuc) -> AucBounds:
    """How far the raw scores' AUC and limits can be from the printed ones."""
    limits = record.interval_bound if isinstance(record, CentreAuc) else record.auc_interval_bound
    return record.auc_error_bound, limits


def format_bound(bound: float) -> str:
    """A bound with two significant digits, rounded up so that it stays one.

    Examples
    --------
    >>> format_bound(0.00121), format_bound(0.002)
    ('0.0013', '0.002')
    """
    if bound <= 0:
        return "0"
    unit = 10.0 ** (floor(log10(bound)) - 1)
    # A number that has two digits already must not be raised by its rounding
    return f"{ceil(bound / unit - 1e-9) * unit:.2g}"


def describe_bounds(bounds: AucBounds) -> str:
    """A footnote on how far the raw scores' AUC and limits can be; an empty string if they are equal."""
    error, limits = bounds
    if not error and not limits:
        return ""
    each = "" if limits is None else f", each limit within {format_bound(limits)}"
    return (
        "Some scores share bins: the AUC of the scores themselves lies within "
        f"{format_bound(error or 0)} of the printed one{each}."
    )


def describe_no_interval(estimate: Estimate) -> str:
    """Why an AUC has a value and no interval; else an empty string."""
    if estimate.value is None or estimate.low is not None:
        return ""
    return estimate.standing.reason or _NO_INTERVAL


def list_remarks(record: JudgedAuc, usual: str) -> tuple[str, ...]:
    """What a reader must know beside an AUC, in few words each."""
    return tuple(_list_remarks(record, usual))


def _list_remarks(record: JudgedAuc, usual: str) -> Iterator[str]:
    if record.auc.value is None:
        return
    error, limits = bounds_of(record)
    if text := name_other_interval(record.auc, usual) or describe_no_interval(record.auc):
        yield text
    if error or limits:
        each = f", limits \N{PLUS-MINUS SIGN} {format_bound(limits)}" if limits else ""
        yield f"binning \N{PLUS-MINUS SIGN} {format_bound(error or 0)}{each}"


def format_auc(record: JudgedAuc, usual: str) -> str:
    """An AUC with its interval and every remark in one line, or why there is no AUC."""
    if record.auc.value is None:
        return explain_absence(record.auc)
    bounds = format_interval(record.auc)
    details = [f"95% CI {bounds}"] if bounds else []
    details += list_remarks(record, usual)
    value = format_number(record.auc.value)
    return f"{value} ({'; '.join(details)})" if details else value
