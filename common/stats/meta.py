"""How much an AUC differs between centres: of two the difference, of more a random-effects meta-analysis.

It starts from each centre's own AUC, which is released as a cohort of one site, so that whoever is left out
can be named. No site is asked for anything more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy.special import expit

from common.stats.delong import AucDifference
from common.stats.estimate import LEVEL, OK, Estimate, Interval, Status, absent, undefined
from common.stats.roc import RocResult
from common.stats.unpaired import compare_unpaired, explain_unusable
from common.types import Reals

_METHOD = "logit AUC, DerSimonian-Laird, Hartung-Knapp"


@dataclass(frozen=True)
class Heterogeneity:
    """How much the AUC of one model differs between centres.

    Attributes
    ----------
    auc : Estimate
        Random-effects mean of three or more centres, transformed back from the logit, with Hartung and
        Knapp's confidence interval on centres - 1 degrees of freedom; it is never narrower than the interval
        with a known variance, on these degrees of freedom. Undefined below three centres.
    prediction : Interval or None
        95 % prediction interval for a new centre, with centres - 2 degrees of freedom; None below three
        centres.
    q, p, i_squared, tau_squared : float or None
        Cochran's Q with its p, the share of variation that is between centres, and DerSimonian and Laird's
        between-centre variance on the logit scale; None below three centres.
    difference : AucDifference or None
        For exactly two centres with an AUC: the first's minus the second's; nothing else is defined then.
    standings : tuple of Status
        For each centre, in the given order: OK if it counts, else why it is left out.
    """

    auc: Estimate
    prediction: Interval | None
    q: float | None
    p: float | None
    i_squared: float | None
    tau_squared: float | None
    difference: AucDifference | None
    standings: tuple[Status, ...]


def compare_centres(centres: Sequence[RocResult]) -> Heterogeneity:
    """How much the centres' AUCs differ, and which centres are left out for which reason.

    Two centres are compared whatever their AUCs are. A mean of more leaves out an AUC of 0 or 1, whose logit
    is infinite: to put a finite number in its place would bias the mean.

    References
    ----------
    DerSimonian R, Laird N. Control Clin Trials 1986;7:177-188. Hartung J, Knapp G. Stat Med
    2001;20:3875-3889. Roever C, Knapp G, Friede T. BMC Med Res Methodol 2015;15:99 (never narrower).
    Higgins JPT et al. J R Stat Soc A 2009;172:137-159 (prediction).
    """
    standings = tuple(explain_unusable(centre) for centre in centres)
    known = [centre for centre, status in zip(centres, standings, strict=True) if status.ok]
    if len(known) < 2:
        return _state_nothing("fewer than two centres with an AUC", None, standings)
    if len(known) == 2:
        difference = compare_unpaired(*known)
        return _state_nothing("fewer than three centres have no mean", difference, standings)
    standings = tuple(
        _explain_no_logit(centre) if status.ok else status
        for centre, status in zip(centres, standings, strict=True)
    )
    points = [_logit_of(centre) for centre, status in zip(centres, standings, strict=True) if status.ok]
    if len(points) < 3:
        return _state_nothing("fewer than three centres with an AUC between 0 and 1", None, standings)
    theta, variance = np.array(points).T
    return _find_random_effects(theta, variance, standings)


def _state_nothing(
    reason: str, difference: AucDifference | None, standings: tuple[Status, ...]
) -> Heterogeneity:
    return Heterogeneity(
        absent(undefined(reason), _METHOD), None, None, None, None, None, difference, standings
    )


def _find_random_effects(theta: Reals, variance: Reals, standings: tuple[Status, ...]) -> Heterogeneity:
    from scipy import stats

    freedom = theta.size - 1
    weights = 1 / variance
    q = _cochran_q(theta, weights)
    spread = float(weights.sum() - (weights**2).sum() / weights.sum())
    tau_squared = max(0.0, (q - freedom) / spread)
    weights = 1 / (variance + tau_squared)
    mean = float(weights @ theta / weights.sum())
    # Centres that agree by chance would otherwise have an interval of no width.
    scale = max(1.0, _cochran_q(theta, weights) / freedom)
    error = sqrt(scale / float(weights.sum()))
    half = float(stats.t.isf((1 - LEVEL) / 2, freedom)) * error
    new = float(stats.t.isf((1 - LEVEL) / 2, freedom - 1)) * sqrt(tau_squared + error**2)
    interval = Interval(float(expit(mean - half)), float(expit(mean + half)), "Hartung-Knapp")
    return Heterogeneity(
        auc=Estimate.of(float(expit(mean)), interval, _METHOD),
        prediction=Interval(float(expit(mean - new)), float(expit(mean + new)), "prediction"),
        q=q,
        p=float(stats.chi2.sf(q, freedom)),
        i_squared=max(0.0, 1 - freedom / q) if q > 0 else 0.0,
        tau_squared=tau_squared,
        difference=None,
        standings=standings,
    )


def _explain_no_logit(centre: RocResult) -> Status:
    """Why a centre whose AUC can be compared has no part in a mean; OK if it has."""
    auc = centre.auc.value
    if auc in {0.0, 1.0}:
        return undefined(f"an AUC of {auc:.0f} has no logit, on which the mean is taken")
    return OK


def _logit_of(centre: RocResult) -> tuple[float, float]:
    """The logit of a centre's AUC, and its variance by the delta method."""
    auc, variance = centre.auc.value or 0.0, centre.variance or 0.0
    return log(auc / (1 - auc)), variance / (auc * (1 - auc)) ** 2


def _cochran_q(theta: Reals, weights: Reals) -> float:
    return float(weights @ (theta - weights @ theta / weights.sum()) ** 2)
