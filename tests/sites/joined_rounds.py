"""A hidden round's opened sums put together as the sum of the updates that sites would send in the clear."""

from __future__ import annotations

import numpy as np

from common.hiding.rounds import largest_weight, part_of, parts_of
from common.models.layout import Layout
from common.plan.study import StudyPlan
from common.stats.contract import Summary


def join_parts(plan: StudyPlan, layout: Layout, opened: Summary, total: int) -> Summary:
    """The sum of the sites' weighted changes, as one vector, and the sites' weight.

    Parameters
    ----------
    plan : StudyPlan
    layout : Layout
        Layout of the network's weights.
    opened : Summary
        The opened sum of what `to_hidden` made.
    total : int
        Weight of all sites, where the sums do not say it.
    """
    delta = np.zeros(layout.size, dtype=np.float32)
    for name in parts_of(plan, layout):
        kinds = {entry.kind for entry in layout.entries if part_of(entry.kind) == name}
        delta[layout.mask(kinds)] = opened.updates[name]
    delta *= np.float32(largest_weight(plan))
    counts = {"patients": np.array(total), **opened.counts}
    return Summary(counts, opened.reals, {"delta": delta})
