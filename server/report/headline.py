"""The study's answer in words: how well the models do, and whether they carry over."""

from __future__ import annotations

from dataclasses import dataclass

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
    """What to read first: every arm on held-out patients, then at every centre that it had not seen."""
    internal = [cell for arm in model.arms for cell in _held_out(model, arm)]
    external = [cell for cell in model.cells if is_carried_over(cell)]
    return tuple(
        Finding(arm_label(cell), _whom(cell), _sentence(model, cell), cell) for cell in (*internal, *external)
    )


def headline(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The few findings that open the page: the federated models', and what was carried over to a new centre.

    In a study without federation, the local models stand in for it. Models carried over come from the
    federation where it left a centre out, else from the local models.
    """
    kind = "federated" if any(one.cell.kind == "federated" for one in found) else "local"
    internal = [one for one in found if one.cell.relation == "internal" and one.cell.kind == kind]
    external = [one for one in found if one.cell.relation == "external"]
    carried = [one for one in external if one.cell.kind == kind] or external
    return (*internal[:_INTERNAL], *carried[:_CARRIED])


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
    }
    return names[cell.kind]


def _verdict(cell: Cell) -> str:
    auc, sites = cell.auc, join_words(cell.cohort_sites)
    if cell.relation == "external":
        where = f"carried over to {sites}, a centre that it had never seen"
        if auc.value is None:
            return f"was {where}: its AUC is {absence(auc)}."
        return f"was {where}: AUC {estimate(auc)}, {patients(cell)}; {_against_chance(cell)}."
    where = f"the held-out patients of {sites}"
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
