"""A site's part in the means of attention maps: who has one, by outcome, and the sums over these patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from client.answers.inquiry import Backing, Inquiry
from client.answers.score_store import KeptMaps
from client.cohort.parts import is_in
from common.imaging.lesion_cells import CELLS
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.messages.questions import read_flag_array
from common.plan.mapped_cohorts import OUTCOMES, list_mapped_networks
from common.plan.matrix import Cohort, is_available, judged_part_of
from common.program.own_minima import find_widest_group
from common.stats.contract import Summary, join_summaries
from common.stats.mean_map import local_mean_map
from common.stats.minima import minima_of
from common.types import Counts, Flags


def list_mapped_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The tested patients of each outcome, and who of them has a map of each network that is asked for.

    Fewer than a cell may hold are left out: a sum would hide nothing where this site alone has something.
    """
    groups = groups_of(inquiry.plan, Operation.ATTENTION)
    kept = _read_maps(inquiry)
    for number, outcome in enumerate(OUTCOMES):
        asked, members = _read_asked(inquiry)[number], _find_members(inquiry, number)
        yield Backing(
            what="a mean of attention maps was",
            sites=find_widest_group(groups, inquiry.site, outcome),
            cohort=judged_part_of(inquiry.plan, inquiry.site),
            complete=np.stack([maps.drawn[members] for maps in kept])[asked],
            labels=np.full(len(members), bool(number)),
            part=outcome,
            rows=tuple(str(row) for row in np.flatnonzero(asked).tolist()),
        )


def sum_maps(inquiry: Inquiry) -> Summary:
    """Each network's sums by outcome; zeros where nothing was asked.

    Lesions are the same in every network's sum: where one was not explained here, none are added. Otherwise
    the coordinator, which chooses where to ask, would read this site's in the difference of two sums.

    Returns
    -------
    Summary
        Counts "OUTCOME/NUMBER/map" and "OUTCOME/NUMBER/reached", as `local_mean_map` makes them.
    """
    kept, asked = _read_maps(inquiry), _read_asked(inquiry)
    fewest, sums = minima_of(inquiry.plan.profile).cell, []
    shown = np.array([True, _is_explained_whole(inquiry, kept)])[:, np.newaxis, np.newaxis]
    for number, outcome in enumerate(OUTCOMES):
        members = _find_members(inquiry, number)
        for row, maps in enumerate(kept):
            patients = members if asked[number, row] else members[:0]
            sums.append(local_mean_map(maps.of(patients) * shown, fewest).under(f"{outcome}/{row}"))
    return join_summaries(sums)


def _is_explained_whole(inquiry: Inquiry, kept: Sequence[KeptMaps]) -> bool:
    """Whether every network was explained here that can be."""
    plan, here = inquiry.plan, Cohort((inquiry.site,), "whole")
    return all(
        maps.drawn.any() or not is_available(plan, scorer, here)
        for scorer, maps in zip(list_mapped_networks(plan), kept, strict=True)
    )


def _find_members(inquiry: Inquiry, outcome: int) -> Counts:
    """Positions of the tested patients with this outcome; none where they are too few."""
    part = judged_part_of(inquiry.plan, inquiry.site)
    members = np.flatnonzero([is_in(case, part) and case.positive == bool(outcome) for case in inquiry.cases])
    return members if len(members) >= minima_of(inquiry.plan.profile).cell else members[:0]


def _read_maps(inquiry: Inquiry) -> tuple[KeptMaps, ...]:
    """The maps of each network; of one that could not be explained here nobody has any."""
    networks = list_mapped_networks(inquiry.plan)
    nobody = KeptMaps.of_nobody(len(inquiry.cases), CELLS)
    found = (
        inquiry.store.find_maps(scorer.model.name, scorer.arm.name, inquiry.cases) for scorer in networks
    )
    return tuple(nobody if maps is None else maps for maps in found)


def _read_asked(inquiry: Inquiry) -> Flags:
    """What is asked of this site, shape (outcomes, networks); everything in the guard round."""
    shape = (len(OUTCOMES), len(list_mapped_networks(inquiry.plan)))
    if inquiry.is_guard:
        return np.ones(shape, dtype=np.bool_)
    asked = read_flag_array(inquiry.parameters, "asked", (len(inquiry.plan.site_names), *shape))
    return np.asarray(asked[inquiry.row], dtype=np.bool_)
