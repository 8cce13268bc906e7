"""The evaluation matrix: every model on every cohort, with what the model had seen of the cohort."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.report.cohorts import key_of
from server.report.palette import LineStyle
from server.report.subject import Subject
from server.report.views import EvaluationRow, ModelView, is_fair
from server.results.evaluation import Cell


@dataclass(frozen=True)
class Matrix:
    """One table of the chapter "Evaluation matrix".

    Attributes
    ----------
    title : str
        The model, or the word for given scores.
    reference : bool
        Whether it shows the reference model.
    columns : tuple of LineStyle
        Label and style of each arm or score; arms that were carried over first, which a narrow screen shows.
    rows : tuple of EvaluationRow
        Cohorts with a result that is evidence, all patients of a centre first; cells in the order of the
        columns.
    others : tuple of EvaluationRow
        Cohorts whose patients trained or chose every model judged on them, and parts of cohorts.
    """

    title: str
    reference: bool
    columns: tuple[LineStyle, ...]
    rows: tuple[EvaluationRow, ...]
    others: tuple[EvaluationRow, ...] = ()


def build_matrices(subject: Subject) -> tuple[Matrix, ...]:
    """One table for each trained model, arms across, and one for all given scores, scores across."""
    judged = [model for model in subject.models if model.rows]
    given = [model for model in judged if all(cell.kind == "given" for cell in model.cells)]
    trained = [
        Matrix(model.title, model.reference, _style_columns(subject, model), *_split_rows(model.rows))
        for model in map(_put_carried_first, judged)
        if model not in given
    ]
    return (*trained, _build_given(subject, given)) if given else tuple(trained)


def _put_carried_first(model: ModelView) -> ModelView:
    """The model with its arms, and their cells of each row, in the order of the columns."""
    order = sorted(range(len(model.arms)), key=lambda place: model.arms[place] not in model.carried)
    return replace(
        model,
        arms=tuple(model.arms[place] for place in order),
        labels=tuple(model.labels[place] for place in order),
        rows=tuple(replace(row, cells=tuple(row.cells[place] for place in order)) for row in model.rows),
    )


def _split_rows(
    rows: tuple[EvaluationRow, ...],
) -> tuple[tuple[EvaluationRow, ...], tuple[EvaluationRow, ...]]:
    """The rows that are evidence, new centres first, and the others."""
    fair = {
        id(row): {cell.relation for cell in row.cells if cell is not None and is_fair(cell)} for row in rows
    }
    evidence = sorted((row for row in rows if fair[id(row)]), key=lambda row: row.size.part != "whole")
    return tuple(evidence), tuple(row for row in rows if not fair[id(row)])


def _style_columns(subject: Subject, model: ModelView) -> tuple[LineStyle, ...]:
    """The style of each of the model's arms, with its name in words."""
    return tuple(
        replace(subject.arm_styles[arm], label=label)
        for arm, label in zip(model.arms, model.labels, strict=True)
    )


def _build_given(subject: Subject, models: list[ModelView]) -> Matrix:
    return Matrix(
        title="Given scores" if len(models) > 1 else models[0].name,
        reference=False,
        columns=tuple(subject.model_styles[model.name] for model in models),
        rows=tuple(
            EvaluationRow(row.sites, row.part, tuple(_find_same(model, row.size) for model in models))
            for row in models[0].rows
        ),
    )


def _find_same(model: ModelView, other: Cell) -> Cell | None:
    return next((cell for cell in model.cells if key_of(cell) == key_of(other)), None)
