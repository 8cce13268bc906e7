"""How much an AUC differs between sites: random-effects meta-analysis on the logit scale, in two rounds.

Round 1 sums `local_site` over sites; the coordinator broadcasts `between_variance`; round 2 sums
`local_weighted`. Sums over few sites nearly disclose the sites' own values, so a result from fewer than six
sites counts as released site by site.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy import stats
from scipy.special import expit

from common.stats.contract import Summary
from common.stats.estimate import LEVEL, Estimate, Interval, absent, suppressed, undefined
from common.stats.minima import STANDARD, Minima
from common.stats.roc import RocResult

_PER_SITE_BELOW = 6
"""Sites below which the result counts as released site by site."""


@dataclass(frozen=True)
class Heterogeneity:
    """The mean AUC of one model over sites, and how much the sites differ.

    Attributes
    ----------
    auc : Estimate
        Random-effects mean, transformed back from the logit, with Hartung and Knapp's confidence interval on
        sites - 1 degrees of freedom; undefined below three sites.
    prediction : Interval or None
        95 % prediction interval for a new site, with sites - 2 degrees of freedom; None below three sites.
    q, p, i_squared, tau_squared : float or None
        Cochran's Q with its p, the share of variation that is between sites, and DerSimonian and Laird's
        between-site variance on the logit scale.
    difference_z, difference_p : float or None
        For exactly two sites: z and p of their difference; nothing else is reported then.
    sites, sites_excluded : int
        Sites used; and sites left out because their AUC is 0 or 1 or their numbers are too small.
    per_site : bool
        Whether so few sites were summed that the result counts as released site by site.
    """

    auc: Estimate
    prediction: Interval | None
    q: float | None
    p: float | None
    i_squared: float | None
    tau_squared: float | None
    difference_z: float | None
    difference_p: float | None
    sites: int
    sites_excluded: int
    per_site: bool


def local_site(site: RocResult) -> Summary:
    """One site's weighted AUC for round 1; a site without an AUC counts as excluded.

    Returns
    -------
    Summary
        Counts "sites" (2,): used and excluded. Reals "sums" (4,): of w, w t, w t t and w w, where t is the
        logit of the AUC and w the inverse of its variance.
    """
    point = _logit_auc(site)
    if point is None:
        return Summary({"sites": np.array([0, 1])}, {"sums": np.zeros(4)})
    theta, variance = point
    w = 1 / variance
    return Summary({"sites": np.array([1, 0])}, {"sums": np.array([w, w * theta, w * theta**2, w * w])})


def between_variance(first: Summary) -> float:
    """DerSimonian and Laird's tau squared, from the sum of round 1; 0 for fewer than two sites.

    References
    ----------
    DerSimonian R, Laird N. Control Clin Trials 1986;7:177-188.
    """
    sites = int(first.counts["sites"][0])
    if sites < 2:
        return 0.0
    w, _, _, ww = first.reals["sums"]
    return max(0.0, (_cochran_q(first) - (sites - 1)) / float(w - ww / w))


def local_weighted(site: RocResult, tau_squared: float) -> Summary:
    """One site's AUC by its random-effects weight, for round 2: reals "sums" (3,) of w, w t and w t t."""
    point = _logit_auc(site)
    if point is None:
        return Summary(reals={"sums": np.zeros(3)})
    theta, variance = point
    w = 1 / (variance + tau_squared)
    return Summary(reals={"sums": np.array([w, w * theta, w * theta**2])})


def finish_meta(first: Summary, second: Summary, minima: Minima = STANDARD) -> Heterogeneity:
    """The mean AUC, its intervals and the heterogeneity of the sites.

    References
    ----------
    Hartung J, Knapp G. Stat Med 2001;20:3875-3889. Higgins JPT et al. J R Stat Soc A 2009;172:137-159.
    """
    sites, excluded = (int(count) for count in first.counts["sites"])
    few = sites < _PER_SITE_BELOW
    method = "logit AUC, DerSimonian-Laird, Hartung-Knapp"
    if sites < 2:
        none = absent(undefined("fewer than two sites with an AUC"), method)
        return Heterogeneity(none, *_NOTHING, None, None, sites, excluded, few)
    if sites == 2:
        if minima.sites > 2:
            hidden = absent(suppressed(f"fewer than {minima.sites} sites"), method)
            return Heterogeneity(hidden, *_NOTHING, None, None, sites, excluded, few)
        z = sqrt(max(0.0, _cochran_q(first)))
        p = float(2 * stats.norm.sf(z))
        no_mean = absent(undefined("fewer than three centres have no mean"), method)
        return Heterogeneity(no_mean, *_NOTHING, z, p, sites, excluded, few)
    return _finish_random_effects(first, second, (sites, excluded), method)


_NOTHING: tuple[None, None, None, None, None] = (None,) * 5
"""Values that do not exist for fewer than three sites: prediction interval, Q, p, I squared, tau squared."""


def _finish_random_effects(
    first: Summary, second: Summary, sites: tuple[int, int], method: str
) -> Heterogeneity:
    q, tau_squared, freedom = _cochran_q(first), between_variance(first), sites[0] - 1
    w, wt, wtt = (float(value) for value in second.reals["sums"])
    mean = wt / w
    error = sqrt(max(0.0, wtt - wt**2 / w) / (freedom * w))
    half = float(stats.t.isf((1 - LEVEL) / 2, freedom)) * error
    new = float(stats.t.isf((1 - LEVEL) / 2, freedom - 1)) * sqrt(tau_squared + error**2)
    interval = Interval(float(expit(mean - half)), float(expit(mean + half)), "Hartung-Knapp")
    return Heterogeneity(
        auc=Estimate.of(float(expit(mean)), interval, method),
        prediction=Interval(float(expit(mean - new)), float(expit(mean + new)), "prediction"),
        q=q,
        p=float(stats.chi2.sf(q, freedom)),
        i_squared=max(0.0, 1 - freedom / q) if q > 0 else 0.0,
        tau_squared=tau_squared,
        difference_z=None,
        difference_p=None,
        sites=sites[0],
        sites_excluded=sites[1],
        per_site=sites[0] < _PER_SITE_BELOW,
    )


def _logit_auc(site: RocResult) -> tuple[float, float] | None:
    """The logit of a site's AUC and its variance (delta method); None where the site has none."""
    auc = site.auc.value
    if auc is None or not site.variance or auc in {0.0, 1.0}:
        return None
    return log(auc / (1 - auc)), site.variance / (auc * (1 - auc)) ** 2


def _cochran_q(first: Summary) -> float:
    w, wt, wtt, _ = (float(value) for value in first.reals["sums"])
    return max(0.0, wtt - wt**2 / w)
