"""ROC curves: all models of one cohort together, and each model's arms."""

from __future__ import annotations

from dataclasses import dataclass

from server.report.auc_words import format_auc
from server.report.drawing import Picture
from server.report.families import CurvePanel, split_panels
from server.report.figures import StyledCell, draw_roc
from server.report.subject import SharedCohort, Subject, find_shared_cohorts
from server.report.views import CohortView, ModelView, find_fair_cohorts


@dataclass(frozen=True)
class SharedPanel:
    """One cohort's curves of all models, or of those of one family.

    Attributes
    ----------
    place : CurvePanel
        The cohort with these models' results, and the panel's letter.
    picture : Picture or None
        None where no curve may be shown.
    """

    place: CurvePanel
    picture: Picture | None

    @property
    def cohort(self) -> SharedCohort:
        """The cohort with the results of the panel."""
        return self.place.cohort


@dataclass(frozen=True)
class ArmPanel:
    """One cohort's curves of one model, one for each arm.

    Attributes
    ----------
    cohort : CohortView
        The cohort with the arms' results.
    picture : Picture or None
        None where no curve may be shown.
    """

    cohort: CohortView
    picture: Picture | None


@dataclass(frozen=True)
class CurvesChapter:
    """The chapter "ROC curves".

    Attributes
    ----------
    shared : tuple of SharedPanel
        A panel for each cohort, with all models; by family where these are too many for one.
    by_model : tuple of (ModelView, tuple of ArmPanel)
        The models that have several arms, with a panel for each cohort.
    """

    shared: tuple[SharedPanel, ...]
    by_model: tuple[tuple[ModelView, tuple[ArmPanel, ...]], ...]


def build_curves(subject: Subject) -> CurvesChapter:
    """All models together as in the paper's Fig. 4, then each model's arms."""
    shared = tuple(
        _draw_shared(subject, place) for place in split_panels(subject, find_shared_cohorts(subject))
    )
    several = [model for model in subject.models if len(model.arms) > 1]
    return CurvesChapter(shared, tuple((model, _draw_arms(subject, model)) for model in several))


def _draw_shared(subject: Subject, place: CurvePanel) -> SharedPanel:
    cohort = place.cohort
    cells = [
        StyledCell(cell, subject.model_styles[cell.model], subject.is_reference(cell.model))
        for cell in cohort.cells
        if cell.roc
    ]
    usual = subject.results.study.interval
    areas = "; ".join(
        f"{subject.name_contender(styled.cell.model, styled.cell.arm)} {format_auc(styled.cell, usual)}"
        for styled in cells
    )
    whose = place.family[:1].lower() + place.family[1:] if place.family[:1].isalpha() else place.family
    alt = f"ROC curves of {whose or 'all models'}, {cohort.label}. AUC: {areas}"
    return SharedPanel(place, draw_roc(cells, alt) if cells else None)


def _draw_arms(subject: Subject, model: ModelView) -> tuple[ArmPanel, ...]:
    panels, usual = [], subject.results.study.interval
    for cohort in find_fair_cohorts(model):
        styles = subject.arm_styles
        cells = [StyledCell(cell, styles[cell.arm]) for cell in cohort.cells if cell.roc]
        areas = "; ".join(f"{styled.style.label} {format_auc(styled.cell, usual)}" for styled in cells)
        alt = f"ROC curves of {model.name}, {cohort.sites}, {cohort.part}. AUC: {areas}"
        panels.append(ArmPanel(cohort, draw_roc(cells, alt) if cells else None))
    return tuple(panels)
