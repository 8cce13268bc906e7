"""The evaluation matrix: which scores exist, on whom they are judged, and what each had seen of them.

Both sides of a study read it from the plan, so no request can ask for a cohort that was not approved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.study import AnyModel, Arm, StudyPlan
from common.study_models import TableModel

Part: TypeAlias = Literal["train", "validation", "test", "whole"]
Relation: TypeAlias = Literal["apparent", "selection", "internal", "seen centre", "external", "given"]
"""apparent: patients that trained the model; selection: patients that chose its round; internal: a held-out
split of a centre that trained it; seen centre: some of the patients or centres trained it; external: a centre
absent from its training and validation; given: a score from elsewhere, whose training is not known."""

SPLITS: tuple[Part, ...] = ("train", "validation", "test")
"""Disjoint; an external centre has only tests."""
PARTS: tuple[Part, ...] = (*SPLITS, "whole")

TablePart: TypeAlias = Literal["training", "test", "whole"]
TABLE_PARTS: tuple[TablePart, ...] = ("training", "test", "whole")
"""Of the paper's tables: its training set is whoever is not tested, validation patients among them."""


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

    @property
    def one_site(self) -> bool:
        """Whether one site holds it all: what is said of it is that site's own, hidden by no sum."""
        return len(self.sites) == 1


@dataclass(frozen=True)
class Scorer:
    """One score of every patient: a model in one arm, or a column of the table.

    Attributes
    ----------
    model : CnnModel, LogisticModel, SvmModel or ScoresModel
    arm : Arm
    """

    model: AnyModel
    arm: Arm

    @property
    def probability(self) -> bool:
        """Whether it is a predicted risk, which can be calibrated or not."""
        return self.model.kind != "scores" or self.model.probability


def scorers_of(plan: StudyPlan) -> tuple[Scorer, ...]:
    """Every score of the plan, in its order."""
    return tuple(Scorer(model, arm) for model in plan.models for arm in plan.arms_of(model))


def cohorts_of(plan: StudyPlan) -> tuple[Cohort, ...]:
    """Every cohort on which models are judged.

    Returns
    -------
    tuple of Cohort
        Each part of each training site and the whole of each site; then, where there are several sites, the
        training patients and the internal tests of all training sites, all external patients, and everybody.
    """
    cohorts = []
    training = plan.training_sites
    external = tuple(site for site in plan.site_names if site not in training)
    for site in plan.site_names:
        if site in training:
            cohorts += [Cohort((site,), part) for part in SPLITS]
        cohorts.append(Cohort((site,), "whole"))
    if len(training) > 1:
        cohorts += [Cohort(training, "train"), Cohort(training, "test")]
    if len(external) > 1:
        cohorts.append(Cohort(external, "whole"))
    if len(plan.site_names) > 1 and plan.site_names != external:
        cohorts.append(Cohort(plan.site_names, "whole"))
    return tuple(cohorts)


def own_test(plan: StudyPlan, site: str) -> Part:
    """Whom a site judges models trained together on: its test patients, or all if it is external."""
    return "test" if site in plan.training_sites else "whole"


def is_available(plan: StudyPlan, scorer: Scorer, cohort: Cohort) -> bool:
    """Whether the score can be had wherever the patients are: a local model may stay at its site."""
    if scorer.arm.kind != "local":
        return True
    (home,) = scorer.arm.sites
    return plan.site(home).model_release or cohort.sites == (home,)


def relation_of(scorer: Scorer, cohort: Cohort) -> Relation:
    """What the scorer has seen of this cohort."""
    if scorer.arm.kind == "given":
        return "given"
    seen = [site in scorer.arm.sites for site in cohort.sites]
    if not any(seen):
        return "external"
    if not all(seen):
        return "seen centre"
    relations: dict[Part, Relation] = {"train": "apparent", "validation": "selection", "test": "internal"}
    if isinstance(scorer.model, TableModel):
        # A model of the table has no round to choose: all patients that are not tested train it.
        relations["validation"] = "apparent"
    return relations.get(cohort.part, "seen centre")


FAIR: tuple[Relation, ...] = ("internal", "external", "given")
"""Relations in which models can be compared: none of the patients trained any of them."""


def comparable(plan: StudyPlan, cohort: Cohort) -> tuple[int, ...]:
    """Which of `scorers_of` can be compared fairly on a cohort; empty for cohorts that train or choose."""
    if cohort.part not in {"test", "whole"}:
        return ()
    return tuple(
        index
        for index, scorer in enumerate(scorers_of(plan))
        if is_available(plan, scorer, cohort) and relation_of(scorer, cohort) in FAIR
    )


def compared_cohorts(
    plan: StudyPlan, scored: Sequence[bool]
) -> tuple[tuple[int, Cohort, tuple[int, ...]], ...]:
    """Cohorts with at least two scores to compare: number in `cohorts_of`, cohort, numbers of the scores.

    Parameters
    ----------
    scored : sequence of bool
        Which of `scorers_of` exist: a model that could not be fitted scores nobody, and nobody would be left
        whom all models score.
    """
    found = [
        (index, cohort, tuple(scorer for scorer in comparable(plan, cohort) if scored[scorer]))
        for index, cohort in enumerate(cohorts_of(plan))
    ]
    return tuple(one for one in found if len(one[2]) > 1)
