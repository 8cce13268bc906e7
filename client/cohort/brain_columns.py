"""Columns that the plan's BRAIN score needs and that a site left blank for everybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.cohort.patient import Patient
from common.errors import Finding, Level
from common.models.brain_score import BrainA, list_brain_columns
from common.plan.design import design_of
from common.plan.models import BRAIN
from common.plan.study import StudyPlan

_OTHER: dict[BrainA, BrainA] = {"warfarin": "anticoagulation", "anticoagulation": "warfarin"}


def find_blank_brain_columns(plan: StudyPlan, table: str, patients: Sequence[Patient]) -> Iterator[Finding]:
    """A note for each column without which no patient here has a BRAIN score, if the plan takes the score.

    Parameters
    ----------
    plan : StudyPlan
    table : str
        The table's name, for messages.
    patients : sequence of Patient
        Those who are studied. Volumes count as known: where they are blank, the masks are measured.
    """
    if not patients or BRAIN not in {column.variable for column in design_of(plan).columns}:
        return
    chosen = plan.cohort.brain_a
    for name in list_brain_columns(chosen):
        if name == "ich_volume_ml" or any(patient.value(name) is not None for patient in patients):
            continue
        remedy = "fill it in; without it nobody here has the score"
        if name == chosen:
            remedy += (
                f". It is A by cohort.brain_a = {chosen!r}; if no hospital can fill it in, agree on a plan "
                f"with {_OTHER[chosen]!r}: one definition for all"
            )
        what = f"blank for all {len(patients)} patients, but the plan's models take the BRAIN score"
        yield Finding(f"{table}, column {name!r}", what, remedy, Level.LOOK)
