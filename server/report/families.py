"""Panels of curves that a reader can tell apart: networks in 2D, in 3D, and the reference among the others.

References
----------
Ning 2025, Fig. 4: 2D networks (A, B), 3D networks (C, D), the reference and the baselines (E, F).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from string import ascii_uppercase

from server.report.palette import MODEL_COLOURS
from server.report.subject import SharedCohort, Subject
from server.report.views import dimensions_of
from server.results.evaluation import Cell

READABLE = 6
"""So many curves of one panel can be told apart at a glance; of more models each family has a panel."""
OWN_COLOURS = len(MODEL_COLOURS)
"""So many have colours of their own; a panel has no more."""


@dataclass(frozen=True)
class CurvePanel:
    """One cohort with the models whose curves share a panel.

    Attributes
    ----------
    letter : str
        As in the paper's Fig. 4, e.g. "A"; empty where panels have none.
    family : str
        The models in few words; empty where the panel has all of them.
    cohort : SharedCohort
        The cohort with these models' results.
    """

    letter: str
    family: str
    cohort: SharedCohort


def split_panels(subject: Subject, cohorts: Sequence[SharedCohort]) -> tuple[CurvePanel, ...]:
    """The cohorts, by family where one has more models than a panel shows; then large ones have letters."""
    panels = [panel for cohort in cohorts for panel in _split(subject, cohort)]
    if not any(panel.family for panel in panels):
        return tuple(panels)
    order = list(dict.fromkeys(panel.family for panel in sorted(panels, key=lambda panel: not panel.family)))
    panels.sort(key=lambda panel: (not panel.cohort.large, order.index(panel.family)))
    letters = iter(ascii_uppercase)
    return tuple(
        replace(panel, letter=next(letters, "")) if panel.cohort.large else panel for panel in panels
    )


def _split(subject: Subject, cohort: SharedCohort) -> Iterator[CurvePanel]:
    most = READABLE if cohort.large else OWN_COLOURS
    families = _sort_into_families(subject, cohort.cells) if len(cohort.cells) > most else {}
    if len(families) < 2:
        families = {"": cohort.cells}
    for family, cells in families.items():
        for part in _share_out(subject, cells):
            yield CurvePanel("", family, replace(cohort, cells=tuple(part)))


def _share_out(subject: Subject, cells: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    """The cells in as few panels of equal size as have a colour for each; the reference is in every one."""
    if len(cells) <= OWN_COLOURS:
        yield cells
        return
    reference = [cell for cell in cells if subject.is_reference(cell.model)]
    others = [cell for cell in cells if not subject.is_reference(cell.model)]
    panels = ceil(len(others) / (OWN_COLOURS - 1))
    for panel in range(panels):
        yield [*reference, *others[panel * len(others) // panels : (panel + 1) * len(others) // panels]]


def _sort_into_families(subject: Subject, cells: Sequence[Cell]) -> Mapping[str, Sequence[Cell]]:
    """The cells by family, the reference also among the models that are no networks."""
    dimensions = {cell.model: dimensions_of(subject.results, cell.model) for cell in cells}
    networks = [cell for cell in cells if dimensions[cell.model]]
    others = [cell for cell in cells if not dimensions[cell.model]]
    if networks and others:
        reference = [cell for cell in networks if subject.is_reference(cell.model)]
        others = [*reference, *others]
    families: dict[str, Sequence[Cell]] = {}
    for number in (2, 3):
        families[f"{number}D networks"] = [cell for cell in networks if dimensions[cell.model] == number]
    if any(len(found) == 1 for found in families.values()):
        families = {"Networks": networks}
    families["Reference and other models" if networks else "Models"] = others
    return {family: found for family, found in families.items() if found}
