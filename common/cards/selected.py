"""A LASSO's selection as it is stored, released and reported."""

from __future__ import annotations

from common.messages.headers import LassoSelection, PathPoint, SelectedFeature
from common.radiomics.features import FEATURES
from common.radiomics.lasso_selection import Selection
from common.stats.estimate import Status
from common.stats.lasso import LassoResult


def summary_of(selection: Selection) -> LassoSelection:
    """The selection as a record, without the coefficients of features that were not selected."""
    lasso, folds = selection.lasso, selection.folds
    profiles = () if lasso is None else lasso.profiles
    rows = zip(selection.names, selection.coefficients, selection.mean, selection.sd, profiles, strict=True)
    return LassoSelection(
        candidates=selection.candidates,
        prescreened=selection.prescreened,
        reproducible=selection.reproducible,
        features=tuple(
            SelectedFeature(name=name, coefficient=coefficient, mean=mean, sd=sd, profile=profile)
            for name, coefficient, mean, sd, profile in rows
        ),
        penalty=None if lasso is None else lasso.penalty,
        path=() if lasso is None else _path(lasso),
        used=None if lasso is None else lasso.n_used,
        method="" if lasso is None else lasso.method,
        family=selection.family,
        rounds=selection.rounds or None,
        folds=None if folds is None else folds.number,
        planned_folds=None if folds is None else folds.planned,
        fold_reason="" if folds is None else folds.why,
        status=selection.status.kind,
        reason=selection.status.reason,
    )


def explain_no_selection(status: Status, candidates: int = len(FEATURES)) -> LassoSelection:
    """The record of a selection that could not be made, with the reason."""
    return LassoSelection(candidates=candidates, prescreened=0, status=status.kind, reason=status.reason)


def _path(lasso: LassoResult) -> tuple[PathPoint, ...]:
    rows = zip(lasso.penalties, lasso.losses, lasso.standard_errors, lasso.active, strict=True)
    return tuple(
        PathPoint(penalty=penalty, loss=loss, standard_error=error, active=active)
        for penalty, loss, error, active in rows
    )
