"""The whole results file from what the phases gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from common.cards.contributors import PARTIAL
from common.messages.headers import SiteFacts
from common.plan.design import list_selectable
from common.plan.matrix import Part, Trainers
from common.plan.repeated_trainings import is_repeat
from common.plan.study import StudyPlan
from common.program.regressions import Screening
from common.program.selections import ArmSelection
from common.stats.estimate import Status
from server.phases.agreement import ComparedReadings
from server.phases.comparison import ComparedModels
from server.phases.evaluation import EvaluatedModels
from server.phases.explanation import ExplainedModels
from server.phases.fitting import FittedRegression
from server.phases.preparation import Preparation
from server.phases.reference import ReferenceOrigin, explain_reference, list_validated
from server.phases.svm import TrainedSvm
from server.phases.training import TrainedModel
from server.results.cohort import record_flow, record_parts
from server.results.comparison import record_comparisons, record_heterogeneity
from server.results.earlier_cards import note_earlier_models
from server.results.evaluation import record_cells, record_subgroups
from server.results.file import (
    Results,
    ValidationResult,
    record_site,
    record_study,
    record_validated,
)
from server.results.hiding import record_masking
from server.results.mean_attention import MeanAttention, record_mean_attention
from server.results.missing import (
    note_centres_without_outcome,
    note_missing_reference,
    note_unexplained,
    note_untrained,
)
from server.results.multiplicity import note_multiplicity
from server.results.provenance import Provenance
from server.results.readings import record_reproducibility
from server.results.regression import record_fitted_model, record_regression
from server.results.seed_spread import note_repeats, record_seed_spreads
from server.results.selection import (
    FeatureSelection,
    note_models_without_radiomics,
    record_selection,
)
from server.results.training import (
    LearningCurve,
    list_partial_scores,
    record_curve,
    record_machine,
    record_overlay,
)
from server.run import StudyRun


@dataclass(frozen=True)
class StudyOutcome:
    """What the phases of one study gave; empty or None where the plan leaves a phase out.

    Attributes
    ----------
    facts : mapping of str to SiteFacts
        By site, what it stated about its software and hardware.
    preparation : Preparation
        Flow charts and sizes of the cohorts.
    readings : tuple of ComparedReadings
        Agreement of repeated readings.
    records : mapping of str to records
        What phases came to on which no other builds, by the field of `Results`.
    screening : Screening or None
        Table 2.
    trained : tuple of TrainedModel
        The networks, one a model and arm.
    fitted : tuple of FittedRegression
        The logistic models, one a model and arm.
    machines : tuple of TrainedSvm
        The support vector machines, one a model and arm.
    selections : tuple of ArmSelection
        Radiomics features of the federated arms.
    reference : str or None
        Name of the model that others are compared with.
    evaluated : EvaluatedModels or None
        The evaluation matrix.
    compared : ComparedModels or None
        Comparisons of models, and of centres.
    explanation : ExplainedModels
        Attention maps of synthetic patients, and which networks have none.
    """

    facts: Mapping[str, SiteFacts]
    preparation: Preparation
    readings: tuple[ComparedReadings, ...] = ()
    records: Mapping[str, Any] = field(default_factory=dict)
    screening: Screening | None = None
    trained: tuple[TrainedModel, ...] = ()
    fitted: tuple[FittedRegression, ...] = ()
    machines: tuple[TrainedSvm, ...] = ()
    selections: tuple[ArmSelection, ...] = ()
    reference: str | None = None
    evaluated: EvaluatedModels | None = None
    compared: ComparedModels | None = None
    explanation: ExplainedModels = field(default_factory=ExplainedModels)

    @property
    def table_models(self) -> tuple[FittedRegression | TrainedSvm, ...]:
        """The models of the table, of every kind."""
        return (*self.fitted, *self.machines)

    @property
    def trainers(self) -> Mapping[tuple[str, str], Trainers]:
        """By model and arm, who took part in its training, where not simply all sites of the arm."""
        recorded = {
            (network.model.name, network.arm.name): network.trainers
            for network in self.trained
            if network.trainers is not None
        }
        return recorded | self._list_trainers_of_arms_with_empty_sites(recorded)

    def _list_trainers_of_arms_with_empty_sites(
        self, recorded: Mapping[tuple[str, str], Trainers]
    ) -> dict[tuple[str, str], Trainers]:
        """Of models an arm of which has a site without patients to train them: the other sites."""
        found = {}
        for trained in (*self.trained, *self.table_models):
            parts: tuple[Part, ...] = ("train",)
            if not isinstance(trained, TrainedModel):
                # Of a model of the table, all patients who are not tested train it.
                parts = ("train", "validation")
            arm, key = trained.arm, (trained.model.name, trained.arm.name)
            empty = self.preparation.find_without_patients(arm.sites, *parts)
            if empty:
                planned = frozenset(arm.sites)
                known = recorded.get(key, Trainers(planned, planned))
                found[key] = Trainers(known.trained - empty, known.judged - empty, True, empty)
        return found

    @property
    def unfitted(self) -> Mapping[tuple[str, str], Status]:
        """Why each model and arm is missing, if so."""
        untrained = {
            (network.model.name, network.arm.name): network.standing
            for network in self.trained
            if not network.standing.ok
        }
        return untrained | {
            (trained.model.name, trained.arm.name): replace(
                trained.standing, reason=f"not fitted: {trained.standing.reason}"
            )
            for trained in self.table_models
            if not trained.standing.ok
        }


def assemble(run: StudyRun, outcome: StudyOutcome, provenance: Provenance) -> Results:
    """The study's results, in an order that depends on the plan alone.

    Raises
    ------
    ValueError
        If a number is not finite, or a record names a site that the plan does not have.
    """
    plan, preparation = run.plan, outcome.preparation
    judged = () if outcome.evaluated is None else outcome.evaluated.judgements
    # Further trainings of a network stand in no record but that of their spread
    judgements = tuple(one for one in judged if not is_repeat(one.scorer.model))
    curves, cells = _record_curves(outcome), record_cells(judgements)
    results = Results(
        study=record_study(
            plan,
            outcome.reference,
            record_masking(run, outcome.trained),
            *_explain_reference(plan, outcome),
        ),
        sites=tuple(record_site(plan, name, facts) for name, facts in sorted(outcome.facts.items())),
        flow=(
            *(record_flow(site, flow) for site, flow in sorted(preparation.flows.items())),
            record_flow(None, preparation.together),
        ),
        parts=tuple(record_parts(preparation)),
        regression=None if outcome.screening is None else record_regression(plan, outcome.screening),
        training=curves,
        reproducibility=record_reproducibility(plan, outcome.readings, outcome.selections),
        selections=tuple(_list_selections(outcome)),
        fitted=tuple(
            record_fitted_model(
                plan, regression, outcome.trainers.get((regression.model.name, regression.arm.name))
            )
            for regression in outcome.fitted
        ),
        machines=tuple(record_machine(machine) for machine in outcome.machines),
        evaluation=cells,
        comparisons=() if outcome.compared is None else tuple(record_comparisons(plan, outcome.compared)),
        seed_spreads=tuple(record_seed_spreads(plan, judged, outcome.trained)),
        subgroups=tuple(record_subgroups(judgements, plan.own_variables)),
        heterogeneity=() if outcome.compared is None else tuple(record_heterogeneity(outcome.compared)),
        overlays=tuple(record_overlay(attention) for attention in outcome.explanation.maps),
        mean_attention=_list_mean_attention(plan, outcome),
        notes=(
            *note_earlier_models(outcome.records.get("earlier_models", ()), cells),
            *_note_what_is_missing(plan, outcome),
            *_note_partial_models(outcome, curves),
            *note_repeats(plan),
            *_list_notes(plan, outcome),
        ),
        provenance=provenance,
        **outcome.records,
    )
    return results.model_copy(update={"notes": (*results.notes, *note_multiplicity(results))})


def _record_curves(outcome: StudyOutcome) -> tuple[LearningCurve, ...]:
    firsts = [network for network in outcome.trained if not is_repeat(network.model)]
    return tuple(record_curve(network, outcome.preparation) for network in firsts)


def _list_mean_attention(plan: StudyPlan, outcome: StudyOutcome) -> tuple[MeanAttention, ...]:
    if outcome.explanation.summed is None:
        return ()
    untrained = {
        (network.model.name, network.arm.name): network.standing
        for network in outcome.trained
        if not network.standing.ok
    }
    unexplained = {**untrained, **outcome.explanation.failed}
    return record_mean_attention(plan, outcome.explanation.summed, unexplained)


def _explain_reference(
    plan: StudyPlan, outcome: StudyOutcome
) -> tuple[ReferenceOrigin | None, tuple[ValidationResult, ...]]:
    """How the reference came to be it, and the validation AUCs if they decided."""
    if outcome.reference is None:
        return None, ()
    origin = explain_reference(plan, outcome.trained)
    networks = list_validated(outcome.trained) if origin.kind == "validation AUC" else ()
    return origin, tuple(record_validated(network, outcome.preparation) for network in networks)


def _list_selections(outcome: StudyOutcome) -> Iterator[FeatureSelection]:
    """The selections, federated arms first; of a local arm, that of its first released model."""
    selections = [(federated.arm, federated.selection) for federated in outcome.selections]
    selections += [(trained.arm, trained.selection) for trained in outcome.table_models]
    by_arm = {arm: selection for arm, selection in reversed(selections) if selection is not None}
    for arm in sorted(by_arm, key=lambda arm: (arm.kind != "federated", arm.name)):
        yield record_selection(arm, by_arm[arm])


def _note_partial_models(outcome: StudyOutcome, curves: Sequence[LearningCurve]) -> Iterator[str]:
    """Which networks not all centres of their arm trained, and which models of the table take their score."""
    for curve in curves:
        if curve.partial:
            yield f"{curve.model} ({curve.arm}) is {PARTIAL}: {curve.describe_trainers()}."
    for trained in outcome.table_models:
        networks = list_partial_scores(curves, trained.model, trained.arm)
        if networks:
            yield (
                f"{trained.model.name} ({trained.arm.name}) takes the score of {' and '.join(networks)}, "
                f"which is {PARTIAL}."
            )


def _note_what_is_missing(plan: StudyPlan, outcome: StudyOutcome) -> Iterator[str]:
    yield from note_centres_without_outcome(plan, outcome.preparation)
    yield from note_untrained(outcome.trained)
    yield from note_missing_reference(plan, outcome.reference, outcome.unfitted)
    yield from note_unexplained(outcome.explanation)
    yield from note_models_without_radiomics((*outcome.fitted, *outcome.machines), list_selectable(plan))


def _list_notes(plan: StudyPlan, outcome: StudyOutcome) -> Iterator[str]:
    if plan.profile == "simulation":
        yield "Simulated patients: every number here shows that the system works, none describes a patient."
    if plan.profile == "replication":
        yield "Replication profile: the paper's choices, small cells are shown (minimum 1)."
    if len(plan.sites) == 2:
        yield (
            "Two sites: each can compute the other's sums by subtracting its own from the total; "
            "the plan acknowledges this."
        )
    there = [network for network in outcome.trained if network.standing.ok]
    trained = [(network.arm, network.path is not None) for network in there]
    trained += [(model.arm, model.fitted is not None) for model in outcome.table_models if model.standing.ok]
    local = [(arm.sites[0], left) for arm, left in trained if arm.kind == "local"]
    released = sorted({site for site, left in local if left})
    if released:
        yield (
            f"Model release: the models trained at {' and at '.join(released)} alone left their site to be "
            "evaluated elsewhere, as plan and site allow; no sum hides what one site alone contributes."
        )
    kept = sorted({site for site, left in local if not left})
    if kept:
        yield (
            f"The models trained at {' and at '.join(kept)} alone stayed there and were evaluated on that "
            "site's own patients only."
        )
    if outcome.evaluated is not None and outcome.evaluated.unchosen:
        names = sorted({scorer.model.name for scorer in outcome.evaluated.unchosen})
        yield (
            f"Operating point of {', '.join(names)}: the plan's {plan.evaluation.threshold:g}, because too "
            "few training patients may be counted to choose it by Youden's index."
        )
    if plan.hides_sums:
        yield (
            "Sums of several centres were masked: the coordinator opened nothing but the sum. What one "
            "centre alone contributed is not hidden by secure aggregation."
        )
    elif len(plan.sites) > 1:
        yield "Sums were not masked (privacy.secure = false): the coordinator saw each site's aggregates."
