"""The cards of the models that the coordinator holds, once the study has judged them."""

from __future__ import annotations

from collections.abc import Mapping

from common.cards.card import (
    Content,
    Metric,
    ModelCard,
    TrainingCentre,
    describe_fitted,
    describe_network,
    list_excluded,
)
from common.cards.card_file import add_card, save_card
from common.plan.models import AnyTrainedModel
from common.plan.repeated_trainings import is_repeat
from common.plan.study import Arm, CnnModel
from server.results.assembly import StudyOutcome
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.training import list_partial_scores
from server.results.usual_ranges import list_usual_ranges
from server.run import StudyRun


def write_cards(run: StudyRun, outcome: StudyOutcome, results: Results) -> None:
    """Complete the files in the run's folder of models, so that each suffices to predict.

    A model that stays at its site gets its card there. A further training of a network gets none: it is no
    model of the study, and one of several chosen by its results would be chosen by luck.

    Raises
    ------
    StorageError
        If a file cannot be written.
    ModelError
        If a network's file was damaged meanwhile.
    """
    for network in outcome.trained:
        if network.path is not None and not is_repeat(network.model):
            of_network = describe_network(run.plan, network.model, network.chosen)
            add_card(
                network.path, _make_card(run, outcome, results, (network.model, network.arm, of_network))
            )
    for trained in outcome.table_models:
        if trained.fitted is not None:
            content = describe_fitted(run.plan, trained.fitted, _moments_of(results, trained.arm.name))
            _save_card(run, _make_card(run, outcome, results, (trained.model, trained.arm, content)))


def _save_card(run: StudyRun, card: ModelCard) -> None:
    """Write the card of a model of the table, which is its whole file."""
    save_card(run.models / card.model / f"{card.arm}.json", card)


def _make_card(
    run: StudyRun,
    outcome: StudyOutcome,
    results: Results,
    trained: tuple[AnyTrainedModel, Arm, Content],
) -> ModelCard:
    plan, (model, arm, content) = run.plan, trained
    cells = [cell for cell in results.evaluation if (cell.model, cell.arm) == (model.name, arm.name)]
    thresholds = [cell.threshold for cell in cells if cell.threshold is not None]
    unchosen = () if outcome.evaluated is None else outcome.evaluated.unchosen
    fixed = (model.name, arm.name) in {(scorer.model.name, scorer.arm.name) for scorer in unchosen}
    chosen = plan.evaluation.operating_point == "youden" and bool(thresholds) and not fixed
    return ModelCard(
        study=plan.name,
        plan_hash=plan.digest(),
        profile=plan.profile,
        model=model.name,
        arm=arm.name,
        training=tuple(_describe_centre(results, site, (model, arm)) for site in arm.sites),
        partial_scores=list_partial_scores(results.training, model, arm),
        outcome=plan.cohort.outcome,
        operating_point=thresholds[0] if thresholds else plan.evaluation.threshold,
        operating_point_from="youden" if chosen else "plan",
        missing_slices=plan.scans.missing_slices,
        excluded=list_excluded(plan),
        metrics=tuple(_read_metric(cell) for cell in cells),
        ranges=tuple(list_usual_ranges(plan, arm, results.cohort)),
        versions={"python": results.provenance.python, **results.provenance.versions},
        content=content,
    )


def _describe_centre(results: Results, site: str, trained: tuple[AnyTrainedModel, Arm]) -> TrainingCentre:
    """The centre with the number of its patients who trained the model; None where a size is not shown.

    Validation patients train a model of the table, too: it has no round to choose.
    """
    model, arm = trained
    parts = {"train"} if isinstance(model, CnnModel) else {"train", "validation"}
    sizes = [
        size
        for part in results.parts
        if part.site == site and part.part in parts
        for size in (part.positive, part.negative)
    ]
    shown = [size for size in sizes if size is not None]
    rounds = {
        part.site: part.rounds
        for curve in results.training
        if (curve.model, curve.arm) == (model.name, arm.name)
        for part in curve.contributions
    }
    return TrainingCentre(
        site=site, patients=sum(shown) if len(shown) == len(sizes) else None, rounds=rounds.get(site)
    )


def _read_metric(cell: Cell) -> Metric:
    return Metric(
        cohort_sites=cell.cohort_sites,
        part=cell.part,
        relation=cell.relation,
        auc=cell.auc.value,
        low=cell.auc.low,
        high=cell.auc.high,
        method=cell.auc.method,
        reason=cell.auc.standing.reason,
        sensitivity=cell.sensitivity.value,
        specificity=cell.specificity.value,
        calibration_intercept=None if cell.calibration is None else cell.calibration.intercept.value,
        calibration_slope=None if cell.calibration is None else cell.calibration.slope.value,
    )


def _moments_of(results: Results, arm: str) -> Mapping[str, tuple[float, float]]:
    """Mean and SD of each radiomics feature that was selected in the arm."""
    return {
        feature.name: (feature.mean, feature.sd)
        for selection in results.selections
        if selection.arm == arm
        for feature in selection.features
    }
