"""The study's answer in words: how well the models do, and whether they carry over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.report.cohorts import key_of
from server.report.subject import Subject
from server.report.views import ModelView, is_carried_over
from server.report.words import absence, arm_label, estimate, join_words, patients
from server.results import Cell

_INTERNAL, _CARRIED = 3, 6
"""Sentences of each sort that open the page: more is for the table below them."""


@dataclass(frozen=True)
class Finding:
    """One cell in a sentence.

    Attributes
    ----------
    label : str
        The arm.
    cohort : str
        On whom it is judged.
    sentence : str
        What was found.
    cell : Cell
    """

    label: str
    cohort: str
    sentence: str
    cell: Cell


def findings(model: ModelView) -> tuple[Finding, ...]:
    """What to read first: every arm on held-out patients, then at every centre that it had not seen.

    A given score is judged on everybody.
    """
    internal = [cell for arm in model.arms for cell in _held_out(model, arm)]
    external = _together_first(cell for cell in model.cells if is_carried_over(cell))
    given = _together_first(c for c in model.cells if c.relation == "given" and c.part == "whole")
    return tuple(
        Finding(arm_label(cell), _whom(cell), _sentence(model, cell), cell)
        for cell in (*internal, *external, *given)
    )


def _together_first(cells: Iterable[Cell]) -> list[Cell]:
    return sorted(cells, key=lambda cell: -len(cell.cohort_sites))


def headline(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The few findings that open the page: the federated models', and what was carried over to a new centre.

    In a study without federation, the local models stand in for it. Models carried over come from the
    federation where it left a centre out, else from the local models.
    """
    kinds = {one.cell.kind for one in found}
    kind = next((kind for kind in ("federated", "local", "given") if kind in kinds), None)
    given = [one for one in found if one.cell.relation == "given"]
    internal = [one for one in found if one.cell.relation == "internal" and one.cell.kind == kind]
    external = [one for one in found if one.cell.relation == "external"]
    carried = [one for one in external if one.cell.kind == kind] or external
    return (*internal[:_INTERNAL], *given[:_INTERNAL], *carried[:_CARRIED])


@dataclass(frozen=True)
class Beside:
    """One model's cells in the headline's cohorts.

    Attributes
    ----------
    model : ModelView
    cells : tuple of Cell or None
        In the order of the headline.
    """

    model: ModelView
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Summary:
    """The chapter.

    Attributes
    ----------
    model : ModelView or None
        The reference, or the first; None if nothing was trained or judged.
    headline, findings : tuple of Finding
        Of this model.
    beside : tuple of Beside
        All models, if there are several.
    """

    model: ModelView | None
    headline: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    beside: tuple[Beside, ...]


def summary(subject: Subject) -> Summary:
    """What opens the page."""
    if not subject.models:
        return Summary(None, (), (), ())
    found = findings(subject.models[0])
    opening = headline(found)
    several = subject.models if len(subject.models) > 1 and opening else ()
    beside = (Beside(model, tuple(_beside(model, one.cell) for one in opening)) for model in several)
    return Summary(subject.models[0], opening, found, tuple(beside))


def _beside(model: ModelView, column: Cell) -> Cell | None:
    """The same arm on the same patients; a given score, and a model beside one, has no such arm."""
    same = [cell for cell in model.cells if key_of(cell) == key_of(column)]
    arms = [cell for cell in same if cell.arm == column.arm or cell.kind == "given"]
    return next(iter(arms), None)


def _held_out(model: ModelView, arm: str) -> tuple[Cell, ...]:
    """The internal test of all the arm's centres in one, or each centre's where there is no such cohort."""
    cells = [cell for cell in model.cells if cell.arm == arm and cell.relation == "internal"]
    together = [cell for cell in cells if set(cell.cohort_sites) == set(cell.training_sites)]
    return tuple(together or cells)


def _whom(cell: Cell) -> str:
    sites = join_words(cell.cohort_sites)
    return f"held-out patients of {sites}" if cell.relation == "internal" else f"all patients of {sites}"


def _sentence(model: ModelView, cell: Cell) -> str:
    return f"{_who(model, cell)} {_verdict(cell)}"


def _who(model: ModelView, cell: Cell) -> str:
    sites = join_words(cell.training_sites)
    names = {
        "federated": f"The federated {model.name}, trained at {sites} without moving a patient,",
        "local": f"{model.name}, trained at {sites} alone,",
        "pooled": f"{model.name}, trained on the pooled patients of {sites} for comparison,",
        "given": f"{model.name}, a score that came with the hospitals' tables,",
    }
    return names[cell.kind]


def _verdict(cell: Cell) -> str:
    auc, sites = cell.auc, join_words(cell.cohort_sites)
    if cell.relation == "external":
        strangers = "a centre" if len(cell.cohort_sites) == 1 else "centres"
        where = f"carried over to {sites}, {strangers} that it had never seen"
        if auc.value is None:
            return f"was {where}: its AUC is {absence(auc)}."
        return f"was {where}: AUC {estimate(auc)}, {patients(cell)}; {_against_chance(cell)}."
    where = _whom(cell) if cell.relation == "given" else f"the {_whom(cell)}"
    if auc.value is None:
        return f"was tested on {where}: its AUC is {absence(auc)}."
    return f"reached an AUC of {estimate(auc)} on {where}, {patients(cell)}; {_against_chance(cell)}."


def _against_chance(cell: Cell) -> str:
    if cell.auc.low is None or cell.auc.high is None:
        return "there is no interval"
    if cell.auc.low > 0.5:
        return "better than chance"
    if cell.auc.high < 0.5:
        return "worse than chance"
    return "not shown to be better than chance"
