"""The study's answer in words: how well the models perform, and whether they carry over to new centres."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.cards.contributors import PARTIAL
from server.report.auc_words import format_auc
from server.report.carry_over import Direction, build_directions
from server.report.cohorts import key_of
from server.report.federated_local import build_federated_table
from server.report.printed import PrintedTable
from server.report.reference_words import describe_reference
from server.report.subject import Subject
from server.report.views import ModelView, is_carried_over
from server.report.words import count_patients, explain_absence, join_words, name_arm
from server.results.evaluation import Cell

_INTERNAL, _CARRIED = 3, 6
"""The most sentences of each kind at the top of the page; the table below has all of them."""


@dataclass(frozen=True)
class HeadlineFinding:
    """One cell of the evaluation in a sentence.

    Attributes
    ----------
    label : str
        The arm in words.
    cohort : str
        The patients on whom it is judged, in words.
    sentence : str
        The result in words.
    cell : Cell
        The result in numbers.
    """

    label: str
    cohort: str
    sentence: str
    cell: Cell


def list_findings(model: ModelView, usual: str) -> tuple[HeadlineFinding, ...]:
    """A model's most important results: every arm on held-out patients, then at every centre new to it.

    A given score is judged on all patients. An AUC whose interval is not by the usual method says so.
    """
    internal = [cell for arm in model.arms for cell in _choose_held_out(model, arm)]
    external = _sort_together_first(cell for cell in model.cells if is_carried_over(cell))
    given = _sort_together_first(c for c in model.cells if c.relation == "given" and c.part == "whole")
    return tuple(
        HeadlineFinding(name_arm(cell), _describe_whom(cell), _write_sentence(model, cell, usual), cell)
        for cell in (*internal, *external, *given)
    )


def _sort_together_first(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: -len(cell.cohort_sites))


def choose_headline(findings: tuple[HeadlineFinding, ...]) -> tuple[HeadlineFinding, ...]:
    """The few findings at the top of the page: of the federated models, and of models at a new centre.

    In a study without federation, the local models replace it. Findings at a new centre come from the
    federation if it left a centre out, otherwise from the local models.
    """
    kinds = {finding.cell.kind for finding in findings}
    kind = next((kind for kind in ("federated", "local", "given", "earlier") if kind in kinds), None)
    given = [finding for finding in findings if finding.cell.relation == "given"]
    internal = [
        finding for finding in findings if finding.cell.relation == "internal" and finding.cell.kind == kind
    ]
    external = [finding for finding in findings if finding.cell.relation == "external"]
    carried = [finding for finding in external if finding.cell.kind == kind] or external
    return (*internal[:_INTERNAL], *given[:_INTERNAL], *carried[:_CARRIED])


@dataclass(frozen=True)
class ComparedModel:
    """One model's results on the cohorts of the headline.

    Attributes
    ----------
    model : ModelView
        The model.
    cells : tuple of Cell or None
        In the order of the headline; None where the model has no such result.
    """

    model: ModelView
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class SummaryChapter:
    """The chapter "Findings".

    Attributes
    ----------
    model : ModelView or None
        The reference model, or the first; None if nothing was trained or judged.
    headline, findings : tuple of HeadlineFinding
        This model's findings at the top of the page, and all of its findings.
    columns : tuple of HeadlineFinding
        The headline's cohorts, those of centres new to the model first.
    beside : tuple of ComparedModel
        All models on these cohorts, if there are several models.
    origin : str
        How the reference came to be it, in words; empty if there is none.
    directions : tuple of Direction
        Whether the models carry over, by centres that trained and centres that had no part.
    federated : PrintedTable or None
        The reference of the federation against local ones; None if they are not compared.
    """

    model: ModelView | None
    headline: tuple[HeadlineFinding, ...]
    findings: tuple[HeadlineFinding, ...]
    columns: tuple[HeadlineFinding, ...] = ()
    beside: tuple[ComparedModel, ...] = ()
    origin: str = ""
    directions: tuple[Direction, ...] = ()
    federated: PrintedTable | None = None


def build_summary(subject: Subject) -> SummaryChapter:
    """The chapter at the top of the page."""
    if not subject.models:
        return SummaryChapter(None, (), ())
    findings = list_findings(subject.models[0], subject.results.study.interval)
    opening = choose_headline(findings)
    # On a narrow screen the first columns are the ones that are seen
    columns = tuple(sorted(opening, key=lambda finding: finding.cell.relation != "external"))
    several = subject.models if len(subject.models) > 1 and opening else ()
    beside = (
        ComparedModel(model, tuple(_find_beside(model, finding.cell) for finding in columns))
        for model in several
    )
    return SummaryChapter(
        subject.models[0],
        opening,
        findings,
        columns,
        tuple(beside),
        describe_reference(subject),
        build_directions(subject),
        build_federated_table(subject),
    )


def _find_beside(model: ModelView, column: Cell) -> Cell | None:
    """The model's result for the same arm and patients; of a given score, for the same patients."""
    same = [cell for cell in model.cells if key_of(cell) == key_of(column)]
    arms = [cell for cell in same if cell.arm == column.arm or cell.kind in {"given", "earlier"}]
    return next(iter(arms), None)


def _choose_held_out(model: ModelView, arm: str) -> tuple[Cell, ...]:
    """The internal test of all the arm's centres together, or of each centre if there is no such cohort."""
    cells = [cell for cell in model.cells if cell.arm == arm and cell.relation == "internal"]
    pooled = [cell for cell in cells if set(cell.cohort_sites) == set(cell.training_sites)]
    return tuple(pooled or cells)


def _describe_whom(cell: Cell) -> str:
    sites = join_words(cell.cohort_sites)
    return f"held-out patients of {sites}" if cell.relation == "internal" else f"all patients of {sites}"


def _write_sentence(model: ModelView, cell: Cell, usual: str) -> str:
    return f"{_describe_who(model, cell)} {_describe_verdict(cell, usual)}"


def _describe_who(model: ModelView, cell: Cell) -> str:
    sites = join_words(cell.training_sites)
    absence = model.absences.get(cell.arm)
    mark = f" ({PARTIAL}: {absence})" if absence else ""
    names = {
        "federated": f"The federated {model.name}, trained at {sites} without moving a patient{mark},",
        "local": f"{model.name}, trained at {sites} alone,",
        "pooled": f"{model.name}, trained on the pooled patients of {sites} for comparison,",
        "given": f"{model.name}, a score that came with the hospitals' tables,",
        "earlier": f"{model.name}, a model of an earlier study,",
    }
    return names[cell.kind]


def _describe_verdict(cell: Cell, usual: str) -> str:
    auc, sites = cell.auc, join_words(cell.cohort_sites)
    if cell.relation == "external":
        strangers = "a centre" if len(cell.cohort_sites) == 1 else "centres"
        where = f"carried over to {sites}, {strangers} that it had never seen"
        if auc.value is None:
            return f"was {where}: its AUC is {explain_absence(auc)}."
        return (
            f"was {where}: AUC {format_auc(cell, usual)}, {count_patients(cell)}; "
            f"{_compare_with_chance(cell)}."
        )
    where = _describe_whom(cell) if cell.relation == "given" else f"the {_describe_whom(cell)}"
    if auc.value is None:
        return f"was tested on {where}: its AUC is {explain_absence(auc)}."
    return (
        f"reached an AUC of {format_auc(cell, usual)} on {where}, {count_patients(cell)}; "
        f"{_compare_with_chance(cell)}."
    )


def _compare_with_chance(cell: Cell) -> str:
    if cell.auc.low is None or cell.auc.high is None:
        return "there is no interval"
    if cell.auc.low > 0.5:
        return "better than chance"
    if cell.auc.high < 0.5:
        return "worse than chance"
    return "not shown to be better than chance"
