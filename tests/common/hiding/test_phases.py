"""The names of phases mean one thing each, and nothing that the plan does not have."""

import pytest
from sites.plans import NETWORK, plan_of

from common.errors import ProtocolError
from common.hiding.phases import MOST_SESSIONS, name_statistics_phase, name_training_phase, phase_of

PLAN = plan_of({"a": "train", "b": "train", "c": "train"}, NETWORK)


@pytest.mark.parametrize("beside", [0, 1, MOST_SESSIONS - 1])
def test_sessions_beside_each_other_are_among_the_same_sites(beside):
    phase = phase_of(PLAN, name_statistics_phase(0, beside))

    assert phase.kind == "statistics"
    assert phase.sites == ("a", "b", "c")


def test_a_training_is_told_by_its_name():
    (model,) = PLAN.networks
    arm = next(arm for arm in PLAN.all_arms() if arm.kind == "federated")

    phase = phase_of(PLAN, name_training_phase(PLAN, model, arm))

    assert (phase.kind, phase.model, phase.arm) == ("training", model, arm)


@pytest.mark.parametrize(
    "name",
    [
        f"statistics:0/{MOST_SESSIONS}",
        "statistics:0/0",
        "statistics:0/01",
        "statistics:0/-1",
        "statistics:0/1/1",
        "statistics:00",
        "statistics:9",
        "statistics:-1",
        "statistics:",
        "training:0",
        "training:0:0/1",
        "training:-1:0",
        "other:0",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(ProtocolError):
        phase_of(PLAN, name)
