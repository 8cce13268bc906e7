"""Which columns a study needs of a hospital's table: the schema's, its own, and those of given scores."""

from __future__ import annotations

from common.cohort.columns import WantedColumns
from common.cohort.repeated_readings import MARKERS
from common.cohort.schema import BY_NAME, VARIABLES, Variable
from common.cohort.score_columns import find_score_columns
from common.models.brain_score import list_brain_columns
from common.plan.models import BRAIN, CardModel, TableModel
from common.plan.own_eligibility import PAPER_CRITERIA
from common.plan.study import StudyPlan
from common.plan.variables import list_described


def list_named_columns(plan: StudyPlan) -> frozenset[str]:
    """Columns of the paper's table, or the plan's own, that the plan uses."""
    names = {variable.name for variable in list_described(plan)} if "cohort" in plan.phases else set()
    names |= set(plan.regression.candidates) if "regression" in plan.phases else set()
    takers = (model for model in plan.models if isinstance(model, TableModel | CardModel))
    names |= {name for model in takers for name in model.covariates}
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


def choose_columns(plan: StudyPlan | None) -> WantedColumns:
    """What a study needs of the table beyond the schema; without a plan, what the table itself implies."""
    if plan is None:
        return WantedColumns(images=None)
    own = list_own_columns(plan)
    headings = {variable.name for variable in own}
    scores = find_score_columns(((model.column, model.low, model.high) for model in plan.scores), headings)
    return WantedColumns(scores, images=plan.reads_images, own=own, needed=list_needed_columns(plan))


def list_table_columns(plan: StudyPlan | None, *, images: bool) -> tuple[Variable, ...]:
    """The columns that an empty table has: what the study needs, and what every hospital may add."""
    wanted = WantedColumns(images=images) if plan is None else choose_columns(plan)
    return (
        *(
            variable
            for variable in VARIABLES
            if variable.group not in {"repeated readings", "study"}
            and (wanted.images or variable.group != "files")
            and (wanted.needs(variable) or not variable.required)
        ),
        *wanted.declared,
    )
