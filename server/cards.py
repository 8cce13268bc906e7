"""Every model that the coordinator holds gets its card, once the study has judged it."""

from __future__ import annotations

from collections.abc import Mapping

from common.card import (
    Content,
    Metric,
    ModelCard,
    TrainingCentre,
    logistic_content,
    network_content,
    svm_content,
)
from common.card_file import add_card, save_card
from common.study import Arm, CnnModel, LogisticModel
from common.study_models import SvmModel
from server.assembly import Outcome
from server.results import Cell, Results
from server.run import StudyRun


def write_cards(run: StudyRun, outcome: Outcome, results: Results) -> None:
    """Completes the files in the run's folder of models, so that each suffices to predict.

    A model that stays at its site gets its card there.

    Raises
    ------
    StorageError
        If a file cannot be written.
    ModelError
        If a network's file was damaged meanwhile.
    """
    for network in outcome.trained:
        if network.path is not None:
            seen = network_content(run.plan, network.model, network.chosen)
            add_card(network.path, _card(run, outcome, results, (network.model, network.arm, seen)))
    for regression in outcome.fitted:
        if regression.fitted is not None:
            model, arm = regression.model, regression.arm
            content = logistic_content(run.plan, regression.fitted, _moments(results, arm.name))
            _save(run, _card(run, outcome, results, (model, arm, content)))
    for machine in outcome.machines:
        if machine.fitted is not None:
            of_svm = svm_content(run.plan, machine.fitted)
            _save(run, _card(run, outcome, results, (machine.model, machine.arm, of_svm)))


def _save(run: StudyRun, card: ModelCard) -> None:
    """Of a model of the table."""
    save_card(run.models / card.model / f"{card.arm}.json", card)


def _card(
    run: StudyRun,
    outcome: Outcome,
    results: Results,
    trained: tuple[CnnModel | LogisticModel | SvmModel, Arm, Content],
) -> ModelCard:
    plan, (model, arm, content) = run.plan, trained
    cells = [cell for cell in results.evaluation if (cell.model, cell.arm) == (model.name, arm.name)]
    thresholds = [cell.threshold for cell in cells if cell.threshold is not None]
    unchosen = () if outcome.evaluated is None else outcome.evaluated.unchosen
    fixed = (model.name, arm.name) in {(one.model.name, one.arm.name) for one in unchosen}
    chosen = plan.evaluation.operating_point == "youden" and bool(thresholds) and not fixed
    return ModelCard(
        study=plan.name,
        plan_hash=plan.digest(),
        profile=plan.profile,
        model=model.name,
        arm=arm.name,
        training=tuple(_centre(results, site, model) for site in arm.sites),
        outcome=plan.cohort.outcome,
        operating_point=thresholds[0] if thresholds else plan.evaluation.threshold,
        operating_point_from="youden" if chosen else "plan",
        metrics=tuple(_metric(cell) for cell in cells),
        versions={"python": results.provenance.python, **results.provenance.versions},
        content=content,
    )


def _centre(results: Results, site: str, model: CnnModel | LogisticModel | SvmModel) -> TrainingCentre:
    """Validation patients train a model of the table: it has no round to choose."""
    parts = {"train"} if isinstance(model, CnnModel) else {"train", "validation"}
    sizes = [
        size
        for part in results.parts
        if part.site == site and part.part in parts
        for size in (part.positive, part.negative)
    ]
    shown = [size for size in sizes if size is not None]
    return TrainingCentre(site=site, patients=sum(shown) if len(shown) == len(sizes) else None)


def _metric(cell: Cell) -> Metric:
    return Metric(
        cohort_sites=cell.cohort_sites,
        part=cell.part,
        relation=cell.relation,
        auc=cell.auc.value,
        low=cell.auc.low,
        high=cell.auc.high,
        method=cell.auc.method,
        reason=cell.auc.standing.reason,
    )


def _moments(results: Results, arm: str) -> Mapping[str, tuple[float, float]]:
    return {
        feature.name: (feature.mean, feature.sd)
        for selection in results.selections
        if selection.arm == arm
        for feature in selection.features
    }
