from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from common.stats.contract import total
from common.stats.estimate import Estimate, absent, suppressed
from common.stats.meta import between_variance, finish_meta, local_site, local_weighted
from common.stats.minima import REPLICATION, STANDARD
from common.stats.roc import finish_roc, local_roc

AUCS = (0.78, 0.71, 0.83, 0.66, 0.75, 0.80, 0.58)
VARIANCES = (0.0009, 0.0016, 0.0012, 0.0025, 0.0006, 0.003, 0.002)
ANY = finish_roc(local_roc(np.linspace(0, 1, 40), np.arange(40) % 3 == 0, 100))


def site(auc, variance):
    estimate = absent(suppressed("few"), "hand") if auc is None else Estimate(auc)
    return replace(ANY, auc=estimate, variance=variance)


def two_rounds(sites, minima=STANDARD):
    first = total(local_site(one) for one in sites)
    tau_squared = between_variance(first)
    return finish_meta(first, total(local_weighted(one, tau_squared) for one in sites), minima)


def test_equals_metafor(reference):
    expected = reference("meta/meta.csv")

    result = two_rounds([site(*one) for one in zip(AUCS, VARIANCES, strict=True)])

    assert result.auc.value == pytest.approx(expected["auc"], rel=1e-9)
    for name in ("q", "p", "tau_squared", "i_squared"):
        assert getattr(result, name) == pytest.approx(expected[name], rel=1e-9)
    for name, interval in (("", result.auc), ("prediction.", result.prediction)):
        assert interval.low == pytest.approx(expected[f"{name}low"], rel=1e-9)
        assert interval.high == pytest.approx(expected[f"{name}high"], rel=1e-9)
    assert (result.sites, result.sites_excluded, result.per_site) == (7, 0, False)


def test_order_of_sites_does_not_matter():
    sites = [site(*one) for one in zip(AUCS, VARIANCES, strict=True)]

    assert two_rounds(sites[::-1]).auc.value == pytest.approx(two_rounds(sites).auc.value, rel=1e-13)


def test_sites_without_an_auc_are_excluded_and_counted():
    usable = [site(*one) for one in zip(AUCS[:3], VARIANCES[:3], strict=True)]

    result = two_rounds([*usable, site(1.0, 0.0), site(None, None), site(1.0, 0.01)])

    assert (result.sites, result.sites_excluded, result.per_site) == (3, 3, True)
    assert result.auc.value == pytest.approx(two_rounds(usable).auc.value)


def test_two_sites_show_only_their_difference():
    pair = [site(0.78, 0.0009), site(0.66, 0.0025)]

    result = two_rounds(pair, REPLICATION)

    a, b = np.log(0.78 / 0.22), np.log(0.66 / 0.34)
    z = (a - b) / np.sqrt(0.0009 / (0.78 * 0.22) ** 2 + 0.0025 / (0.66 * 0.34) ** 2)
    assert result.difference_z == pytest.approx(z)
    assert result.difference_p == pytest.approx(2 * stats.norm.sf(z))
    assert (result.auc.value, result.i_squared, result.prediction) == (None, None, None)
    assert str(result.auc.standing) == "undefined(fewer than three centres have no mean)"
    assert two_rounds(pair).auc.standing.kind == "suppressed"
    assert two_rounds(pair).difference_z is None


def test_one_site_has_no_heterogeneity():
    assert two_rounds([site(0.78, 0.0009)]).auc.standing.kind == "undefined"


def test_equal_sites_have_none():
    result = two_rounds([site(0.5, 0.002)] * 4)

    assert (result.q, result.i_squared, result.tau_squared) == (0.0, 0.0, 0.0)
    assert result.auc.value == 0.5
