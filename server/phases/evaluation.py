"""Phase: judge every trained model on every cohort, and say which cohorts it had never seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from common.protocol import Operation
from common.stats.confusion import ConfusionResult, finish_confusion
from common.stats.contract import Summary, total
from common.stats.minima import minima_of
from common.stats.roc import RocResult, finish_roc
from common.study import Arm, StudyPlan
from server.exchange import Exchange
from server.phases.training import TrainedModel

Part = Literal["train", "validation", "test", "whole"]
Relation = Literal["apparent", "selection", "internal", "seen centre", "external"]
"""apparent: patients that trained the model; selection: patients that chose its round; internal: a held-out
split of a centre that trained it; seen centre: some of the patients or centres trained it; external: a centre
absent from its training and validation."""


@dataclass(frozen=True)
class Cohort:
    """Whom a model is judged on.

    Attributes
    ----------
    sites : tuple of str
        Whose patients, sorted.
    part : {"train", "validation", "test", "whole"}
        Which of them; "whole" is everybody included.
    """

    sites: tuple[str, ...]
    part: Part


@dataclass(frozen=True)
class Judgement:
    """One cell of the evaluation matrix.

    Attributes
    ----------
    trained : TrainedModel
    cohort : Cohort
    relation : Relation
        How far the cohort is from what the model has seen.
    roc : RocResult
    confusion : ConfusionResult
        At the plan's threshold.
    """

    trained: TrainedModel
    cohort: Cohort
    relation: Relation
    roc: RocResult
    confusion: ConfusionResult


def evaluate_models(
    exchange: Exchange, trained: tuple[TrainedModel, ...], cohorts: tuple[Cohort, ...]
) -> tuple[Judgement, ...]:
    """The evaluation matrix: one message per model and arm, answered for all of a site's cohorts at once."""
    return tuple(judgement for model in trained for judgement in _evaluate(exchange, model, cohorts))


def _evaluate(exchange: Exchange, trained: TrainedModel, cohorts: tuple[Cohort, ...]) -> Iterator[Judgement]:
    weights = trained.weights()
    sites = trained.arm.sites if weights is None else exchange.plan.site_names
    replies = exchange.ask(
        Operation.EVALUATE,
        sites,
        weights,
        model=trained.model.name,
        arm=trained.arm.name,
        round=trained.chosen,
    )
    summaries = {site: reply.summary for site, reply in replies.items()}
    for cohort in cohorts:
        if summaries.keys() >= set(cohort.sites):
            yield _judge(exchange.plan, trained, cohort, summaries)


def _judge(
    plan: StudyPlan, trained: TrainedModel, cohort: Cohort, summaries: Mapping[str, Summary]
) -> Judgement:
    pooled = total(summaries[site] for site in cohort.sites).part(cohort.part)
    minima = minima_of(plan.profile)
    return Judgement(
        trained,
        cohort,
        relation_of(trained.arm, cohort),
        finish_roc(pooled.part("roc"), plan.interval, minima),
        finish_confusion(pooled.part("confusion"), minima=minima),
    )


def cohorts_of(plan: StudyPlan, parts: Mapping[str, frozenset[Part]]) -> tuple[Cohort, ...]:
    """Every cohort that a model can be judged on.

    Parameters
    ----------
    plan : StudyPlan
    parts : mapping of site to the parts that have patients there
        "whole" is always one of them.

    Returns
    -------
    tuple of Cohort
        Each part of each training site, the whole of each site, all internal tests, and all patients.
    """
    cohorts = []
    for site in plan.site_names:
        if site in plan.training_sites:
            cohorts += [Cohort((site,), part) for part in _SPLITS if part in parts[site]]
        cohorts.append(Cohort((site,), "whole"))
    tested = tuple(site for site in plan.training_sites if "test" in parts[site])
    if len(tested) > 1:
        cohorts.append(Cohort(tested, "test"))
    if len(plan.sites) > 1:
        cohorts.append(Cohort(plan.site_names, "whole"))
    return tuple(cohorts)


def relation_of(arm: Arm, cohort: Cohort) -> Relation:
    """What the model of this arm has seen of this cohort.

    Examples
    --------
    >>> relation_of(Arm("local-a", "local", ("a",)), Cohort(("b",), "whole"))
    'external'
    """
    seen = [site in arm.sites for site in cohort.sites]
    if not any(seen):
        return "external"
    if not all(seen):
        return "seen centre"
    relations: dict[Part, Relation] = {"train": "apparent", "validation": "selection", "test": "internal"}
    return relations.get(cohort.part, "seen centre")


_SPLITS: tuple[Part, ...] = ("train", "validation", "test")
