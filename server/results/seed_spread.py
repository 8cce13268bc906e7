"""How far AUCs of a network spread between trainings from several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field

from common.plan.matrix import FAIR, Cohort, Part, Relation
from common.plan.repeated_trainings import list_first_networks, list_trainings_of
from common.plan.study import StudyPlan
from common.stats.estimate import Estimate, absent, undefined
from server.results.records import Count, Record

if TYPE_CHECKING:
    from server.phases.judgement import Judgement
    from server.phases.training import TrainedModel

_Judged: TypeAlias = Mapping[tuple[str, str, Cohort], "Judgement"]


class SeedAuc(Record):
    """The AUC of one training of a network on one cohort."""

    trained_as: str
    """Name in the plan and in the run's folders; the first training has the network's own."""
    chosen: int | None
    """Round or epoch that was kept; None where there is no such network."""
    auc: Estimate
    """Area under the ROC curve."""
    auc_error_bound: float | None
    """The AUC of the raw scores lies within this of the value."""
    auc_interval_bound: float | None
    """Each limit of the raw scores' interval lies within this of the printed one; None: there is none."""


class SeedSpread(Record):
    """One network in one arm on one cohort, once for each seed from which it was trained."""

    model: str
    """Name in the plan."""
    arm: str
    """Name of the arm."""
    kind: Literal["federated", "local", "pooled"]
    """How the arm trains."""
    training_sites: tuple[str, ...]
    """Whose patients trained the first."""
    cohort_sites: tuple[str, ...]
    """Whose patients all are judged on."""
    part: Part
    """Part of the cohort."""
    relation: Relation
    """What the first had seen of them: internal or external."""
    positive: Count | None
    """Patients with the outcome."""
    negative: Count | None
    """Patients without."""
    trainings: tuple[SeedAuc, ...] = Field(min_length=2)
    """The first, which stands in every table, then the others in the order of their seeds."""
    lowest: float | None
    """Smallest AUC of all trainings; None where fewer than two have one."""
    median: float | None
    """Their median."""
    highest: float | None
    """Their largest AUC."""
    sd: float | None
    """Their standard deviation, n - 1 in the denominator."""

    @property
    def values(self) -> tuple[float, ...]:
        """The AUCs of the trainings that have one."""
        return tuple(one.auc.value for one in self.trainings if one.auc.value is not None)


def record_seed_spreads(
    plan: StudyPlan, judgements: Sequence[Judgement], trained: Sequence[TrainedModel]
) -> Iterator[SeedSpread]:
    """Every network that has repeats, in each arm, on each cohort that is fair to it."""
    found = {(one.scorer.model.name, one.scorer.arm.name, one.cohort): one for one in judgements}
    chosen = {(one.model.name, one.arm.name): one.chosen for one in trained if one.standing.ok}
    repeated = {model.name for model in list_first_networks(plan.models) if model.repeats > 1}
    for judgement in judgements:
        is_fair = judgement.relation in FAIR and judgement.cohort.part in {"test", "whole"}
        if judgement.scorer.model.name in repeated and is_fair:
            yield _record_spread(plan, judgement, found, chosen)


def _record_spread(
    plan: StudyPlan, first: Judgement, found: _Judged, chosen: Mapping[tuple[str, str], int]
) -> SeedSpread:
    model, arm = first.scorer.model.name, first.scorer.arm
    names = list_trainings_of(plan.models, model)
    trainings = tuple(
        _record_auc(first, found[name, arm.name, first.cohort], chosen.get((name, arm.name)))
        for name in names
    )
    values = [one.auc.value for one in trainings if one.auc.value is not None]
    several = len(values) > 1
    return SeedSpread(
        model=model,
        arm=arm.name,
        kind=arm.kind,
        training_sites=tuple(
            site for site in arm.sites if first.trainers is None or site in first.trainers.trained
        ),
        cohort_sites=first.cohort.sites,
        part=first.cohort.part,
        relation=first.relation,
        positive=first.roc.n_positive,
        negative=first.roc.n_negative,
        trainings=trainings,
        lowest=min(values) if several else None,
        median=statistics.median(values) if several else None,
        highest=max(values) if several else None,
        sd=statistics.stdev(values) if several else None,
    )


def _record_auc(first: Judgement, judgement: Judgement, chosen: int | None) -> SeedAuc:
    """The AUC of one training, unless other centres took part in it than in the first."""
    name, roc = judgement.scorer.model.name, judgement.roc
    if judgement.relation != first.relation:
        withheld = absent(_OTHERS_TRAINED, roc.auc.method)
        return SeedAuc(
            trained_as=name, chosen=chosen, auc=withheld, auc_error_bound=None, auc_interval_bound=None
        )
    return SeedAuc(
        trained_as=name,
        chosen=chosen,
        auc=roc.auc,
        auc_error_bound=roc.error_bound,
        auc_interval_bound=roc.interval_bound,
    )


_OTHERS_TRAINED = undefined("other centres took part in this training than in the first")


def note_repeats(plan: StudyPlan) -> Iterator[str]:
    """That networks were trained from several seeds, and which training the tables are of."""
    repeated = [model for model in list_first_networks(plan.models) if model.repeats > 1]
    if repeated and "training" in plan.phases:
        times = ", ".join(f"{model.name} {model.repeats} times" for model in repeated)
        yield (
            f"Trained from several seeds: {times} in each arm. All tables, comparisons and verdicts are of "
            "the first training, which the plan fixed before any result was seen, never of the best; how far "
            "the AUCs of all trainings spread stands under Seeds."
        )
