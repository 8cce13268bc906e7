"""The study's results in the form that every chapter of the report starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.report.cohorts import ROLES, CohortRecord, StudyCentres, centres_of, keep_largest, key_of
from server.report.palette import LineStyle, style_arms, style_models
from server.report.views import ModelView, build_model_views, dimensions_of, is_carried_over
from server.report.words import name_event, name_no_event
from server.report.written_names import write_names
from server.results.evaluation import Cell
from server.results.file import Results


@dataclass(frozen=True)
class Subject:
    """A study's results with what several chapters derive from them.

    Attributes
    ----------
    results : Results
        The study's results.
    centres : StudyCentres
        The study's centres by role.
    models : tuple of ModelView
        All models, the reference first.
    arm_styles, model_styles : mapping of name to LineStyle
        How each arm, and each model, is drawn.
    """

    results: Results
    centres: StudyCentres
    models: tuple[ModelView, ...]
    arm_styles: Mapping[str, LineStyle]
    model_styles: Mapping[str, LineStyle]

    @property
    def event(self) -> str:
        """The outcome's name."""
        return name_event(self.results.study)

    @property
    def no_event(self) -> str:
        """The name of the outcome's absence."""
        return name_no_event(self.results.study)

    def find_model(self, name: str) -> ModelView:
        """The model with this name."""
        return {model.name: model for model in self.models}[name]

    def find_title(self, name: str) -> str:
        """The model's name, with a mark if not all centres trained it; plain where no result has it."""
        return {model.name: model.title for model in self.models}.get(name, name)

    @property
    def reference_title(self) -> str:
        """The reference model's name with that mark; empty if there is none."""
        name = self.results.study.reference_model
        return "" if name is None else self.find_title(name)

    def name_arm_of(self, model: str, arm: str) -> str:
        """One arm of a model in few words, with a mark if not all its centres trained the model."""
        view = self.find_model(model)
        return dict(zip(view.arms, view.labels, strict=True))[arm]

    def is_reference(self, model: str) -> bool:
        """Whether other models are compared with it: the reference, or the first model if none was named."""
        return bool(self.models) and self.models[0].name == model

    def name_contender(self, model: str, arm: str) -> str:
        """A model in one arm, in few words; the arm is omitted if it alone represents the model."""
        view = self.find_model(model)
        if view.leading == (arm,):
            return view.title
        return f"{model}, {self.name_arm_of(model, arm)}"


@dataclass(frozen=True)
class SharedCohort:
    """One cohort with every model that can be judged on it fairly, in one arm of each model.

    Attributes
    ----------
    label : str
        The cohort in words.
    large : bool
        Whether no other cohort with the same role contains all its centres.
    cells : tuple of Cell
        At least one, in the order of the models.
    """

    label: str
    large: bool
    cells: tuple[Cell, ...]


def subject_of(results: Results) -> Subject:
    """The study's results, prepared for the chapters, with sites and models as people write them."""
    results = write_names(results)
    models = build_model_views(results)
    reference, *others = [model.name for model in models] or [""]
    # Models that share a panel follow each other, so that their colours differ
    others.sort(key=lambda name: dimensions_of(results, name) or 9)
    styles = style_models([reference, *others])
    return Subject(results, centres_of(results), models, style_arms(results), styles)


def find_shared_cohorts(subject: Subject) -> tuple[SharedCohort, ...]:
    """The cohorts that trained no model, each with its models; internal tests first, large ones first.

    A model with several arms is represented by the arm that most centres trained. Each other arm that is
    carried over stands there by itself, as a large cohort if no arm that represents its model is.
    """
    fair: dict[object, list[Cell]] = {}
    for model in subject.models:
        for cell in model.cells:
            if cell.arm in model.leading and subject.centres.role_of(cell) not in {None, "training"}:
                fair.setdefault(key_of(cell), []).append(cell)
    for model in subject.models:
        for cell in model.cells:
            if cell.relation == "given" and key_of(cell) in fair and cell not in fair[key_of(cell)]:
                fair[key_of(cell)].append(cell)
    large = _keep_large(subject, [cells[0] for cells in fair.values()])
    shared = [_build_shared(subject, cells, large=cells[0] in large) for cells in fair.values()]
    shared += _list_carried(subject)
    return tuple(sorted(shared, key=lambda cohort: (cohort.cells[0].part == "whole", not cohort.large)))


def _list_carried(subject: Subject) -> list[SharedCohort]:
    """The largest cohorts of centres new to arms that do not represent their models, with given scores."""
    cohorts: dict[object, list[Cell]] = {}
    for model in subject.models:
        for arm in model.arms:
            cells = [cell for cell in model.cells if cell.arm == arm and is_carried_over(cell)]
            for cell in keep_largest(cells):
                if arm not in model.leading and cell.kind != "pooled":
                    cohorts.setdefault((arm, key_of(cell)), []).append(cell)
    for cells in cohorts.values():
        cells += [
            cell
            for model in subject.models
            for cell in model.cells
            if cell.relation == "given" and key_of(cell) == key_of(cells[0])
        ]
    return [
        SharedCohort(
            subject.centres.name_cohort(cells[0]),
            cells[0].arm in subject.find_model(cells[0].model).carried,
            tuple(cells),
        )
        for cells in cohorts.values()
    ]


def _keep_large(subject: Subject, cells: list[Cell]) -> list[Cell]:
    role = subject.centres.role_of
    return [
        large_cell
        for kind in ROLES
        for large_cell in keep_largest(cell for cell in cells if role(cell) == kind)
    ]


def _build_shared(subject: Subject, cells: list[Cell], *, large: bool) -> SharedCohort:
    chosen: list[Cell] = []
    for model in subject.models:
        candidates = [cell for cell in cells if cell.model == model.name]
        if candidates:
            chosen.append(max(candidates, key=lambda cell: len(cell.training_sites)))
    return SharedCohort(subject.centres.name_cohort(chosen[0]), large, tuple(chosen))


def find_cell(subject: Subject, contender: tuple[str, str], cohort: CohortRecord) -> Cell | None:
    """The result of a model in one arm on a cohort, or None if it was not judged there."""
    return next(
        (
            cell
            for cell in subject.results.evaluation
            if (cell.model, cell.arm) == contender and key_of(cell) == key_of(cohort)
        ),
        None,
    )
