"""How the models were trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.report.drawing import Picture
from server.report.figures import TimedCurve, loss_picture, validation_picture
from server.report.machines import machines
from server.report.palette import LineStyle
from server.report.predictors import FittedView, fitted_models
from server.report.printed import PrintedTable
from server.report.subject import Subject
from server.report.views import ModelView
from server.results import Study


@dataclass(frozen=True)
class LearningPanels:
    """One model's learning curves.

    Attributes
    ----------
    model : ModelView
    loss : Picture or None
        None where there is no curve.
    validation : Picture or None
        None where no AUC was measured or may be shown.
    """

    model: ModelView
    loss: Picture | None
    validation: Picture | None


@dataclass(frozen=True)
class Training:
    """The chapter.

    Attributes
    ----------
    networks : tuple of LearningPanels
    fitted : tuple of FittedView
    machines : PrintedTable or None
        Support vector machines, if there are any.
    """

    networks: tuple[LearningPanels, ...]
    fitted: tuple[FittedView, ...]
    machines: PrintedTable | None


def training(subject: Subject) -> Training | None:
    """Learning curves, fitted regressions and machines; None if nothing was trained."""
    networks = tuple(
        _panels(model, subject.results.study, subject.arm_styles) for model in subject.models if model.curves
    )
    fitted, vectors = fitted_models(subject), machines(subject)
    return Training(networks, fitted, vectors) if networks or fitted or vectors else None


def _panels(model: ModelView, study: Study, styles: Mapping[str, LineStyle]) -> LearningPanels:
    curves = [
        TimedCurve(curve, study.local_epochs if curve.kind == "federated" else 1)
        for curve in model.curves
        if curve.points
    ]
    if not curves:
        return LearningPanels(model, None, None)
    validated = any(point.validation_auc is not None for timed in curves for point in timed.curve.points)
    alt = f"of {model.name} by epoch, one line for each of {len(curves)} arms"
    return LearningPanels(
        model=model,
        loss=loss_picture(curves, styles, f"Training loss {alt}"),
        validation=validation_picture(curves, styles, f"Validation AUC {alt}") if validated else None,
    )
