"""Which radiomics features the LASSO selected for the models of each arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from common.cards.fitted import covariates_of
from common.messages.headers import Fitted, LassoSelection, PathPoint, SelectedFeature
from common.plan.models import RADIOMICS
from common.plan.predictors import WITHOUT_RADIOMICS
from common.plan.study import Arm
from common.radiomics.features import FEATURES
from common.stats.estimate import OK, Status
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.fitting import FittedRegression
    from server.phases.svm import TrainedSvm


class FeatureSelection(Record):
    """Which radiomics features went into the models of one arm (the paper's Table S3 and Fig. S2)."""

    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local"]
    """How the arm trains."""
    sites: tuple[str, ...]
    """Whose training patients."""
    candidates: Count
    """Features to begin with."""
    prescreened: Count
    """Features that went into the LASSO."""
    reproducible: Count | None = None
    """Candidates on which repeated readings agree; None where that was not asked."""
    features: tuple[SelectedFeature, ...]
    """In the order of the candidates."""
    penalty: float | None
    """The chosen one."""
    path: tuple[PathPoint, ...]
    """From the largest penalty to the smallest."""
    used: Count | None
    """Training patients with all features."""
    method: str
    """How the penalty was chosen."""
    family: Literal["gaussian", "binomial"] | None = None
    """What the LASSO fitted: the outcome as 0 or 1, or its log odds; None: not recorded."""
    rounds: Count | None = None
    """Rounds of messages that the selection took, guard round included; None at one site alone, which asks
    nobody, and where it was not recorded."""
    folds: Count | None = None
    """Folds of the cross-validation; None where it did not come to one, or that was not recorded."""
    planned_folds: Count | None = None
    """Folds that the plan asks for; None like `folds`."""
    fold_reason: str = ""
    """Why there are fewer folds than planned; empty if there are as many, or that was not recorded."""
    standing: Status = OK
    """Whether there is a selection."""


def note_models_without_radiomics(
    models: Iterable[FittedRegression | TrainedSvm], candidates: Sequence[str] = FEATURES
) -> Iterator[str]:
    """Which models of the table take radiomics and have none, because it was withheld or none was kept.

    Parameters
    ----------
    models : iterable of FittedRegression or TrainedSvm
    candidates : sequence of str
        Among what the LASSO selected.
    """
    for trained in models:
        name = f"{trained.model.name} ({trained.arm.name})"
        if trained.standing.reason.startswith(WITHOUT_RADIOMICS):
            yield f"{name} is not fitted: {trained.standing.reason}."
        elif RADIOMICS in trained.model.covariates and trained.fitted is not None and trained.standing.ok:
            fitted = trained.fitted
            names = covariates_of(fitted) if isinstance(fitted, Fitted) else fitted.covariates
            if not set(names).intersection(candidates):
                yield f"{name} has no radiomics feature: the LASSO kept none."


def record_selection(arm: Arm, selection: LassoSelection) -> FeatureSelection:
    """The LASSO's features with the path and the cross-validation that chose them."""
    return FeatureSelection(
        arm=arm.name,
        kind="local" if arm.kind == "local" else "federated",
        sites=arm.sites,
        candidates=selection.candidates,
        prescreened=selection.prescreened,
        reproducible=selection.reproducible,
        features=selection.features,
        penalty=selection.penalty,
        path=selection.path,
        used=selection.used,
        method=selection.method,
        family=selection.family,
        rounds=selection.rounds,
        folds=selection.folds,
        planned_folds=selection.planned_folds,
        fold_reason=selection.fold_reason,
        standing=selection.standing,
    )
