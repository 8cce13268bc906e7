"""How far AUCs spread between seeds, in words: beside differences between models, and on the first page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.report.cohorts import CohortKey, key_of
from server.report.subject import Subject
from server.report.words import format_number, join_words
from server.results.evaluation import Cell
from server.results.seed_spread import SeedSpread


@dataclass(frozen=True)
class RepeatedModel:
    """One network in one arm on one cohort: the first training's result, and all trainings' AUCs.

    Attributes
    ----------
    cell : Cell
        The result that stands in every table.
    spread : SeedSpread
        The AUCs of all trainings.
    """

    cell: Cell
    spread: SeedSpread


def describe_spread(subject: Subject, cell: Cell) -> str:
    """How far a network's AUC on a cohort spreads between seeds, in a sentence; empty if trained once."""
    spread = map_spreads(subject).get((cell.model, cell.arm, key_of(cell)))
    if spread is None or spread.lowest is None or spread.highest is None:
        return ""
    return (
        f"Between {len(spread.values)} seeds its AUC there varies from {format_number(spread.lowest)} to "
        f"{format_number(spread.highest)}; every number here is of the first."
    )


def map_spreads(subject: Subject) -> Mapping[tuple[str, str, CohortKey], SeedSpread]:
    """The spreads of the study by model, arm and cohort."""
    return {(one.model, one.arm, key_of(one)): one for one in subject.results.seed_spreads}


def list_seed_sentences(subject: Subject, networks: Sequence[RepeatedModel]) -> Iterator[str]:
    """How far each network's AUC spreads on one cohort, and which differences between models are larger.

    Parameters
    ----------
    subject : Subject
        With every model that is judged there.
    networks : sequence of RepeatedModel
        The networks of one arm that have several trainings, on the same cohort.
    """
    ranges = [
        f"from {format_number(spread.lowest)} to {format_number(spread.highest)} "
        f"({spread.model}, {len(spread.values)} seeds)"
        for spread in (one.spread for one in networks)
        if spread.lowest is not None
    ]
    if ranges:
        yield f"Between seeds the AUC varies {join_words(ranges)}."
    judged = _list_judged(subject, networks[0].cell)
    widths = {one.spread.model: _find_range(one.spread) for one in networks}
    yield from _compare_with_lead(judged, widths) if judged else ()


def _compare_with_lead(judged: Sequence[Cell], widths: Mapping[str, float]) -> Iterator[str]:
    """Whether the first model's AUC differs from each other one's by more than seeds alone move either."""
    lead, *others = judged
    found = [(other, max(widths.get(lead.model, 0.0), widths.get(other.model, 0.0))) for other in others]
    smaller = [_describe_pair(lead, *pair) for pair in found if _differ(lead, pair[0]) < pair[1]]
    larger = [_describe_pair(lead, *pair) for pair in found if _differ(lead, pair[0]) >= pair[1] > 0]
    if smaller:
        yield (
            f"The difference of {lead.model} from {join_words(smaller)} is smaller than what seeds alone "
            "move one of the two: another seed could turn their order."
        )
    if larger:
        yield (
            f"The difference of {lead.model} from {join_words(larger)} is not smaller than what seeds "
            "alone move either of the two."
        )


def _list_judged(subject: Subject, cell: Cell) -> list[Cell]:
    """Every model's result on the cell's patients in its arm, and given scores; the reference first."""
    return [
        one
        for model in subject.models
        for one in model.cells
        if key_of(one) == key_of(cell)
        and (one.arm == cell.arm or one.relation == "given")
        and one.auc.value is not None
    ]


def _differ(first: Cell, second: Cell) -> float:
    return abs((first.auc.value or 0.0) - (second.auc.value or 0.0))


def _describe_pair(lead: Cell, other: Cell, widest: float) -> str:
    return f"{other.model} ({format_number(_differ(lead, other))} against {format_number(widest)})"


def _find_range(spread: SeedSpread) -> float:
    """Largest minus smallest AUC of the trainings; 0 where there are not several."""
    if spread.lowest is None or spread.highest is None:
        return 0.0
    return spread.highest - spread.lowest
