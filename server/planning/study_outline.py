"""What a plan, and the journal of earlier runs, tell of a study before it goes on: its phases, its length."""

from __future__ import annotations

from collections.abc import Sequence

from common.plan.study import StudyPlan
from common.program import names
from common.program.study_program import list_procedures
from server.planning.message_rounds import expect_rounds
from server.results.journal import PhaseLine, add_up
from server.watch.time_left import PhaseCost, Reckoning, Work
from server.watch.watched_parts import StudyOutline

_PHASES_OF_KINDS = {
    "predictors": "fitting",
    "fit": "fitting",
    names.CALIBRATION: "evaluation",
    names.MEAN_ATTENTION.split(" ")[0]: "explanation",
}
_NO_PHASE = "opening"
"""Rounds that sessions of hidden sums cost, in whichever phase asks first."""


def outline_study(plan: StudyPlan, earlier: Sequence[PhaseLine]) -> StudyOutline:
    """The study in outline.

    Parameters
    ----------
    plan : StudyPlan
    earlier : sequence of PhaseLine
        What every phase of earlier runs cost.
    """
    usual = {phase: count.usual for phase, count in expect_rounds(plan).items() if phase != _NO_PHASE}
    costs = {line.phase: PhaseCost(line.seconds, line.rounds) for line in add_up(earlier).values()}
    return StudyOutline(
        name=plan.name,
        plan_hash=plan.digest(),
        sites=plan.site_names,
        phases=tuple(usual),
        procedures={one.name: _find_phase(plan, one.name) for one in list_procedures(plan)},
        reckoning=Reckoning(usual=usual, trainings=_list_trainings(plan), costs=costs),
    )


def _find_phase(plan: StudyPlan, procedure: str) -> str:
    """The phase to which a procedure belongs, as the coordinator measures its time."""
    kind, _, about = procedure.partition(" ")
    if kind == "scoring":
        model = about.split(" ")[0]
        if model in {network.name for network in plan.networks}:
            return "scoring"
        # A model of an earlier study is asked for its scores just before these are judged
        return "fitting" if model in {one.name for one in plan.table_models} else "evaluation"
    return _PHASES_OF_KINDS.get(kind, kind)


def _list_trainings(plan: StudyPlan) -> tuple[Work, ...]:
    if "training" not in plan.phases:
        return ()
    return tuple(
        Work(model.name, arm.name, plan.federation.rounds)
        for model in plan.networks
        for arm in plan.all_arms()
        if arm.kind != "pooled"
    )
