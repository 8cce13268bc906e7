"""Names of the hiding protocol's phases, which sites and coordinator derive from the plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.errors import ProtocolError
from common.messages.groups import SiteGroup, find_hiding_set, hiding_sets_of
from common.plan.study import Arm, CnnModel, StudyPlan

SESSION_AGE_S = 7 * 86_400
"""How many seconds ahead the deadline of a phase may lie."""
ROUND_AGE_S = 86_400
"""How many seconds ahead the deadline of one round may lie."""


MOST_SESSIONS = 64
"""Sessions of one set of sites that may be open at once: each answers one question at a time."""


@dataclass(frozen=True)
class HiddenPhase:
    """The sums of one set of sites for statistics, or for one training.

    Attributes
    ----------
    kind : {"statistics", "training"}
        What the sums are for.
    sites : tuple of str
        Sites that take part, including those that only add zeros.
    model : CnnModel or None
        The network that is trained; None for statistics.
    arm : Arm or None
        On whose patients it is trained; None for statistics.
    """

    kind: Literal["statistics", "training"]
    sites: tuple[str, ...]
    model: CnnModel | None = None
    arm: Arm | None = None


def find_required(plan: StudyPlan, phase: HiddenPhase) -> frozenset[int]:
    """Numbers of the sites that must be in every sum of a phase.

    Statistics are of all sites. A training goes on without silent sites, but not where its few sites hide
    among others that only add zeros: a sum of one of them and of zeros is that one's update. Nor with control
    variates: the mean of all sites' follows from the sum only if all are in it.
    """
    if phase.arm is None:
        needed = phase.sites
    else:
        are_few = bool(set(phase.sites) - set(phase.arm.sites))
        needed = phase.arm.sites if are_few or plan.federation.control_variates else ()
    return frozenset(plan.number_of(site) for site in needed)


def name_statistics_phase(number: int, beside: int = 0) -> str:
    """The name of the statistics phase of the set with this number in `hiding_sets_of`.

    Its questions may be asked in several sessions beside each other, from 0: each is a phase of one family.
    """
    return f"statistics:{number}/{beside}" if beside else f"statistics:{number}"


def name_training_phase(plan: StudyPlan, model: CnnModel, arm: Arm) -> str:
    """The name of the phase of one federated training."""
    return f"training:{plan.networks.index(model)}:{plan.all_arms().index(arm)}"


def phase_of(plan: StudyPlan, name: str) -> HiddenPhase:
    """The phase that a name denotes in this plan.

    Raises
    ------
    ProtocolError
        If the plan has no such phase.
    """
    kind, _, suffix = name.partition(":")
    try:
        if kind == "statistics":
            first, _, second = suffix.partition("/")
            number, beside = int(first), int(second or 0)
            is_one = number >= 0 and beside in range(MOST_SESSIONS)
            if is_one and name == name_statistics_phase(number, beside):
                return HiddenPhase("statistics", hiding_sets_of(plan)[number])
        numbers = [int(part) for part in suffix.split(":")]
        model, arm = plan.networks[numbers[0]], plan.all_arms()[numbers[1]]
        if kind == "training" and arm.kind == "federated" and name_training_phase(plan, model, arm) == name:
            place = find_hiding_set(plan, (SiteGroup(arm.sites, ()),))
            return HiddenPhase("training", hiding_sets_of(plan)[place or 0], model, arm)
    except (ValueError, IndexError, TypeError):
        pass
    raise ProtocolError(f"the plan has no phase {name!r} in which sums are hidden")
