"""Whose attention maps are averaged, and of which networks: everybody's who is tested."""

from __future__ import annotations

from typing import Final

from common.plan.matrix import FAIR, Cohort, Scorer, is_available, judged_part_of, relation_of
from common.plan.repeated_trainings import list_first_networks
from common.plan.study import StudyPlan

OUTCOMES: Final = ("negative", "positive")
"""Patients without the outcome, and with it: the paper's Fig. 5, B and A."""


def averages_maps(plan: StudyPlan) -> bool:
    """Whether means of attention maps leave the sites."""
    return bool(plan.networks) and "explanation" in plan.phases and plan.explanation.mean_maps


def list_mapped_networks(plan: StudyPlan) -> tuple[Scorer, ...]:
    """The networks whose maps are drawn: federated ones; in a plan without federation, those of one site."""
    arms = plan.all_arms()
    kind = "federated" if any(arm.kind == "federated" for arm in arms) else "local"
    networks = list_first_networks(plan.models)
    return tuple(Scorer(model, arm) for model in networks for arm in arms if arm.kind == kind)


def list_mapped_cohorts(plan: StudyPlan) -> tuple[Cohort, ...]:
    """The tested patients of each site, of all training sites together, and of all external sites."""
    cohorts = [Cohort((site,), judged_part_of(plan, site)) for site in plan.site_names]
    training = plan.training_sites
    external = tuple(site for site in plan.site_names if site not in training)
    together = [Cohort(sites, judged_part_of(plan, sites[0])) for sites in (training, external) if sites[1:]]
    return (*cohorts, *together)


def is_mapped_on(plan: StudyPlan, scorer: Scorer, cohort: Cohort) -> bool:
    """Whether the network may be shown on the cohort: it can be there, and none of these trained it."""
    return is_available(plan, scorer, cohort) and relation_of(scorer, cohort) in FAIR
