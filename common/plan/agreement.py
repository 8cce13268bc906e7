"""Which readings of the same patients are compared; sites and coordinator both read it here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from common.cohort.repeated_readings import FIRST, MARKERS, Reader, describe_reading
from common.plan.sections import ALL_READERS, ALL_SESSIONS, Agreement, ReadingCriterion
from common.plan.study import StudyPlan
from common.stats.guard import Demand

if TYPE_CHECKING:
    from common.radiomics.stable_features import StabilityCriterion

MASK_VOLUMES = ("ich_volume_ml", "ivh_volume_ml")
"""The volumes that a mask measures, by their columns in the cohort table."""


@dataclass(frozen=True)
class ReadingComparison:
    """Two or more readings of the same thing.

    Attributes
    ----------
    kind : {"volume", "marker", "suggestion"}
        Volumes of masks, findings of readings, or a computed suggestion and a reader's finding.
    name : str
        Column of the volume or marker in the cohort table.
    readings : tuple of Reader
        Which are compared with each other; of a suggestion, the one that is compared with it.
    """

    kind: Literal["volume", "marker", "suggestion"]
    name: str
    readings: tuple[Reader, ...]

    @property
    def reader(self) -> Reader:
        """The last of the readings: of a pair with the first reading, the repeated one."""
        return self.readings[-1]

    @property
    def required(self) -> tuple[Reader, ...]:
        """Readings that make a patient one of the compared: everybody was read first."""
        return tuple(reading for reading in self.readings if reading != FIRST) or (FIRST,)


def group_readings(agreement: Agreement) -> tuple[tuple[Reader, ...], ...]:
    """Which readings are compared with each other: within each reader, then between readers.

    Within a reader, the sessions two by two; between readers, their first sessions two by two. Three or more
    sessions of a reader, and three or more readers, are also compared at once.
    """
    numbers = range(1, len(agreement.readers) + 1)
    within = (group for number in numbers for group in _combine(agreement.sessions_of(number)))
    return (*within, *_combine(agreement.first_sessions))


def _combine(readings: tuple[Reader, ...]) -> Iterator[tuple[Reader, ...]]:
    yield from itertools.combinations(readings, 2)
    if len(readings) > 2:
        yield readings


def list_comparisons(agreement: Agreement) -> tuple[ReadingComparison, ...]:
    """All comparisons that a plan asks for; sites and coordinator number them in this order."""
    groups = group_readings(agreement)
    return (
        *(ReadingComparison("volume", name, group) for group in groups for name in MASK_VOLUMES),
        *(ReadingComparison("marker", name, group) for group in groups for name in MARKERS),
        *(
            ReadingComparison("suggestion", name, (reader,))
            for reader in agreement.first_sessions
            for name in MARKERS
        ),
    )


def describe_criterion(name: ReadingCriterion) -> str:
    """An entry of `radiomics.readings` in words."""
    together = {ALL_READERS: "all readers", ALL_SESSIONS: "all sessions of the first reader"}
    return together.get(name) or describe_reading(name)


def criterion_of(plan: StudyPlan) -> StabilityCriterion:
    """The criterion by which the plan counts a feature as reproducible."""
    # It loads scipy, which nobody waits for who only reads a plan
    from common.radiomics.stable_features import StabilityCriterion

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
