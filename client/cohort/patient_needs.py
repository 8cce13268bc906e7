"""What a study needs of each patient beside the table's columns: scans, volumes, an outcome's cell."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.cohort.outcome import OutcomeDefinition
from common.cohort.repeated_readings import MARKERS
from common.cohort.schema import BY_NAME, Variable
from common.models.brain_score import list_brain_columns
from common.plan.models import BRAIN, TableModel
from common.plan.own_eligibility import PAPER_CRITERIA
from common.plan.study import StudyPlan
from common.plan.variables import list_described

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


def list_named_columns(plan: StudyPlan) -> frozenset[str]:
    """Columns of the paper's table, or the plan's own, that the plan uses."""
    names = {variable.name for variable in list_described(plan)} if "cohort" in plan.phases else set()
    names |= set(plan.regression.candidates) if "regression" in plan.phases else set()
    names |= {name for model in plan.models if isinstance(model, TableModel) for name in model.covariates}
    names |= {*plan.evaluation.subgroups, *plan.eligibility.variables, *plan.selectable_columns}
    names |= {model.column for model in plan.scores} | {plan.cohort.outcome.column}
    if BRAIN in names:
        names |= set(list_brain_columns(plan.cohort.brain_a))
    return frozenset(names)


def list_needed_columns(plan: StudyPlan) -> frozenset[str] | None:
    """Columns of the paper's table that must be there; None: all of them.

    A plan that names the variables of Table 1 needs those that it uses. Repeated readings of markers are
    compared with the markers' own columns.
    """
    if plan.cohort.described is None and set(plan.eligibility.paper) == set(PAPER_CRITERIA):
        return None
    names = list_named_columns(plan)
    if plan.cohort.described is None:
        names |= {variable.name for variable in list_described(plan)}
    return names | set(MARKERS if "agreement" in plan.phases else ())


def list_own_columns(plan: StudyPlan) -> tuple[Variable, ...]:
    """Columns that the plan declares beyond the paper's: its own variables, then the outcome's."""
    outcome, own = plan.cohort.outcome, tuple(plan.own_variables.values())
    if outcome.by_volumes or outcome.column in BY_NAME:
        return own
    return (*own, Variable(outcome.column, "binary", "own", outcome.label, outcome.meaning))
