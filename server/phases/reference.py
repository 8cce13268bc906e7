"""The choice of the model that the others are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.plan.repeated_trainings import is_repeat
from common.plan.study import StudyPlan
from server.phases.training import TrainedModel


def choose_reference_model(plan: StudyPlan, trained: tuple[TrainedModel, ...]) -> str:
    """Name of the model that the others are compared with; test patients play no part in the choice.

    It is the plan's reference model if the plan names one. Otherwise it is the network with the best
    validation AUC in the federated arms, or in the local arms if the study has no federated one. If no
    network was validated, it is the plan's first model that was not given up. A named model stays the
    reference where it could not be trained: the study does not choose another after it has seen that. Further
    trainings of a network are no candidates: the best of several seeds would be chosen by luck.
    """
    if plan.evaluation.reference_model is not None:
        return plan.evaluation.reference_model
    best = _find_best(trained)
    if best:
        return best[0]
    usable = {model.model.name for model in trained if model.standing.ok}
    given_up = {model.model.name for model in trained} - usable
    names = [model.name for model in plan.models if not is_repeat(model)]
    return next((name for name in names if name not in given_up), names[0])


ReferenceKind: TypeAlias = Literal["plan", "validation AUC", "first model"]
"""plan: the plan names it; validation AUC: the best validated network; first model: no network was
validated."""


@dataclass(frozen=True)
class ReferenceOrigin:
    """How a model came to be the one that the others are compared with.

    Attributes
    ----------
    kind : {"plan", "validation AUC", "first model"}
        By which rule of `choose_reference_model`.
    equals : tuple of str
        Networks with the same validation AUC whose names come later in the alphabet.
    """

    kind: ReferenceKind
    equals: tuple[str, ...] = ()


def explain_reference(plan: StudyPlan, trained: tuple[TrainedModel, ...]) -> ReferenceOrigin:
    """Why `choose_reference_model` chose what it chose."""
    if plan.evaluation.reference_model is not None:
        return ReferenceOrigin("plan")
    best = _find_best(trained)
    return ReferenceOrigin("validation AUC", best[1:]) if best else ReferenceOrigin("first model")


@dataclass(frozen=True)
class ValidatedNetwork:
    """A network in the arm in which its validation AUC is the highest.

    Attributes
    ----------
    trained : TrainedModel
        The network.
    auc : float
        Validation AUC of the kept round.
    released : bool
        Whether it may be shown.
    sites : tuple of str or None
        Whose validation patients judged it; None where that was not recorded.
    """

    trained: TrainedModel
    auc: float
    released: bool
    sites: tuple[str, ...] | None


def list_validated(trained: tuple[TrainedModel, ...]) -> tuple[ValidatedNetwork, ...]:
    """Each network that may be the reference by its validation AUC: the highest first, equals by name."""
    usable = [model for model in trained if model.standing.ok and not is_repeat(model.model)]
    kind = "federated" if "federated" in {model.arm.kind for model in usable} else "local"
    best: dict[str, ValidatedNetwork] = {}
    for model in usable:
        chosen = next((line for line in model.curve if line.number == model.chosen), None)
        if model.arm.kind != kind or chosen is None or chosen.validation_auc is None:
            continue
        name, auc = model.model.name, chosen.validation_auc
        if name not in best or auc > best[name].auc:
            best[name] = ValidatedNetwork(model, auc, chosen.released, _find_judges(model))
    return tuple(sorted(best.values(), key=lambda network: (-network.auc, network.trained.model.name)))


def _find_judges(model: TrainedModel) -> tuple[str, ...] | None:
    """Whose validation patients judged the kept round: the sites that answered the round after it."""
    everybody, answers = model.arm.sites, [line.answered for line in model.curve]
    if model.arm.kind != "federated" or model.chosen == len(answers):
        # After the last round, all sites of the arm are asked
        return everybody
    return answers[model.chosen]


def _find_best(trained: tuple[TrainedModel, ...]) -> tuple[str, ...]:
    """The networks with the highest validation AUC of the kept round, by name; none if none was validated."""
    networks = list_validated(trained)
    return tuple(network.trained.model.name for network in networks if network.auc == networks[0].auc)
