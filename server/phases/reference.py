"""The choice of the model that the others are compared with."""

from __future__ import annotations

from common.plan.study import StudyPlan
from server.phases.training import TrainedModel


def choose_reference_model(plan: StudyPlan, trained: tuple[TrainedModel, ...]) -> str:
    """Name of the model that the others are compared with; test patients play no part in the choice.

    It is the plan's reference model if the plan names one. Otherwise it is the network with the best
    validation AUC in the federated arms, or in the local arms if the study has no federated one. If no
    network was validated, it is the first model of the plan.
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
