"""The phases' results as the results file holds them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.protocol import SiteFacts
from common.stats.confusion import ConfusionResult
from common.stats.estimate import Estimate, Interval, Status
from common.stats.flow import FlowResult
from common.stats.roc import RocResult
from common.study import StudyPlan
from server.description import cohort_rows
from server.phases.cohort import CohortDescription
from server.phases.evaluation import Judgement
from server.phases.explanation import AttentionMap
from server.phases.preparation import PARTS, Preparation
from server.phases.training import TrainedModel
from server.provenance import Provenance
from server.records import Measure, standing_of
from server.results import (
    Cell,
    ConfusionMatrix,
    CurvePoint,
    Excluded,
    FlowChart,
    LearningCurve,
    Overlay,
    PartOfCohort,
    Results,
    RocPoint,
    SiteSummary,
    Study,
)


@dataclass(frozen=True)
class Outcome:
    """What the phases of one study gave; nothing where the plan leaves a phase out.

    Attributes
    ----------
    facts : mapping of site to SiteFacts
    preparation : Preparation
    cohort : CohortDescription or None
    trained : tuple of TrainedModel
    judgements : tuple of Judgement
    maps : tuple of AttentionMap
    """

    facts: Mapping[str, SiteFacts]
    preparation: Preparation
    cohort: CohortDescription | None = None
    trained: tuple[TrainedModel, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    maps: tuple[AttentionMap, ...] = ()


def assemble(plan: StudyPlan, outcome: Outcome, provenance: Provenance) -> Results:
    """The study's results, in an order that depends on the plan alone."""
    flows = outcome.preparation.flows
    return Results(
        study=_study(plan, outcome.trained),
        sites=tuple(_site(plan, name, facts) for name, facts in sorted(outcome.facts.items())),
        flow=(
            *(_flow(site, flow) for site, flow in sorted(flows.items())),
            _flow(None, outcome.preparation.together),
        ),
        parts=tuple(_parts(outcome.preparation)),
        cohort=() if outcome.cohort is None else cohort_rows(outcome.cohort),
        training=tuple(_curve(trained) for trained in outcome.trained),
        evaluation=tuple(_cell(judgement) for judgement in outcome.judgements),
        overlays=tuple(_overlay(found) for found in outcome.maps),
        notes=tuple(_notes(plan, outcome)),
        provenance=provenance,
    )


def reference_model(plan: StudyPlan, trained: tuple[TrainedModel, ...]) -> str | None:
    """The model that others are compared with: the plan's, else the best by validation AUC; never by a test.

    None if no model was validated. Compared are the federated arms, or the local ones where there is no
    federation.
    """
    if plan.evaluation.reference_model is not None:
        return plan.evaluation.reference_model
    kinds = {model.arm.kind for model in trained}
    kind = "federated" if "federated" in kinds else "local"
    best: dict[str, float] = {}
    for model in trained:
        chosen = [line for line in model.curve if line.number == model.chosen]
        if model.arm.kind == kind and chosen and chosen[0].validation_auc is not None:
            name = model.model.name
            best[name] = max(best.get(name, 0.0), chosen[0].validation_auc)
    return max(sorted(best), key=lambda name: best[name]) if best else None


def _study(plan: StudyPlan, trained: tuple[TrainedModel, ...]) -> Study:
    return Study(
        name=plan.name,
        plan_hash=plan.digest(),
        profile=plan.profile,
        endpoint=plan.cohort.outcome.endpoint,
        seed=plan.seed,
        local_epochs=plan.federation.local_epochs,
        threshold=plan.evaluation.threshold,
        interval=plan.interval,
        two_site_ack=plan.two_site_ack,
        reference_model=reference_model(plan, trained),
        plan=plan.model_dump(mode="json"),
    )


def _site(plan: StudyPlan, name: str, facts: SiteFacts) -> SiteSummary:
    site = plan.site(name)
    return SiteSummary(name=name, role=site.role, synthetic=facts.synthetic, model_release=site.model_release)


def _flow(site: str | None, flow: FlowResult) -> FlowChart:
    return FlowChart(
        site=site,
        screened=flow.screened,
        excluded=tuple(Excluded(reasons=one.reasons, patients=one.patients) for one in flow.excluded),
        included=flow.included,
        positive=flow.positive,
        negative=flow.negative,
        standing=standing_of(flow.status),
    )


def _parts(preparation: Preparation) -> Iterable[PartOfCohort]:
    for site, sizes in sorted(preparation.sizes.items()):
        for part in PARTS:
            if part in sizes:
                size = sizes[part]
                yield PartOfCohort(site=site, part=part, positive=size.positive, negative=size.negative)


def _curve(trained: TrainedModel) -> LearningCurve:
    return LearningCurve(
        model=trained.model.name,
        arm=trained.arm.name,
        kind=trained.arm.kind,
        sites=trained.arm.sites,
        chosen=trained.chosen,
        points=tuple(
            CurvePoint(
                number=line.number,
                loss=line.loss,
                validation_auc=line.validation_auc if line.released else None,
            )
            for line in trained.curve
        ),
    )


def _cell(judgement: Judgement) -> Cell:
    trained, cohort, confusion = judgement.trained, judgement.cohort, judgement.confusion
    return Cell(
        model=trained.model.name,
        arm=trained.arm.name,
        kind=trained.arm.kind,
        training_sites=trained.arm.sites,
        cohort_sites=cohort.sites,
        part=cohort.part,
        relation=judgement.relation,
        positive=judgement.roc.n_positive,
        negative=judgement.roc.n_negative,
        auc=_auc(judgement.roc),
        auc_error_bound=judgement.roc.error_bound,
        roc=_points(judgement.roc),
        confusion=_matrix(confusion),
        accuracy=_measure(confusion.accuracy),
        sensitivity=_measure(confusion.sensitivity),
        specificity=_measure(confusion.specificity),
        ppv=_measure(confusion.ppv),
        npv=_measure(confusion.npv),
        f1=_measure(confusion.f1),
    )


def _auc(roc: RocResult) -> Measure:
    return _number(roc.auc, roc.interval, roc.method, roc.status)


def _points(roc: RocResult) -> tuple[RocPoint, ...]:
    if roc.curve is None:
        return ()
    curve = roc.curve
    steps = zip(curve.threshold, curve.false_positive_rate, curve.true_positive_rate, strict=True)
    return tuple(
        RocPoint(threshold=cut, false_positive_rate=false, true_positive_rate=true)
        for cut, false, true in steps
    )


def _matrix(confusion: ConfusionResult) -> ConfusionMatrix:
    return ConfusionMatrix(
        true_positive=confusion.true_positive,
        false_negative=confusion.false_negative,
        false_positive=confusion.false_positive,
        true_negative=confusion.true_negative,
    )


def _measure(estimate: Estimate) -> Measure:
    return _number(estimate.value, estimate.interval, estimate.method, estimate.status)


def _number(value: float | None, interval: Interval | None, method: str, status: Status) -> Measure:
    return Measure(
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else method,
        standing=standing_of(status),
    )


def _overlay(found: AttentionMap) -> Overlay:
    return Overlay(
        model=found.trained.model.name,
        arm=found.trained.arm.name,
        site=found.site,
        outcome=found.caption.outcome,
        score=found.caption.score,
        png_base64=base64.b64encode(found.png).decode(),
    )


def _notes(plan: StudyPlan, outcome: Outcome) -> Iterable[str]:
    if plan.profile == "simulation":
        yield "Simulated patients: every number here shows that the system works, none describes a patient."
    if plan.profile == "replication":
        yield "Replication profile: the paper's choices, small cells are shown (minimum 1)."
    if len(plan.sites) == 2:
        yield (
            "Two sites: each can compute the other's sums by subtracting its own from the total; "
            "the plan acknowledges this."
        )
    released = sorted({model.arm.sites[0] for model in outcome.trained if _was_released(model)})
    if released:
        yield (
            f"Model release: the models trained at {' and at '.join(released)} alone left their site to be "
            "evaluated elsewhere, as plan and site allow; no sum hides what one site alone contributes."
        )
    kept = sorted({model.arm.sites[0] for model in outcome.trained if model.path is None})
    if kept:
        yield (
            f"The models trained at {' and at '.join(kept)} alone stayed there and were evaluated on that "
            "site's own patients only."
        )
    yield "Sums are not masked in this version: the coordinator sees each site's aggregates."


def _was_released(trained: TrainedModel) -> bool:
    return trained.arm.kind == "local" and trained.path is not None
