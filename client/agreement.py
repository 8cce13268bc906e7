"""A site's part in the agreement of readings: of volumes, of markers, and of radiomics features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from client.prepare import PreparedCase
from client.releases import SiteReleases
from client.scoreboard import cases_of
from common.agreement import PAIRINGS, Pairing, feature_demand
from common.cohort.readings import MARKERS, READERS, Reader, Reading, repeated_column
from common.errors import PlanError, ProtocolError, SmallNumberError
from common.headers import Operation, RequestHeader
from common.protocol import Parameters
from common.questions import flags, reals
from common.radiomics.features import FEATURES
from common.stats.contract import Summary, join
from common.stats.guard import Demand, local_guard, short_at_site
from common.stats.icc import Location, local_icc, local_location
from common.stats.kappa import local_kappa
from common.stats.minima import minima_of
from common.study import StudyPlan
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
    site : str
    cases : tuple of PreparedCase
    releases : SiteReleases
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
            close = dict(zip(READERS, self.releases.too_close_readings(self._cohorts), strict=True))
            return join(
                self._counted(
                    _complete(self._ratings(one)), Demand("agreement"), near=close[one.reader]
                ).under(str(index))
                for index, one in enumerate(PAIRINGS)
            )
        near = self.releases.too_close_readings(self._feature_cohorts)
        return join(
            self._counted(np.ones(len(ratings), dtype=np.bool_), self._demand, near=close).under(reading)
            for (reading, ratings), close in zip(self._features.items(), near, strict=True)
        )

    def answer(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of the stage that the guard round came before."""
        if header.operation == Operation.AGREEMENT:
            return self._agreement(parameters)
        features = {name: _by_feature(one) for name, one in self._asked(parameters).items()}
        if header.operation == Operation.READING_MEANS:
            return join(local_location(one).under(name) for name, one in features.items())
        nothing = np.zeros(len(FEATURES))
        return join(
            local_icc(_location(parameters, name).applied(one), nothing).under(name)
            for name, one in features.items()
        )

    def _agreement(self, parameters: Parameters) -> Summary:
        """Sums for ICCs of volumes and tables of markers, of what this site was asked for."""
        self._insist_on_phase()
        asked = flags(parameters, "asked", (len(PAIRINGS),))
        answers = []
        for index, one in enumerate(PAIRINGS):
            ratings = self._ratings(one) if asked[index] else np.empty((0, 2))
            if self._short(_complete(ratings), Demand("agreement")):
                raise SmallNumberError(
                    f"agreement on {one.name} was asked for with too few patients at this site"
                )
            answers.append(_summary(one, ratings).under(str(index)))
        wanted = {one.reader for one, use in zip(PAIRINGS, asked, strict=True) if use}
        self.releases.remember_readings(
            [self._cohorts[READERS.index(one)] for one in READERS if one in wanted]
        )
        return join(answers)

    def _insist_on_phase(self) -> None:
        if AGREEMENT not in self.plan.phases:
            raise PlanError("the plan's phases do not ask how far readers agree")

    def _asked(self, parameters: Parameters) -> Mapping[Reading, Reals]:
        """Features of both masks, of nobody where this site was not asked.

        Raises
        ------
        SmallNumberError
            If the guard round objected to them, whatever the coordinator made of it.
        """
        sites = self.plan.site_names
        if not flags(parameters, "asked", (len(sites),))[sites.index(self.site)]:
            return {reading: ratings[:0] for reading, ratings in self._features.items()}
        for ratings in self._features.values():
            if self._short(np.ones(len(ratings), dtype=np.bool_), self._demand):
                raise SmallNumberError(
                    "features of repeated readings were asked for with too few patients here"
                )
        self.releases.remember_readings(self._feature_cohorts)
        return self._features

    def _counted(self, complete: Flags, demand: Demand, *, near: bool) -> Summary:
        """Outcomes are none of agreement's business: everybody counts as without expansion."""
        nobody = np.zeros(len(complete), dtype=np.bool_)
        short = np.array([self._short(complete, demand)])
        return local_guard(complete[np.newaxis], nobody, short, np.array([near]))

    def _short(self, complete: Flags, demand: Demand) -> bool:
        """Of two sites each can tell the other's numbers; a site's own result stands on its own patients."""
        if not self.plan.two_site_ack and not demand.one_site:
            return False
        nobody = np.zeros(len(complete), dtype=np.bool_)
        return bool(short_at_site(complete[np.newaxis], nobody, (demand,), minima_of(self.plan.profile))[0])

    @property
    def _demand(self) -> Demand:
        return feature_demand(self.plan, len(self.plan.sites))

    def _ratings(self, pairing: Pairing) -> Reals:
        """Both readings of whoever was read so, NaN where there is none, shape (n, 2)."""
        read = self._read_by[pairing.reader]
        return np.array([_pair(case, pairing) for case in read], dtype=np.float64).reshape(len(read), 2)

    @cached_property
    def _read_by(self) -> dict[Reader, tuple[PreparedCase, ...]]:
        return {reader: tuple(case for case in self.cases if _was_read(case, reader)) for reader in READERS}

    @property
    def _cohorts(self) -> list[tuple[str, tuple[PreparedCase, ...]]]:
        return [(f"readings, {reader}", self._read_by[reader]) for reader in READERS]

    @cached_property
    def _features(self) -> dict[Reading, Reals]:
        """Features of both masks of the training patients who were read so, shape (n, 851, 2)."""
        return {
            reading: features_twice(self._training(reading), reading)
            for reading in self.plan.radiomics.readings
        }

    @property
    def _feature_cohorts(self) -> list[tuple[str, tuple[PreparedCase, ...]]]:
        return [
            (f"radiomics, {reading}", self._training(reading)) for reading in self.plan.radiomics.readings
        ]

    def _training(self, reading: Reading) -> tuple[PreparedCase, ...]:
        return training_twice(cases_of(self.cases, "training"), reading)


def training_twice(training: Sequence[PreparedCase], reading: Reading) -> tuple[PreparedCase, ...]:
    """Of these patients, those with features of both masks.

    Features are judged on whoever trains: no tested patient decides what goes into a model.
    """
    return tuple(case for case in training if case.features is not None and reading in case.readings.features)


def features_twice(cases: Sequence[PreparedCase], reading: Reading) -> Reals:
    """Features of the first and the repeated mask, shape (n, 851, 2)."""
    pairs = [[case.features, case.readings.features[reading]] for case in cases]
    return np.array(pairs, dtype=np.float64).reshape(len(cases), 2, len(FEATURES)).transpose(0, 2, 1)


def _by_feature(ratings: Reals) -> Reals:
    return ratings.transpose(1, 0, 2)


def _location(parameters: Parameters, reading: Reading) -> Location:
    centre, scale = reals(parameters, f"centre.{reading}", 1), reals(parameters, f"scale.{reading}", 1)
    if centre.shape != scale.shape or centre.shape != (len(FEATURES),) or (scale <= 0).any():
        raise ProtocolError(
            f"{centre.size} centres and {scale.size} scales came for {len(FEATURES)} features"
        )
    return Location(centre, scale)


def _summary(pairing: Pairing, ratings: Reals) -> Summary:
    if pairing.kind == "volume":
        return local_icc(ratings[np.newaxis], _NOTHING)
    first, second = np.where(np.isnan(ratings), -1, ratings).astype(np.int64).T
    return local_kappa(first, second, 2)


def _complete(ratings: Reals) -> Flags:
    return np.asarray(~np.isnan(ratings).any(axis=1))


def _was_read(case: PreparedCase, reader: Reader) -> bool:
    if reader == "first":
        return True
    again = (case.patient.value(repeated_column(name, reader)) for name in MARKERS)
    return reader in case.readings.repeated or any(value is not None for value in again)


def _pair(case: PreparedCase, pairing: Pairing) -> tuple[float, float]:
    name, reader = pairing.name, pairing.reader
    if pairing.kind == "volume":
        again = case.readings.repeated.get(reader) if reader != "first" else None
        first = case.readings.first
        if first is None or again is None:
            return np.nan, np.nan
        return (first.ich_ml, again.ich_ml) if name.startswith("ich") else (first.ivh_ml, again.ivh_ml)
    found = case.patient.flag(name if reader == "first" else repeated_column(name, reader))
    other = case.patient.flag(name) if pairing.kind == "marker" else case.readings.suggested.get(name)
    return (np.nan if other is None else float(other)), (np.nan if found is None else float(found))
