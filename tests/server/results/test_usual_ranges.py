"""A card's usual ranges are made of Table 1's released numbers, never of a patient's value."""

from __future__ import annotations

import pytest
from sites.plans import LOGISTIC, plan_of

from server.results.cohort import CohortRow, VariableDescription
from server.results.usual_ranges import list_usual_ranges

PLAN = plan_of({"a": "train", "b": "train", "c": "external"}, LOGISTIC)
ARMS = {arm.name: arm for arm in PLAN.all_arms()}


def row(label, negative, positive, **where):
    made = [VariableDescription(**values) for values in (negative, positive)]
    return CohortRow(
        **{"site": None, "part": "training"} | where, label=label, negative=made[0], positive=made[1]
    )


VOLUME = row(
    "ICH volume",
    {"first_quartile": 6, "median": 12, "third_quartile": 20},
    {"first_quartile": 10, "median": 15, "third_quartile": 30},
)
AGE = row("Age", {"mean": 60, "sd": 10}, {"mean": 64, "sd": 12})


def ranges(arm, *rows):
    return [
        (usual.variable, usual.low, usual.high, usual.how) for usual in list_usual_ranges(PLAN, arm, rows)
    ]


def test_the_wider_of_both_outcomes_within_what_is_possible():
    # 6 - 3 * 14 and 10 - 3 * 20 lie below 0 ml; 30 + 3 * 20 is the larger upper fence.
    assert ranges(ARMS["federated"], VOLUME, AGE) == [
        ("ich_volume_ml", 0, 90, "quartiles and 3 IQR"),
        ("age", 28, 100, "mean and 3 SD"),
    ]


@pytest.mark.parametrize("hidden", [{}, {"mean": 60}])
def test_a_number_that_is_withheld_gives_no_range(hidden):
    assert ranges(ARMS["federated"], row("Age", hidden, {"mean": 64, "sd": 12})) == []


def test_a_variable_that_is_mostly_nothing_has_no_range():
    spread = {"first_quartile": 0, "median": 0, "third_quartile": 4}
    nothing = spread | {"third_quartile": 0}
    assert ranges(ARMS["federated"], row("IVH volume", nothing, spread)) == []
    assert ranges(ARMS["federated"], row("IVH volume", spread, spread)) == [
        ("ivh_volume_ml", 0, 16, "quartiles and 3 IQR")
    ]


def test_an_arm_of_one_site_has_that_site_s_ranges():
    local = next(arm for arm in PLAN.all_arms() if arm.sites == ("a",))
    own = AGE.model_copy(update={"site": "a", "part": "whole"})
    other = AGE.model_copy(update={"site": "b", "part": "whole"})
    assert ranges(local, AGE, other) == []
    assert len(ranges(local, own)) == 1
