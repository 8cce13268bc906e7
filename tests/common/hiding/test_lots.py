"""A site gets back the sums that steer of the groups that it is in, and nothing else can be read by it."""

import numpy as np
import pytest

from common.hiding.returned import ReturnedLots, comes_back, find_receivers
from common.hiding.vectors import Hiding, find_lot
from common.messages.catalogue import Operation
from common.messages.groups import SiteGroup
from common.messages.headers import RequestHeader
from common.secagg.crypto.encoding import decode, encode
from common.stats.contract import Summary

GROUPS = (
    SiteGroup(("a", "b"), ("test",)),
    SiteGroup(("c",), ("whole",)),
    SiteGroup(("b", "c"), ("whole", "paired/1")),
)
SHARED = Summary(
    {
        "0/test/0/roc/histogram": np.arange(6).reshape(2, 3),
        "0/test/0/confusion/cells": np.arange(4),
        "2/paired/1/0/histogram": np.array([7, 8]),
        "2/whole/0/confusion/cells": np.array([9]),
    },
    {"2/whole/0/calibration/logits": np.array([0.25, 1e-15]), "0/test/0/decision/benefit": np.array([0.5])},
)


def hiding_of(operation=Operation.EVALUATE, summary=SHARED):
    return Hiding.of_question(
        RequestHeader(operation=operation, plan_hash="0" * 64, site=""), summary.layout()
    )


def summed(hiding, summary):
    values = zip(hiding.vectors, hiding.values(summary), strict=True)
    return [decode(vector, encode(vector, array, sites=2).words) for vector, array in values]


def test_one_lot_for_each_group_and_for_what_steers_in_it():
    hiding = hiding_of()

    assert [lot.name for lot in hiding.lots] == [" 0 steering", " 0 other", " 2 steering", " 2 other"]
    assert [find_lot(vector.name) for vector in hiding.vectors] == [
        (0, True), (0, False), *[(0, False)] * 3, (2, True), *[(2, True)] * 3, (2, False),
    ]  # fmt: skip
    found, expected = hiding.summary(summed(hiding, SHARED)), SHARED
    assert found.layout() == expected.layout()
    for name, array in expected.counts.items():
        assert found.counts[name].tolist() == array.tolist()
    for name, array in expected.reals.items():
        np.testing.assert_allclose(found.reals[name], array, rtol=1e-9)


@pytest.mark.parametrize(
    ("site", "arrays"),
    [
        ("a", {("a", "b"): {"test/0/roc/histogram"}}),
        (
            "b",
            {
                ("a", "b"): {"test/0/roc/histogram"},
                ("b", "c"): {"paired/1/0/histogram", "whole/0/calibration/logits"},
            },
        ),
        ("c", {("b", "c"): {"paired/1/0/histogram", "whole/0/calibration/logits"}}),
        ("d", {}),
    ],
)
def test_a_site_reads_the_sums_of_its_groups(site, arrays):
    hiding = hiding_of()
    sums = [
        array
        for array, (_, lot) in zip(summed(hiding, SHARED), hiding.lots_of_vectors, strict=True)
        if comes_back(GROUPS, site, lot)
    ]
    returned = ReturnedLots.model_validate_json(ReturnedLots.of(hiding, GROUPS, site).note)

    found = returned.read_sums(sums)

    assert {sites: {name for _, name, _ in one.layout()} for sites, one in found.items()} == arrays
    for sites, summary in found.items():
        number = [group.sites for group in GROUPS].index(sites)
        for name, array in summary.counts.items():
            assert array.tolist() == SHARED.counts[f"{number}/{name}"].tolist()


def test_both_sides_agree_on_what_comes_back():
    for vector, lot in hiding_of().lots_of_vectors:
        sites = {site for site in "abcd" if comes_back(GROUPS, site, lot)}
        assert find_receivers(GROUPS, vector.name) == sites


def test_nothing_comes_back_of_a_question_that_steers_nothing():
    hiding = hiding_of(Operation.COMPARE)

    assert [lot.steers for lot in hiding.lots] == [False, False]
    assert not any(find_receivers(GROUPS, vector.name) for vector in hiding.vectors)


@pytest.mark.parametrize(
    "name", ["patients", "counts 9eb737fe235fb06e", "updates weights", "a b 0 else", "x 9 steering"]
)
def test_other_vectors_come_back_to_nobody(name):
    assert find_receivers(GROUPS, name) == frozenset()


def test_vectors_of_another_layout_have_other_names():
    other = Summary({**SHARED.counts, "0/test/1/confusion/cells": np.arange(4)}, SHARED.reals)

    assert not {vector.name for vector in hiding_of().vectors} & {
        vector.name for vector in hiding_of(summary=other).vectors
    }
