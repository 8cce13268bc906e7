"""How the models were trained: learning curves, fitted regressions and support vector machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.report.drawing import Picture
from server.report.figures import TimedCurve, draw_losses, draw_validation
from server.report.machines import build_machine_table
from server.report.palette import LineStyle
from server.report.printed import PrintedTable
from server.report.regression_tables import FittedView, build_fitted_views
from server.report.subject import Subject
from server.report.views import ModelView
from server.report.words import format_count, name_arm
from server.results.file import StudySummary
from server.results.training import LearningCurve


@dataclass(frozen=True)
class LearningPanels:
    """One model's learning curves.

    Attributes
    ----------
    model : ModelView
        The model.
    loss : Picture or None
        None where there is no curve.
    validation : Picture or None
        None where no AUC was measured or may be shown.
    trainers : tuple of str
        Who trained the network in each federated arm, in a sentence; empty where not recorded.
    ends : tuple of str
        In which arm the training ended early, and why.
    """

    model: ModelView
    loss: Picture | None
    validation: Picture | None
    trainers: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingChapter:
    """The chapter "Training".

    Attributes
    ----------
    networks : tuple of LearningPanels
        The learning curves of each network.
    fitted : tuple of FittedView
        The coefficients of each logistic model.
    machines : PrintedTable or None
        The support vector machines; None if there are none.
    """

    networks: tuple[LearningPanels, ...]
    fitted: tuple[FittedView, ...]
    machines: PrintedTable | None


def build_training(subject: Subject) -> TrainingChapter | None:
    """The chapter, or None if nothing was trained."""
    networks = tuple(
        _draw_panels(model, subject.results.study, subject.arm_styles)
        for model in subject.models
        if model.curves
    )
    fitted, vectors = build_fitted_views(subject), build_machine_table(subject)
    return TrainingChapter(networks, fitted, vectors) if networks or fitted or vectors else None


def _draw_panels(model: ModelView, study: StudySummary, styles: Mapping[str, LineStyle]) -> LearningPanels:
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
        loss=draw_losses(curves, styles, f"Training loss {alt}"),
        validation=draw_validation(curves, styles, f"Validation AUC {alt}") if validated else None,
        trainers=tuple(_describe_trainers(curve) for curve in model.curves if curve.contributions),
        ends=tuple(
            f"{name_arm(curve)}: {curve.describe_end()}." for curve in model.curves if curve.early_stop
        ),
    )


def _describe_trainers(curve: LearningCurve) -> str:
    """Who trained the network in one arm, and with how many patients each."""
    sizes = (f"{part.site} {format_count(part.patients)}" for part in curve.contributions)
    return f"{name_arm(curve)}: {curve.describe_trainers()}. Training patients: {', '.join(sizes)}."
