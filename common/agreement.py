"""Which readings of the same patients are compared: both sides of a study read it from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from common.cohort.readings import MARKERS, READINGS, Reader
from common.radiomics.reproducibility import Criterion
from common.stats.guard import Demand
from common.study import StudyPlan

VOLUMES = ("ich_volume_ml", "ivh_volume_ml")
"""What a mask measures, by the table's names."""


@dataclass(frozen=True)
class Pairing:
    """Two readings of the same thing.

    Attributes
    ----------
    kind : {"volume", "marker", "suggestion"}
        Volumes of two masks; two readers' findings; a computed suggestion beside a reader's finding.
    name : str
        Of the volume or marker, its column in the cohort table.
    reader : {"first", "intra", "inter"}
        The repeated reading that is compared with the first; of a suggestion, whose finding stands beside it.
    """

    kind: Literal["volume", "marker", "suggestion"]
    name: str
    reader: Reader


PAIRINGS: tuple[Pairing, ...] = (
    *(Pairing("volume", name, reading) for reading in READINGS for name in VOLUMES),
    *(Pairing("marker", name, reading) for reading in READINGS for name in MARKERS),
    *(Pairing("suggestion", name, reader) for reader in ("first", "inter") for name in MARKERS),
)
"""Everything that is compared, in this order."""


def criterion_of(plan: StudyPlan) -> Criterion:
    """When the plan takes a feature for reproducible."""
    return Criterion(plan.radiomics.icc_form, plan.radiomics.icc_threshold, plan.radiomics.icc_judged)


def feature_demand(plan: StudyPlan, sites: int) -> Demand:
    """What must stand behind the features' agreement; more where a site's readings are judged by themselves.

    Parameters
    ----------
    sites : int
        How many are judged together, if the same readers read at all of them.
    """
    return Demand("agreement", one_site=sites == 1 or not plan.agreement.same_readers)
