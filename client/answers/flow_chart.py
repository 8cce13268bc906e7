"""A site's flow chart and the sizes of its cohort's parts, as sums."""

from __future__ import annotations

import numpy as np

from client.cohort.cases import PreparedSite
from common.plan.matrix import SPLITS
from common.stats.contract import Summary, join_summaries
from common.stats.flow import local_flow


def summarise_flow(prepared: PreparedSite) -> Summary:
    """Who was screened, left out and included, and how the included were divided.

    Returns
    -------
    Summary
        Under "flow" the flow chart: the plan's criteria, then unknown eligibility, then refused rows and
        scans; under "parts" the counts "patients", shape (3, 2): part by outcome, negatives first.
    """
    flow, cases = prepared.flow, prepared.cases
    refused = len(flow.included) - len(cases) + len(flow.rejected)
    positive = sum(case.positive for case in cases)
    excluded = [*flow.excluded, len(flow.undecided), refused]
    parts = np.array(
        [
            [
                sum(case.part == part and case.positive == outcome for case in cases)
                for outcome in (False, True)
            ]
            for part in SPLITS
        ]
    )
    return join_summaries(
        [
            local_flow(flow.screened, excluded, positive, len(cases) - positive).under("flow"),
            Summary({"patients": parts}).under("parts"),
        ]
    )
