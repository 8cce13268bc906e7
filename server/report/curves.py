"""ROC curves: all models of one cohort together, and each model's arms."""

from __future__ import annotations

from dataclasses import dataclass

from server.report.drawing import Picture
from server.report.figures import StyledCell, roc_picture
from server.report.subject import SharedCohort, Subject, shared_cohorts
from server.report.views import CohortView, ModelView, fair_cohorts
from server.report.words import estimate


@dataclass(frozen=True)
class SharedPanel:
    """One cohort's curves of all models.

    Attributes
    ----------
    cohort : SharedCohort
    picture : Picture or None
        None where no curve may be shown.
    """

    cohort: SharedCohort
    picture: Picture | None


@dataclass(frozen=True)
class ArmPanel:
    """One cohort's curves of one model, an arm each.

    Attributes
    ----------
    cohort : CohortView
    picture : Picture or None
        None where no curve may be shown.
    """

    cohort: CohortView
    picture: Picture | None


@dataclass(frozen=True)
class Curves:
    """The chapter.

    Attributes
    ----------
    shared : tuple of SharedPanel
    by_model : tuple of (ModelView, tuple of ArmPanel)
        Of models that have several arms.
    """

    shared: tuple[SharedPanel, ...]
    by_model: tuple[tuple[ModelView, tuple[ArmPanel, ...]], ...]


def curves(subject: Subject) -> Curves:
    """All models together as in the paper's Fig. 4, then each one's arms."""
    shared = tuple(_shared(subject, cohort) for cohort in shared_cohorts(subject))
    several = [model for model in subject.models if len(model.arms) > 1]
    return Curves(shared, tuple((model, _arms(subject, model)) for model in several))


def _shared(subject: Subject, cohort: SharedCohort) -> SharedPanel:
    drawn = [
        StyledCell(cell, subject.model_styles[cell.model], subject.is_reference(cell.model))
        for cell in cohort.cells
        if cell.roc
    ]
    areas = "; ".join(f"{one.cell.model} {estimate(one.cell.auc)}" for one in drawn)
    alt = f"ROC curves of all models, {cohort.label}. AUC: {areas}"
    return SharedPanel(cohort, roc_picture(drawn, alt) if drawn else None)


def _arms(subject: Subject, model: ModelView) -> tuple[ArmPanel, ...]:
    panels = []
    for cohort in fair_cohorts(model):
        styles = subject.arm_styles
        drawn = [StyledCell(cell, styles[cell.arm]) for cell in cohort.cells if cell.roc]
        areas = "; ".join(f"{one.style.label} {estimate(one.cell.auc)}" for one in drawn)
        alt = f"ROC curves of {model.name}, {cohort.sites}, {cohort.part}. AUC: {areas}"
        panels.append(ArmPanel(cohort, roc_picture(drawn, alt) if drawn else None))
    return tuple(panels)
