"""A radiomics feature's odds ratio is for one standard deviation: for one unit it can be in the millions."""

from math import exp, log

import pytest
from studies.results import SMALL

from common.messages.headers import SelectedFeature
from common.stats.estimate import Estimate
from server.report.regression_tables import build_fitted_table, scale_ratio
from server.results.regression import Association, FittedModel, RegressionRow
from server.results.selection import FeatureSelection

FEATURE = "original_shape_Sphericity"


def fit(arm, **changes):
    rows = (
        RegressionRow(
            variable="age",
            label="Age",
            unit="year",
            multivariable=Association(odds_ratio=Estimate(1.02, 1.01, 1.04), p_value=0.03),
        ),
        RegressionRow(
            variable=FEATURE,
            label=FEATURE,
            multivariable=Association(odds_ratio=Estimate(exp(30), exp(10), exp(50)), p_value=0.04),
        ),
    )
    made = FittedModel(
        model="Combined",
        arm=arm,
        kind="federated",
        sites=("A", "B"),
        rows=rows,
        intercept=-2.0,
        used=84,
        missing=0,
        method="maximum likelihood",
    )
    return made.model_copy(update=changes)


def selection(arm, sd):
    feature = SelectedFeature(name=FEATURE, coefficient=0.2, mean=0.5, sd=sd, profile=())
    return FeatureSelection(
        arm=arm,
        kind="federated",
        sites=("A", "B"),
        candidates=851,
        prescreened=42,
        features=(feature,),
        penalty=0.1,
        path=(),
        used=84,
        method="Gaussian LASSO",
    )


def entries(table):
    return {line.label: [entry.text for entry in line.entries] for line in table.lines}


def test_the_ratio_is_for_one_standard_deviation_of_each_arm_s_patients():
    """It read "> 1,000,000 (22,026 to > 1,000,000)"."""
    arms = ("federated", "federated-without-C")
    table = build_fitted_table(
        [fit(arm) for arm in arms], [selection(arms[0], 0.1), selection(arms[1], 0.02)]
    )

    assert entries(table)[f"{FEATURE} (per SD)"] == [
        *(f"{exp(3):.3f} ({exp(1):.3f}\N{EN DASH}{exp(5):.3f})", ".040"),
        *(f"{exp(0.6):.3f} ({exp(0.2):.3f}\N{EN DASH}{exp(1):.3f})", ".040"),
    ]
    assert entries(table)["Age (per year)"][0] == "1.020 (1.010\N{EN DASH}1.040)"
    assert "SD: standard deviation" in table.caption


def test_without_a_selection_the_ratio_stays_for_one_unit_and_says_so():
    table = build_fitted_table([fit("federated")])

    assert FEATURE in entries(table)
    assert "SD:" not in table.caption


@pytest.mark.parametrize("units", [0.01, 1.0, 5000.0])
def test_a_scaled_ratio_keeps_its_order_and_what_is_absent(units):
    ratio = scale_ratio(Estimate(1.5, 1.2, None), units)

    assert log(ratio.low) <= log(ratio.value)
    assert ratio.high is None
    assert scale_ratio(Estimate(None, standing=SMALL), units) == Estimate(None, standing=SMALL)
