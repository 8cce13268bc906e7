"""Which readings of the same patients are compared; sites and coordinator both read it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.cohort.repeated_readings import MARKERS, READINGS, Reader
from common.plan.study import StudyPlan
from common.radiomics.stable_features import StabilityCriterion
from common.stats.guard import Demand

MASK_VOLUMES = ("ich_volume_ml", "ivh_volume_ml")
"""The volumes that a mask measures, by their columns in the cohort table."""


@dataclass(frozen=True)
class ReadingPair:
    """Two readings of the same thing.

    Attributes
    ----------
    kind : {"volume", "marker", "suggestion"}
        Volumes of two masks, findings of two readings, or a computed suggestion and a reader's finding.
    name : str
        Column of the volume or marker in the cohort table.
    reader : {"first", "intra", "inter"}
        The repeated reading that is compared with the first; for a suggestion, the reading compared with it.
    """

    kind: Literal["volume", "marker", "suggestion"]
    name: str
    reader: Reader


READING_PAIRS: tuple[ReadingPair, ...] = (
    *(ReadingPair("volume", name, reading) for reading in READINGS for name in MASK_VOLUMES),
    *(ReadingPair("marker", name, reading) for reading in READINGS for name in MARKERS),
    *(ReadingPair("suggestion", name, reader) for reader in ("first", "inter") for name in MARKERS),
)
"""All pairs that are compared, in this order."""


def criterion_of(plan: StudyPlan) -> StabilityCriterion:
    """The criterion by which the plan counts a feature as reproducible."""
    return StabilityCriterion(
        plan.radiomics.icc_form, plan.radiomics.icc_threshold, plan.radiomics.icc_judged
    )


def feature_demand(plan: StudyPlan, sites: int) -> Demand:
    """The minima for the features' agreement: stricter where each site's readings are judged alone.

    Parameters
    ----------
    plan : StudyPlan
    sites : int
        Number of sites that are judged together if the same readers read at all of them.
    """
    return Demand("agreement", one_site=sites == 1 or not plan.agreement.same_readers)
