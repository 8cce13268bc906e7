"""Sites whose tested patients have attention maps, made by hand without any network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from sites.exchange import analyses_of
from sites.patients import a_case
from sites.plans import NETWORK, plan_of

from client.answers.score_store import KeptMaps
from client.answers.statistics import SiteAnalyses
from client.cohort.cases import PreparedCase
from common.imaging.lesion_cells import CELLS
from common.plan.mapped_cohorts import list_mapped_networks
from common.plan.study import StudyPlan
from common.stats.mean_map import encode_map
from common.types import Reals

FIELD = (slice(6, 18), slice(8, 16))
"""The cells in which these maps have something."""
MappedSite: TypeAlias = tuple[tuple[PreparedCase, ...], dict[str, Reals]]
"""Patients, and the maps of those who are tested, shape (2, cells, cells), by their identifiers."""


def make_mapped_site(seed: int, negatives: int = 24, positives: int = 24, empty: float = 0.0) -> MappedSite:
    """So many tested patients of each outcome, and as many who train; a share of the field is empty."""
    random = np.random.default_rng(seed)
    cases = tuple(
        a_case(f"P{grows}{n:02d}", grows=grows, part=("test", "train")[n % 2])
        for grows, patients in ((False, negatives), (True, positives))
        for n in range(2 * patients)
    )
    maps = {}
    for case in cases:
        if case.part == "test":
            field = random.uniform(0.12, 1, (2, 12, 8)) / (1 + case.positive)
            maps[case.patient.identifier] = np.zeros((2, CELLS, CELLS))
            maps[case.patient.identifier][(slice(None), *FIELD)] = field * (
                random.random(field.shape) >= empty
            )
    return cases, maps


def plan_mapped(roles: Mapping[str, str], profile: str = "standard", **settings: object) -> StudyPlan:
    """A plan of one network whose maps are averaged, without local models unless it says otherwise."""
    changes = {"explanation": {"mean_maps": True}, "arms": {"local_models": False}, **settings}
    return plan_of(dict(roles), NETWORK, profile=profile, two_site_ack=len(roles) == 2, **changes)


def open_mapped(plan: StudyPlan, sites: Mapping[str, MappedSite], folder: Path) -> dict[str, SiteAnalyses]:
    """Each site's answers, once every network was explained there; an external site tests its patients."""
    opened = {}
    for name, (cases, maps) in sites.items():
        trains = plan.site(name).role == "train"
        own = tuple(case for case in cases if trains or case.part == "test")
        opened[name] = analyses_of(plan, name, own, folder / name)
        drawn = np.array([case.part == "test" for case in own], dtype=np.bool_)
        encoded = [encode_map(*maps[case.patient.identifier]) for case in own if case.part == "test"]
        kept = KeptMaps(drawn, np.array(encoded).reshape(-1, 2, CELLS, CELLS))
        for scorer in list_mapped_networks(plan):
            opened[name].store.keep_maps(scorer.model.name, scorer.arm.name, own, kept)
    return opened
