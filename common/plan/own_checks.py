"""Contradictions between a plan's own variables, its outcome column, and what else names columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from common.cohort.schema import BY_NAME, find_variable
from common.plan.models import AnyModel, CardModel, ScoresModel, TableModel
from common.plan.own_variables import PlannedVariable
from common.plan.sections import CohortSettings, Radiomics


def check_own_variables(
    variables: Sequence[PlannedVariable], models: Sequence[AnyModel], cohort: CohortSettings
) -> None:
    """Refuse headings of own columns that are the paper's, or that differ from another in capitals alone.

    Raises
    ------
    ValueError
        With every contradiction and what to change, one a line.
    """
    scores = [model.column for model in models if isinstance(model, ScoresModel)]
    if refusals := list(_find_wrong_headings([one.name for one in variables], scores, cohort.outcome.column)):
        raise ValueError("\n".join(refusals))


def _find_wrong_headings(declared: Sequence[str], scores: Sequence[str], outcome: str) -> Iterator[str]:
    first = {name.casefold(): name for name in BY_NAME}
    twice = {name for name in declared if declared.count(name) > 1}
    for name in sorted(twice):
        yield f"the variable {name!r} is declared twice -> once is enough"
    for name in dict.fromkeys(declared):
        if find_variable(name) is not None:
            yield f"{name!r} is one of the paper's columns -> declare it under another name, or not at all"
    for name in dict.fromkeys((*declared, *scores, *([outcome] if outcome else []))):
        other = first.setdefault(name.casefold(), name)
        if other != name:
            yield f"the columns {other!r} and {name!r} differ in capitals only -> name one of them otherwise"


def check_outcome(
    cohort: CohortSettings, models: Sequence[AnyModel], named: Mapping[str, Sequence[str]]
) -> None:
    """Refuse an outcome column that is something else, too: what is predicted must not predict itself.

    Parameters
    ----------
    cohort : CohortSettings
        Names the column, if there is one.
    models : sequence of AnyModel
    named : mapping of str to sequence of str
        Columns that other parts of the plan name, by the key under which they do.

    Raises
    ------
    ValueError
        With every contradiction and what to change, one a line.
    """
    column = cohort.outcome.column
    if not column:
        return
    known = BY_NAME.get(column)
    refusals = []
    if known is not None and known.kind != "binary":
        refusals.append(f"cohort.outcome.column {column!r} is {known.kind} -> an outcome is a 0/1 column")
    elif known is not None and cohort.described is None:
        refusals.append(f"Table 1 describes the outcome {column!r} -> list cohort.described without it")
    takers = [model for model in models if isinstance(model, TableModel | CardModel)]
    covariates = {name for model in takers for name in model.covariates}
    scores = {model.column for model in models if isinstance(model, ScoresModel)}
    places = {"models.covariates": covariates, "models.column": scores, **named}
    refusals += [
        f"the outcome {column!r} stands under {place}, too -> remove it there"
        for place, names in places.items()
        if column in names
    ]
    if refusals:
        raise ValueError("\n".join(refusals))


def check_selection(radiomics: Radiomics, columns: Sequence[str]) -> None:
    """Refuse repeated readings of features that are columns of the table: no mask gives them.

    Raises
    ------
    ValueError
        With what to change.
    """
    if columns and radiomics.readings:
        raise ValueError(
            "radiomics.readings asks for repeated masks, but the LASSO selects among columns of the table -> "
            'remove readings, or the columns and the role "radiomics"'
        )
