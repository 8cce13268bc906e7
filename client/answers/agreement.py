"""A site's part in the agreement of readings: of volumes, of markers, and of radiomics features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.release.releases import SiteReleases
from common.cohort.repeated_readings import MARKERS, READERS, Reader, Reading, column_of_reading
from common.errors import PlanError, ProtocolError, SmallNumberError
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_real_array
from common.plan.agreement import READING_PAIRS, ReadingPair, feature_demand
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.stats.contract import Summary, join_summaries
from common.stats.guard import Demand, find_short_analyses, local_guard
from common.stats.icc import RatingLocation, local_icc, local_location
from common.stats.kappa import local_kappa
from common.stats.minima import minima_of
from common.types import Flags, Reals

AGREEMENT = "agreement"
REPRODUCIBILITY = "reproducibility"
_NOTHING = np.zeros(1)


@dataclass(frozen=True)
class SiteAgreement:
    """What may be asked about one site's repeated readings.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        The site's name.
    cases : tuple of PreparedCase
        Its patients.
    releases : SiteReleases
        What was released of them before.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    releases: SiteReleases

    def guard(self, stage: str) -> Summary:
        """R0: how many were read twice; nothing of what was read.

        Raises
        ------
        PlanError
            If the plan does not ask how far readers agree.
        """
        if stage == AGREEMENT:
            self._insist_on_phase()
            close = dict(zip(READERS, self.releases.find_too_close_readings(self._cohorts), strict=True))
            return join_summaries(
                self._count_patients(
                    _find_complete(self._collect_ratings(pairing)),
                    Demand("agreement"),
                    near=close[pairing.reader],
                ).under(str(index))
                for index, pairing in enumerate(READING_PAIRS)
            )
        near = self.releases.find_too_close_readings(self._feature_cohorts)
        return join_summaries(
            self._count_patients(np.ones(len(ratings), dtype=np.bool_), self._demand, near=close).under(
                reading
            )
            for (reading, ratings), close in zip(self._features.items(), near, strict=True)
        )

    def answer(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of the stage that the guard round came before."""
        if header.operation == Operation.AGREEMENT:
            return self._sum_agreement(parameters)
        features = {
            reading: _put_features_first(ratings)
            for reading, ratings in self._read_asked_features(parameters).items()
        }
        if header.operation == Operation.READING_MEANS:
            return join_summaries(
                local_location(ratings).under(reading) for reading, ratings in features.items()
            )
        nothing = np.zeros(len(FEATURES))
        return join_summaries(
            local_icc(_read_location(parameters, reading).apply(ratings), nothing).under(reading)
            for reading, ratings in features.items()
        )

    def _sum_agreement(self, parameters: Parameters) -> Summary:
        """Sums for ICCs of volumes and tables of markers, of what this site was asked for.

        Raises
        ------
        SmallNumberError
            If the guard round would have objected, whatever the coordinator made of it.
        """
        self._insist_on_phase()
        asked = read_flag_array(parameters, "asked", (len(READING_PAIRS),))
        answers = []
        for index, pairing in enumerate(READING_PAIRS):
            ratings = self._collect_ratings(pairing) if asked[index] else np.empty((0, 2))
            if self._is_short(_find_complete(ratings), Demand("agreement")):
                raise SmallNumberError(
                    f"agreement on {pairing.name} was asked for with too few patients at this site"
                )
            answers.append(_summarise(pairing, ratings).under(str(index)))
        wanted = {pairing.reader for pairing, use in zip(READING_PAIRS, asked, strict=True) if use}
        self.releases.remember_readings(
            [self._cohorts[READERS.index(reader)] for reader in READERS if reader in wanted]
        )
        return join_summaries(answers)

    def _insist_on_phase(self) -> None:
        if AGREEMENT not in self.plan.phases:
            raise PlanError("the plan's phases do not ask how far readers agree")

    def _read_asked_features(self, parameters: Parameters) -> Mapping[Reading, Reals]:
        """Features of both masks; of no patient where this site was not asked.

        Raises
        ------
        SmallNumberError
            If the guard round objected to them, whatever the coordinator made of it.
        """
        sites = self.plan.site_names
        if not read_flag_array(parameters, "asked", (len(sites),))[sites.index(self.site)]:
            return {reading: ratings[:0] for reading, ratings in self._features.items()}
        for ratings in self._features.values():
            if self._is_short(np.ones(len(ratings), dtype=np.bool_), self._demand):
                raise SmallNumberError(
                    "features of repeated readings were asked for with too few patients here"
                )
        self.releases.remember_readings(self._feature_cohorts)
        return self._features

    def _count_patients(self, complete: Flags, demand: Demand, *, near: bool) -> Summary:
        """How many patients were read so; all count as without expansion, because outcomes play no part."""
        nobody = np.zeros(len(complete), dtype=np.bool_)
        short = np.array([self._is_short(complete, demand)])
        return local_guard(complete[np.newaxis], nobody, short, np.array([near]))

    def _is_short(self, complete: Flags, demand: Demand) -> bool:
        """Whether too few patients were read, where the minimums must hold at this site.

        They must with two sites, because each can compute the other's numbers, and for a result of this site
        alone.
        """
        if not self.plan.two_site_ack and not demand.one_site:
            return False
        nobody = np.zeros(len(complete), dtype=np.bool_)
        return bool(
            find_short_analyses(complete[np.newaxis], nobody, (demand,), minima_of(self.plan.profile))[0]
        )

    @property
    def _demand(self) -> Demand:
        return feature_demand(self.plan, len(self.plan.sites))

    def _collect_ratings(self, pairing: ReadingPair) -> Reals:
        """Both readings of each patient who was read so, NaN where there is none, shape (n, 2)."""
        read = self._read_by[pairing.reader]
        return np.array([_pair_readings(case, pairing) for case in read], dtype=np.float64).reshape(
            len(read), 2
        )

    @cached_property
    def _read_by(self) -> dict[Reader, tuple[PreparedCase, ...]]:
        return {reader: tuple(case for case in self.cases if _was_read(case, reader)) for reader in READERS}

    @property
    def _cohorts(self) -> list[tuple[str, tuple[PreparedCase, ...]]]:
        return [(f"readings, {reader}", self._read_by[reader]) for reader in READERS]

    @cached_property
    def _features(self) -> dict[Reading, Reals]:
        """By reading: features of both masks of the training patients who were read so, shape (n, 851, 2)."""
        return {
            reading: stack_features_twice(self._select_training(reading), reading)
            for reading in self.plan.radiomics.readings
        }

    @property
    def _feature_cohorts(self) -> list[tuple[str, tuple[PreparedCase, ...]]]:
        return [
            (f"radiomics, {reading}", self._select_training(reading))
            for reading in self.plan.radiomics.readings
        ]

    def _select_training(self, reading: Reading) -> tuple[PreparedCase, ...]:
        return select_read_twice(cases_of(self.cases, "training"), reading)


def select_read_twice(training: Sequence[PreparedCase], reading: Reading) -> tuple[PreparedCase, ...]:
    """Those of the patients who have features of both masks.

    Features are judged on training patients: no tested patient decides what goes into a model.
    """
    return tuple(case for case in training if case.features is not None and reading in case.readings.features)


def stack_features_twice(cases: Sequence[PreparedCase], reading: Reading) -> Reals:
    """Features of the first and the repeated mask, shape (n, 851, 2)."""
    pairs = [[case.features, case.readings.features[reading]] for case in cases]
    return np.array(pairs, dtype=np.float64).reshape(len(cases), 2, len(FEATURES)).transpose(0, 2, 1)


def _put_features_first(ratings: Reals) -> Reals:
    return ratings.transpose(1, 0, 2)


def _read_location(parameters: Parameters, reading: Reading) -> RatingLocation:
    centre, scale = (
        read_real_array(parameters, f"centre.{reading}", 1),
        read_real_array(parameters, f"scale.{reading}", 1),
    )
    if centre.shape != scale.shape or centre.shape != (len(FEATURES),) or (scale <= 0).any():
        raise ProtocolError(
            f"{centre.size} centres and {scale.size} scales came for {len(FEATURES)} features"
        )
    return RatingLocation(centre, scale)


def _summarise(pairing: ReadingPair, ratings: Reals) -> Summary:
    if pairing.kind == "volume":
        return local_icc(ratings[np.newaxis], _NOTHING)
    first, second = np.where(np.isnan(ratings), -1, ratings).astype(np.int64).T
    return local_kappa(first, second, 2)


def _find_complete(ratings: Reals) -> Flags:
    return np.asarray(~np.isnan(ratings).any(axis=1))


def _was_read(case: PreparedCase, reader: Reader) -> bool:
    if reader == "first":
        return True
    again = (case.patient.value(column_of_reading(name, reader)) for name in MARKERS)
    return reader in case.readings.repeated or any(value is not None for value in again)


def _pair_readings(case: PreparedCase, pairing: ReadingPair) -> tuple[float, float]:
    name, reader = pairing.name, pairing.reader
    if pairing.kind == "volume":
        again = case.readings.repeated.get(reader) if reader != "first" else None
        before = case.readings.first
        if before is None or again is None:
            return np.nan, np.nan
        return (before.ich_ml, again.ich_ml) if name.startswith("ich") else (before.ivh_ml, again.ivh_ml)
    second = case.patient.flag(name if reader == "first" else column_of_reading(name, reader))
    first = case.patient.flag(name) if pairing.kind == "marker" else case.readings.suggested.get(name)
    return (np.nan if first is None else float(first)), (np.nan if second is None else float(second))
