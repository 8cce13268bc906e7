"""What a study needs of each patient beside the table's columns: scans, volumes, an outcome's cell."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.cohort.outcome import OutcomeDefinition
from common.plan.needed_columns import list_named_columns
from common.plan.study import StudyPlan

_BASELINE_VOLUMES = frozenset({"ich_volume_ml", "ivh_volume_ml"})


@dataclass(frozen=True)
class PatientNeeds:
    """What a patient cannot be studied without.

    Attributes
    ----------
    images : bool
        Baseline CT and mask.
    volumes : bool
        The volumes of both scans, on which the outcome rests.
    baseline_volumes : bool
        Whether baseline volumes are measured where the table lacks them and names CT and mask.
    outcome : OutcomeDefinition
        What counts as the event.
    """

    images: bool = True
    volumes: bool = True
    baseline_volumes: bool = True
    outcome: OutcomeDefinition = field(default_factory=OutcomeDefinition)


def needs_of(plan: StudyPlan | None, *, images: bool) -> PatientNeeds:
    """What the plan needs of a patient; without a plan what the paper needs.

    Parameters
    ----------
    plan : StudyPlan or None
    images : bool
        Whether every patient needs CT and mask.
    """
    if plan is None or plan.cohort.outcome.by_volumes:
        return PatientNeeds(images, outcome=plan.cohort.outcome if plan else OutcomeDefinition())
    takes_volumes = bool(_BASELINE_VOLUMES & list_named_columns(plan))
    return PatientNeeds(images, volumes=False, baseline_volumes=takes_volumes, outcome=plan.cohort.outcome)
