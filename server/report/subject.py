"""What every chapter of the report starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.report.cohorts import ROLES, Cohort, Places, key_of, largest, places_of
from server.report.palette import LineStyle, arm_styles, model_styles
from server.report.views import ModelView, model_views
from server.report.words import negative_label, positive_label
from server.results import Cell, Results


@dataclass(frozen=True)
class Subject:
    """A study's results with what several chapters make of them.

    Attributes
    ----------
    results : Results
    places : Places
    models : tuple of ModelView
        The reference first.
    arm_styles, model_styles : mapping of name to LineStyle
    """

    results: Results
    places: Places
    models: tuple[ModelView, ...]
    arm_styles: Mapping[str, LineStyle]
    model_styles: Mapping[str, LineStyle]

    @property
    def event(self) -> str:
        """The outcome's name."""
        return positive_label(self.results.study)

    @property
    def no_event(self) -> str:
        """The name of its absence."""
        return negative_label(self.results.study)

    def model(self, name: str) -> ModelView:
        """The model of that name."""
        return {model.name: model for model in self.models}[name]

    def is_reference(self, model: str) -> bool:
        """Whether others are compared with it; the first model where none was named."""
        return bool(self.models) and self.models[0].name == model

    def contender(self, model: str, arm: str) -> str:
        """A model in one arm, in few words: no arm is named where one alone stands for the model."""
        view = self.model(model)
        if view.leading == (arm,):
            return model
        return f"{model}, {dict(zip(view.arms, view.labels, strict=True))[arm]}"


@dataclass(frozen=True)
class SharedCohort:
    """One cohort with every model that can be judged on it fairly, one arm a model.

    Attributes
    ----------
    label : str
        The cohort in words.
    large : bool
        Whether no other cohort of its kind holds all its centres.
    cells : tuple of Cell
        At least one, in the order of the models.
    """

    label: str
    large: bool
    cells: tuple[Cell, ...]


def subject_of(results: Results) -> Subject:
    """The study, ready to be shown."""
    models = model_views(results)
    names = [model.name for model in models]
    return Subject(results, places_of(results), models, arm_styles(results), model_styles(names))


def shared_cohorts(subject: Subject) -> tuple[SharedCohort, ...]:
    """Cohorts that trained no model, each with all its models; internal tests first, large ones first.

    A model of several arms is represented by the one that most centres trained.
    """
    fair: dict[object, list[Cell]] = {}
    for model in subject.models:
        for cell in model.cells:
            if cell.arm in model.leading and subject.places.role(cell) not in {None, "training"}:
                fair.setdefault(key_of(cell), []).append(cell)
    for model in subject.models:
        for cell in model.cells:
            if cell.relation == "given" and key_of(cell) in fair and cell not in fair[key_of(cell)]:
                fair[key_of(cell)].append(cell)
    large = _large(subject, [cells[0] for cells in fair.values()])
    found = [_shared(subject, cells, large=cells[0] in large) for cells in fair.values()]
    return tuple(sorted(found, key=lambda one: (one.cells[0].part == "whole", not one.large)))


def _large(subject: Subject, cells: list[Cell]) -> list[Cell]:
    role = subject.places.role
    return [one for kind in ROLES for one in largest(cell for cell in cells if role(cell) == kind)]


def _shared(subject: Subject, cells: list[Cell], *, large: bool) -> SharedCohort:
    chosen: list[Cell] = []
    for model in subject.models:
        own = [cell for cell in cells if cell.model == model.name]
        if own:
            chosen.append(max(own, key=lambda cell: len(cell.training_sites)))
    return SharedCohort(subject.places.cohort(chosen[0]), large, tuple(chosen))


def cell_of(subject: Subject, contender: tuple[str, str], cohort: Cohort) -> Cell | None:
    """How a model in one arm did on a cohort, if it was judged there."""
    return next(
        (
            cell
            for cell in subject.results.evaluation
            if (cell.model, cell.arm) == contender and key_of(cell) == key_of(cohort)
        ),
        None,
    )
