"""The names of the program's procedures, which every question carries."""

from __future__ import annotations

from typing import Final

from common.plan.models import AnyTrainedModel, CardModel
from common.plan.study import Arm

PREPARATION: Final = "preparation"
READER_AGREEMENT: Final = "agreement"
COHORT_DESCRIPTION: Final = "cohort"
SCREENING: Final = "regression"
EVALUATION: Final = "evaluation"
CALIBRATION: Final = "calibration"
COMPARISON: Final = "comparison"
MEAN_ATTENTION: Final = "mean attention"


def name_training(model: AnyTrainedModel, arm: Arm) -> str:
    """The training of a network in an arm."""
    return f"training {model.name} {arm.name}"


def name_selection(arm: Arm) -> str:
    """The selection of an arm's predictors."""
    return f"predictors {arm.name}"


def name_fit(model: AnyTrainedModel, arm: Arm) -> str:
    """The fit of a model of the table in an arm."""
    return f"fit {model.name} {arm.name}"


def name_scoring(model: AnyTrainedModel | CardModel, arm: Arm) -> str:
    """The scoring by a model of an arm."""
    return f"scoring {model.name} {arm.name}"


def name_explanation(model: AnyTrainedModel, arm: Arm) -> str:
    """The attention maps of a network of an arm."""
    return f"explanation {model.name} {arm.name}"
