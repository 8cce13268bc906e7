"""The phases' results as the results file holds them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from common.headers import SiteFacts
from common.stats.flow import FlowResult
from common.study import StudyPlan
from server.analyses import FeatureSelection
from server.cells import cell_of, subgroups_of
from server.comparisons import comparisons_of, heterogeneity_of
from server.description import cohort_rows
from server.masking import Masking
from server.noise import noise_on
from server.phases.agreement import ComparedReadings
from server.phases.cohort import DescribedColumn
from server.phases.comparison import Compared
from server.phases.evaluation import Evaluated
from server.phases.explanation import AttentionMap
from server.phases.fitting import FittedRegression
from server.phases.preparation import PARTS, Preparation
from server.phases.regression import Screening
from server.phases.selection import ArmSelection
from server.phases.svm import TrainedSvm
from server.phases.training import TrainedModel
from server.provenance import Provenance
from server.readings import reproducibility_of
from server.records import standing_of
from server.regression_rows import fitted_model_of, machine_of, regression_of, selection_of
from server.results import (
    CurvePoint,
    Excluded,
    FlowChart,
    LearningCurve,
    Overlay,
    PartOfCohort,
    Results,
    SiteSummary,
    Study,
)
from server.run import StudyRun


@dataclass(frozen=True)
class Outcome:
    """What the phases of one study gave; nothing where the plan leaves a phase out.

    Attributes
    ----------
    facts : mapping of site to SiteFacts
    preparation : Preparation
    readings : tuple of ComparedReadings
    cohort : tuple of DescribedColumn
    screening : Screening or None
    trained : tuple of TrainedModel
    fitted : tuple of FittedRegression
    machines : tuple of TrainedSvm
    selections : tuple of ArmSelection
        Of the federated arms.
    reference : str or None
        The model that others are compared with.
    evaluated : Evaluated or None
    compared : Compared or None
    maps : tuple of AttentionMap
    """

    facts: Mapping[str, SiteFacts]
    preparation: Preparation
    readings: tuple[ComparedReadings, ...] = ()
    cohort: tuple[DescribedColumn, ...] = ()
    screening: Screening | None = None
    trained: tuple[TrainedModel, ...] = ()
    fitted: tuple[FittedRegression, ...] = ()
    machines: tuple[TrainedSvm, ...] = ()
    selections: tuple[ArmSelection, ...] = ()
    reference: str | None = None
    evaluated: Evaluated | None = None
    compared: Compared | None = None
    maps: tuple[AttentionMap, ...] = ()


def unfitted(outcome: Outcome) -> frozenset[tuple[str, str]]:
    """Model and arm of what could not be fitted; of a model that stays at its site nothing is known."""
    regressions = [(one.model.name, one.arm.name, one.fitted) for one in outcome.fitted]
    machines = [(one.model.name, one.arm.name, one.fitted) for one in outcome.machines]
    return frozenset(
        (model, arm)
        for model, arm, fitted in (*regressions, *machines)
        if fitted is not None and fitted.status != "ok"
    )


def assemble(run: StudyRun, outcome: Outcome, provenance: Provenance) -> Results:
    """The study's results, in an order that depends on the plan alone."""
    plan = run.plan
    flows = outcome.preparation.flows
    judgements = () if outcome.evaluated is None else outcome.evaluated.judgements
    return Results(
        study=_study(plan, outcome.reference, _hiding(run, outcome.trained)),
        sites=tuple(_site(plan, name, facts) for name, facts in sorted(outcome.facts.items())),
        flow=(
            *(_flow(site, flow) for site, flow in sorted(flows.items())),
            _flow(None, outcome.preparation.together),
        ),
        parts=tuple(_parts(outcome.preparation)),
        cohort=cohort_rows(outcome.cohort),
        regression=None if outcome.screening is None else regression_of(plan, outcome.screening),
        training=tuple(_curve(trained) for trained in outcome.trained),
        reproducibility=reproducibility_of(plan, outcome.readings, outcome.selections),
        selections=tuple(_selections(outcome)),
        fitted=tuple(fitted_model_of(plan, fitted) for fitted in outcome.fitted),
        machines=tuple(machine_of(machine) for machine in outcome.machines),
        evaluation=tuple(cell_of(judgement) for judgement in judgements),
        comparisons=() if outcome.compared is None else tuple(comparisons_of(plan, outcome.compared)),
        subgroups=tuple(subgroups_of(judgements)),
        heterogeneity=() if outcome.compared is None else tuple(heterogeneity_of(outcome.compared)),
        overlays=tuple(_overlay(found) for found in outcome.maps),
        notes=tuple(_notes(plan, outcome)),
        provenance=provenance,
    )


def _study(plan: StudyPlan, reference: str | None, hiding: Masking | None) -> Study:
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
        hiding=hiding,
        reference_model=reference,
        plan=plan.model_dump(mode="json"),
    )


def _hiding(run: StudyRun, trained: Iterable[TrainedModel]) -> Masking | None:
    """How sums were hidden; None if they were not."""
    if run.roster is None or not run.plan.hides_sums:
        return None
    return Masking(
        minimum=run.roster.minimum,
        colluders=run.roster.colluders,
        weights=run.plan.privacy.weights,
        noise=noise_on(run.plan, trained),
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


def _selections(outcome: Outcome) -> Iterable[FeatureSelection]:
    """Of the federated arms, then of local ones, as the first of their released models told it."""
    told = [(one.arm, one.selection) for one in outcome.selections]
    told += [(one.arm, one.selection) for one in outcome.fitted]
    told += [(one.arm, one.selection) for one in outcome.machines]
    of_arm = {arm: selection for arm, selection in reversed(told) if selection is not None}
    for arm in sorted(of_arm, key=lambda arm: (arm.kind != "federated", arm.name)):
        yield selection_of(arm, of_arm[arm])


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
    local = [(one.arm, one.path is not None) for one in outcome.trained if one.arm.kind == "local"]
    local += [(one.arm, one.fitted is not None) for one in outcome.fitted if one.arm.kind == "local"]
    local += [(one.arm, one.fitted is not None) for one in outcome.machines if one.arm.kind == "local"]
    released = sorted({arm.sites[0] for arm, left in local if left})
    if released:
        yield (
            f"Model release: the models trained at {' and at '.join(released)} alone left their site to be "
            "evaluated elsewhere, as plan and site allow; no sum hides what one site alone contributes."
        )
    kept = sorted({arm.sites[0] for arm, left in local if not left})
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
