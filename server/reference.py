"""Which model the others are compared with."""

from __future__ import annotations

from common.study import StudyPlan
from server.phases.training import TrainedModel


def reference_model(plan: StudyPlan, trained: tuple[TrainedModel, ...]) -> str:
    """The model that others are compared with; never chosen by a test.

    The plan's; else the network of best validation AUC, of the federated arms or of the local ones where
    there is no federation; else, where none was validated, the first of the plan.
    """
    if plan.evaluation.reference_model is not None:
        return plan.evaluation.reference_model
    kinds = {model.arm.kind for model in trained}
    kind = "federated" if "federated" in kinds else "local"
    best: dict[str, float] = {}
    for model in trained:
        chosen = [line for line in model.curve if line.number == model.chosen]
        if model.arm.kind == kind and chosen and chosen[0].validation_auc is not None:
            name = model.model.name
            best[name] = max(best.get(name, 0.0), chosen[0].validation_auc)
    return max(sorted(best), key=lambda name: best[name]) if best else plan.models[0].name
