"""Models of earlier studies, as the results tell of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from common.cards.card import ModelCard
from common.cards.card_in_plan import name_trainers
from common.plan.study import Profile, StudyPlan
from server.results.evaluation import Cell
from server.results.records import Record


class EarlierModel(Record):
    """One model of an earlier study, which was validated as it is."""

    model: str
    """Name in this study's plan."""
    file: str
    """Name of its file."""
    sha256: str
    """SHA-256 of its file."""
    study: str
    """Title of the study that trained it."""
    plan_hash: str
    """Hash of that study's plan."""
    profile: Profile
    """Profile of that plan; "simulation": trained on simulated patients."""
    name: str
    """Its name in that plan."""
    arm: str
    """The arm of that study that trained it."""
    trained_by: tuple[str, ...]
    """Sites whose patients trained it, as its card names them."""
    seen_sites: tuple[str, ...]
    """Sites of this study that are among these by the plan: no fair test of the model."""


def record_earlier_models(plan: StudyPlan, cards: Mapping[str, ModelCard]) -> tuple[EarlierModel, ...]:
    """What is known of each, in the plan's order.

    Parameters
    ----------
    plan : StudyPlan
    cards : mapping of str to ModelCard
        The card of each, by its name in the plan.
    """
    return tuple(
        EarlierModel(
            model=model.name,
            file=model.file,
            sha256=model.sha256,
            study=cards[model.name].study,
            plan_hash=cards[model.name].plan_hash,
            profile=cards[model.name].profile,
            name=cards[model.name].model,
            arm=cards[model.name].arm,
            trained_by=name_trainers(cards[model.name]),
            seen_sites=plan.arms_of(model)[0].sites,
        )
        for model in plan.cards
        if model.name in cards
    )


def note_earlier_models(models: tuple[EarlierModel, ...], cells: Sequence[Cell]) -> Iterator[str]:
    """What a reader must know of each: whose model it is, where it is judged fairly, how it is recalibrated.

    Parameters
    ----------
    models : tuple of EarlierModel
    cells : sequence of Cell
        Where all models were judged.
    """
    for one in models:
        simulated = " on simulated patients" if one.profile == "simulation" else ""
        yield (
            f"{one.model} was not trained here: it is {one.name} ({one.arm}) of the study “{one.study}” "
            f"(plan {one.plan_hash[:12]}), trained{simulated} at {', '.join(one.trained_by)}; its file "
            f"{one.file} has SHA-256 {one.sha256}. Its threshold is that study's."
        )
        if one.seen_sites:
            yield (
                f"{one.model}: patients of {' and '.join(one.seen_sites)} trained it, and may be among those "
                "on whom it is judged here. Results that include them are no test of it, and it is not "
                "compared on them."
            )
        if formulas := "; ".join(_list_recalibrations(one, cells)):
            yield (
                f"{one.model} recalibrated to one hospital's patients, which is no test on them: {formulas}."
            )


def _list_recalibrations(model: EarlierModel, cells: Sequence[Cell]) -> Iterator[str]:
    """The recalibrated risk at each hospital at which the model is judged fairly."""
    for cell in cells:
        calibration = cell.calibration
        if (cell.model, len(cell.cohort_sites)) != (model.model, 1) or calibration is None:
            continue
        if calibration.offset is not None and calibration.slope.value is not None:
            yield (
                f"at {cell.cohort_sites[0]}: expit({calibration.offset:.4g} + "
                f"{calibration.slope.value:.4g} logit(risk))"
            )
