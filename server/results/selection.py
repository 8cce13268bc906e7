"""Which radiomics features the LASSO selected for the models of each arm."""

from __future__ import annotations

from typing import Literal

from common.messages.headers import LassoSelection, PathPoint, SelectedFeature
from common.plan.study import Arm
from common.stats.estimate import OK, Status
from server.results.records import Count, Record


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
    standing: Status = OK
    """Whether there is a selection."""


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
        standing=selection.standing,
    )
