"""The evaluation matrix: which scores exist, which cohorts judge them, and what each has seen of these.

Sites and coordinator derive it from the plan, so no request can ask for a cohort that was not approved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from common.plan.models import TableModel
from common.plan.repeated_trainings import is_repeat
from common.plan.study import AnyModel, Arm, StudyPlan

Part: TypeAlias = Literal["train", "validation", "test", "whole"]
"""A part of a site's split, or all its included patients."""

Relation: TypeAlias = Literal["apparent", "selection", "internal", "seen centre", "external", "given"]
"""apparent: patients that trained the model; selection: patients that chose its round; internal: held-out
patients of a centre that trained it; seen centre: some of the patients or centres trained it; external: a
centre absent from training and validation; given: a score from the table, whose training is not known."""

SPLITS: tuple[Part, ...] = ("train", "validation", "test")
"""The disjoint parts; an external centre has test patients only."""
PARTS: tuple[Part, ...] = (*SPLITS, "whole")
"""Every part on which models can be judged."""

TablePart: TypeAlias = Literal["training", "test", "whole"]
"""A part in the paper's tables: training is everybody who is not tested, including validation patients."""
TABLE_PARTS: tuple[TablePart, ...] = ("training", "test", "whole")
"""Every part of the paper's tables."""


@dataclass(frozen=True)
class Cohort:
    """Patients on whom models are judged.

    Attributes
    ----------
    sites : tuple of str
        Sites whose patients these are, sorted.
    part : {"train", "validation", "test", "whole"}
        Which of the sites' patients; "whole" is all included ones.
    """

    sites: tuple[str, ...]
    part: Part

    @property
    def one_site(self) -> bool:
        """Whether all patients are of one site: then no sum hides what is reported of them."""
        return len(self.sites) == 1


@dataclass(frozen=True)
class Scorer:
    """One score of every patient: a model in one arm, or a column of the table.

    Attributes
    ----------
    model : CnnModel, LogisticModel, SvmModel, ScoresModel or CardModel
        The plan's model.
    arm : Arm
        On whose patients it was trained; `GIVEN_ARM` for a column of the table.
    """

    model: AnyModel
    arm: Arm

    @property
    def probability(self) -> bool:
        """Whether it is a predicted risk, so that calibration can be judged."""
        return self.model.kind != "scores" or self.model.probability


def scorers_of(plan: StudyPlan) -> tuple[Scorer, ...]:
    """Every score of the plan, in the plan's order."""
    return tuple(Scorer(model, arm) for model in plan.models for arm in plan.arms_of(model))


def cohorts_of(plan: StudyPlan) -> tuple[Cohort, ...]:
    """Every cohort on which models are judged.

    Returns
    -------
    tuple of Cohort
        Each part of each training site, and all patients of each site. Then, where there are several sites:
        the training patients and the internal tests of all training sites, all external patients, everybody.
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


def judged_part_of(plan: StudyPlan, site: str) -> Part:
    """The patients on whom a site judges jointly trained models: its test patients, or all if external."""
    return "test" if site in plan.training_sites else "whole"


def is_available(plan: StudyPlan, scorer: Scorer, cohort: Cohort) -> bool:
    """Whether the model is available at all sites of the cohort: a local model may not leave its site."""
    if scorer.arm.kind != "local":
        return True
    (home,) = scorer.arm.sites
    return plan.site(home).model_release or cohort.sites == (home,)


@dataclass(frozen=True)
class Trainers:
    """Who took part in the training of one model.

    Attributes
    ----------
    trained : frozenset of str
        Sites whose patients trained it.
    judged : frozenset of str
        Sites whose validation patients helped to choose its round.
    partial : bool
        Whether a site of the arm missed one of the rounds that made the model, or had no patient to train it.
    without_patients : frozenset of str
        Sites of the arm that have no patient to train it: no cohort is less fair for naming them.
    """

    trained: frozenset[str]
    judged: frozenset[str]
    partial: bool = False
    without_patients: frozenset[str] = frozenset()


def relation_of(scorer: Scorer, cohort: Cohort, trainers: Trainers | None = None) -> Relation:
    """What the scorer's training has seen of this cohort.

    Sites and coordinator ask by what the plan says, the results are labelled by who took part. The plan's
    answer is the cautious one: a model whose training lacked a site has seen fewer patients, never more, so
    whatever is fair by the plan is fair.

    Parameters
    ----------
    scorer : Scorer
        Whose training.
    cohort : Cohort
        Whose patients.
    trainers : Trainers, optional
        Who took part; by default all sites of the scorer's arm, as the plan says.
    """
    if scorer.arm.kind == "given":
        return "given"
    planned = frozenset(scorer.arm.sites)
    taking_part = Trainers(planned, planned) if trainers is None else trainers
    sites = [site for site in cohort.sites if site not in taking_part.without_patients]
    seen = [site in taking_part.trained | taking_part.judged for site in sites]
    if not any(seen):
        return "external"
    if not all(seen) or scorer.arm.kind == "earlier":
        # Who of an earlier study's centre trained the model is not known: anybody may have
        return "seen centre"
    if cohort.part == "train" and not taking_part.trained.issuperset(sites):
        return "seen centre"
    relations: dict[Part, Relation] = {"train": "apparent", "validation": "selection", "test": "internal"}
    if isinstance(scorer.model, TableModel):
        # A table model has no round to choose: all patients that are not tested train it.
        relations["validation"] = "apparent"
    return relations.get(cohort.part, "seen centre")


FAIR: tuple[Relation, ...] = ("internal", "external", "given")
"""Relations in which models can be compared: none of the cohort's patients trained them."""


def find_comparable(plan: StudyPlan, cohort: Cohort) -> tuple[int, ...]:
    """Numbers (in `scorers_of`) of scores that can be compared fairly; none on training or validation.

    A further training of a network tells how far AUCs spread between seeds, and is compared with nothing.
    """
    if cohort.part not in {"test", "whole"}:
        return ()
    return tuple(
        index
        for index, scorer in enumerate(scorers_of(plan))
        if not is_repeat(scorer.model)
        and is_available(plan, scorer, cohort)
        and relation_of(scorer, cohort) in FAIR
    )
