from __future__ import annotations

import doctest
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.cohort import outcome
from common.cohort.outcome import Expansion, OutcomeDefinition, Reason, Volumes, classify

PAPER = OutcomeDefinition()
ICH_6, ICH_33, IVH_1, NEW = Reason


@pytest.mark.parametrize(
    ("baseline", "followup", "reasons"),
    [
        # ICH by the absolute bound: 6 ml of 30 ml are 20 %
        ((30, 0), (36, 0), (ICH_6,)),
        ((30, 0), (35.99, 0), ()),
        ((4.2, 0), (10.2, 0), (ICH_6, ICH_33)),
        # 10.2 - 4.2 is 5.999999999999999 in floating point
        ((34.2, 0), (40.2, 0), (ICH_6,)),
        # ICH by the relative bound: 3.3 ml of 10 ml
        ((10, 0), (13.3, 0), (ICH_33,)),
        ((10, 0), (13.29, 0), ()),
        # both
        ((10, 0), (16, 0), (ICH_6, ICH_33)),
        # IVH that was there grows
        ((30, 2), (30, 3), (IVH_1,)),
        ((30, 2), (30, 2.99), ()),
        ((30, 0.1), (30, 1.1), (IVH_1,)),
        # IVH appears
        ((30, 0), (30, 0.01), (NEW,)),
        ((30, 0), (30, 5), (IVH_1, NEW)),
        # everything
        ((10, 0), (20, 5), (ICH_6, ICH_33, IVH_1, NEW)),
        # nothing there, nothing grows
        ((0, 0), (0, 0), ()),
        ((10, 0), (10, 0), ()),
        ((10, 3), (10, 3), ()),
        # shrinking
        ((30, 8), (20, 0), ()),
        # of 0 ml there is no percentage
        ((0, 3), (2, 3), ()),
        ((0, 3), (6, 3), (ICH_6,)),
    ],
)
def test_reasons_by_hand(baseline, followup, reasons):
    expansion = classify(Volumes(*baseline), Volumes(*followup), PAPER)

    assert expansion.reasons == reasons
    assert expansion.conventional == (ICH_6 in reasons or ICH_33 in reasons)
    assert expansion.revised == bool(reasons)


HUNDREDTHS = st.integers(min_value=0, max_value=20_000)


@given(HUNDREDTHS, HUNDREDTHS, HUNDREDTHS, HUNDREDTHS)
def test_equals_exact_arithmetic_on_volumes_with_two_decimals(ich0, ivh0, ich1, ivh1):
    # The oracle divides integers; a float's rounding cannot reach it.
    conventional = ich1 - ich0 >= 600 or (
        ich0 > 0 and ich1 > ich0 and Fraction(ich1 - ich0, ich0) >= Fraction(33, 100)
    )
    revised = conventional or ivh1 - ivh0 >= 100 or (ivh0 == 0 and ivh1 > 0)

    expansion = classify(Volumes(ich0 / 100, ivh0 / 100), Volumes(ich1 / 100, ivh1 / 100), PAPER)

    assert (expansion.conventional, expansion.revised) == (conventional, revised)


@given(
    st.integers(1, 200_000),
    st.floats(1e-4, 0.05, allow_nan=False),
    st.sampled_from([6.0, 12.0]),
)
def test_a_growth_of_exactly_the_bound_counts_and_one_voxel_less_does_not(voxels, voxel_ml, bound_ml):
    more = round(bound_ml / voxel_ml)
    voxel_ml = bound_ml / more
    definition = OutcomeDefinition(ich_absolute_ml=bound_ml, ich_relative=1e6)

    def grown(by):
        return classify(
            Volumes(voxels * voxel_ml, 0), Volumes((voxels + by) * voxel_ml, 0), definition
        ).conventional

    assert grown(more)
    assert not grown(more - 1)


@pytest.mark.parametrize("growth_ml", [0.01, 0.5, 3])
def test_any_growth_of_ivh_counts_where_the_plan_says_so(growth_ml):
    anything = OutcomeDefinition(ivh_absolute_ml=0)

    assert classify(Volumes(10, 2), Volumes(10, 2 + growth_ml), anything).reasons == (IVH_1,)
    assert classify(Volumes(10, 2), Volumes(10, 2), anything).reasons == ()


def test_the_endpoint_decides_what_is_positive():
    expansion = classify(Volumes(10, 0), Volumes(10, 1), PAPER)

    assert expansion.positive(PAPER)
    assert not expansion.positive(OutcomeDefinition(endpoint="cHE"))


@pytest.mark.parametrize("volume_ml", [-0.1, float("nan"), float("inf")])
def test_impossible_volumes_do_not_exist(volume_ml):
    with pytest.raises(ValueError, match=r"ich_ml .* not"):
        Volumes(volume_ml, 0)
    with pytest.raises(ValueError, match=r"ivh_ml .* not"):
        Volumes(1, volume_ml)


@pytest.mark.parametrize(
    "bounds",
    [{"ich_absolute_ml": 0}, {"ich_relative": -0.1}, {"ich_relative": float("nan")}, {"ivh_absolute_ml": -1}],
)
def test_senseless_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match=next(iter(bounds))):
        OutcomeDefinition(**bounds)


@pytest.mark.parametrize(
    ("conventional", "revised", "reasons"),
    [(True, True, ()), (False, False, (NEW,)), (True, True, (NEW,)), (False, True, (ICH_6,))],
)
def test_an_expansion_agrees_with_its_reasons(conventional, revised, reasons):
    with pytest.raises(ValueError, match="contradict"):
        Expansion(conventional, revised, reasons)


def test_examples_in_the_docstrings():
    assert doctest.testmod(outcome).failed == 0
