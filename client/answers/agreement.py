"""A site's part in the agreement of readings: of volumes, of markers, and of radiomics features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.release.releases import SiteReleases
from common.cohort.repeated_readings import FIRST, MARKERS, Reader, column_of_reading
from common.errors import PlanError, ProtocolError, SmallNumberError
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_real_array
from common.plan.agreement import ReadingComparison, feature_demand, list_comparisons
from common.plan.sections import ReadingCriterion
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.stats.contract import Summary, join_summaries
from common.stats.fleiss import local_fleiss
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

    def guard(self, header: RequestHeader) -> Summary:
        """R0: how many were read twice; nothing of what was read.

        Raises
        ------
        PlanError
            If the plan does not ask how far readers agree.
        """
        if header.stage == AGREEMENT:
            self._insist_on_phase()
            near_by_cohort = self.releases.find_too_close_readings(list(self._cohorts.values()))
            close = dict(zip(self._cohorts, near_by_cohort, strict=True))
            return join_summaries(
                self._count_patients(
                    _find_complete(self._collect_ratings(comparison)),
                    self._volume_demand,
                    near=close[comparison.required],
                ).under(str(index))
                for index, comparison in enumerate(self._comparisons)
            )
        near, demand = self.releases.find_too_close_readings(self._feature_cohorts), self._find_demand(header)
        return join_summaries(
            self._count_patients(np.ones(len(ratings), dtype=np.bool_), demand, near=close).under(reading)
            for (reading, ratings), close in zip(self._features.items(), near, strict=True)
        )

    def answer(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of the stage that the guard round came before."""
        if header.operation == Operation.AGREEMENT:
            return self._sum_agreement(parameters)
        features = {
            reading: _put_features_first(ratings)
            for reading, ratings in self._read_asked_features(header, parameters).items()
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
        """Sums for ICCs of volumes and kappas of markers, of what this site was asked for.

        Raises
        ------
        SmallNumberError
            If the guard round would have objected, whatever the coordinator made of it.
        """
        self._insist_on_phase()
        asked = read_flag_array(parameters, "asked", (len(self._comparisons),))
        answers = []
        for index, comparison in enumerate(self._comparisons):
            ratings = self._collect_ratings(comparison)[: None if asked[index] else 0]
            if self._is_short(_find_complete(ratings), self._volume_demand):
                raise SmallNumberError(
                    f"agreement on {comparison.name} was asked for with too few patients at this site"
                )
            answers.append(_summarise(comparison, ratings).under(str(index)))
        wanted = {one.required for one, use in zip(self._comparisons, asked, strict=True) if use}
        self.releases.remember_readings(
            [cohort for required, cohort in self._cohorts.items() if required in wanted]
        )
        return join_summaries(answers)

    def _insist_on_phase(self) -> None:
        if AGREEMENT not in self.plan.phases:
            raise PlanError("the plan's phases do not ask how far readers agree")

    def _read_asked_features(
        self, header: RequestHeader, parameters: Parameters
    ) -> Mapping[ReadingCriterion, Reals]:
        """Features of all compared masks; of no patient where this site was not asked.

        Raises
        ------
        SmallNumberError
            If the guard round objected to them, whatever the coordinator made of it.
        """
        sites = self.plan.site_names
        if not read_flag_array(parameters, "asked", (len(sites),))[sites.index(self.site)]:
            return {reading: ratings[:0] for reading, ratings in self._features.items()}
        demand = self._find_demand(header)
        for ratings in self._features.values():
            if self._is_short(np.ones(len(ratings), dtype=np.bool_), demand):
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
    def _volume_demand(self) -> Demand:
        return Demand("agreement", one_site=len(self.plan.sites) == 1)

    def _find_demand(self, header: RequestHeader) -> Demand:
        sites = self.plan.arm(header.arm).sites if header.arm else self.plan.training_sites
        return feature_demand(self.plan, len(sites))

    @cached_property
    def _comparisons(self) -> tuple[ReadingComparison, ...]:
        return list_comparisons(self.plan.agreement)

    def _collect_ratings(self, comparison: ReadingComparison) -> Reals:
        """All readings of each patient who was read so, NaN where there is none, shape (n, readings)."""
        _, read = self._cohorts[comparison.required]
        ratings = [_read_ratings(case, comparison) for case in read]
        return np.array(ratings, dtype=np.float64).reshape(len(read), max(2, len(comparison.readings)))

    @cached_property
    def _cohorts(self) -> dict[tuple[Reader, ...], tuple[str, tuple[PreparedCase, ...]]]:
        """By the readings that a comparison requires: the cohort's definition, and who was read by all.

        Whom the first reader alone read comes first; a cohort too near to one before it is withheld.
        """
        required = dict.fromkeys([(FIRST,), *(comparison.required for comparison in self._comparisons)])
        return {
            readings: (
                f"readings, {' + '.join(readings)}",
                tuple(case for case in self.cases if all(_was_read(case, name) for name in readings)),
            )
            for readings in required
        }

    @cached_property
    def _features(self) -> dict[ReadingCriterion, Reals]:
        """By criterion: features of all masks of the training patients read so, shape (n, 851, readings)."""
        return {
            name: stack_features(self._select_training(name), self.plan.agreement.readings_behind(name))
            for name in self.plan.radiomics.readings
        }

    @property
    def _feature_cohorts(self) -> list[tuple[str, tuple[PreparedCase, ...]]]:
        return [(f"radiomics, {name}", self._select_training(name)) for name in self.plan.radiomics.readings]

    def _select_training(self, name: ReadingCriterion) -> tuple[PreparedCase, ...]:
        return select_read_again(cases_of(self.cases, "training"), self.plan.agreement.readings_behind(name))


def select_read_again(
    training: Sequence[PreparedCase], readings: Sequence[Reader]
) -> tuple[PreparedCase, ...]:
    """Those of the patients who have features of all these masks.

    Features are judged on training patients: no tested patient decides what goes into a model.
    """
    return tuple(
        case for case in training if all(_find_features(case, reading) is not None for reading in readings)
    )


def stack_features(cases: Sequence[PreparedCase], readings: Sequence[Reader]) -> Reals:
    """Features of the masks of some readings, shape (n, 851, readings)."""
    rows = [[_find_features(case, reading) for reading in readings] for case in cases]
    shape = (len(cases), len(readings), len(FEATURES))
    return np.array(rows, dtype=np.float64).reshape(shape).transpose(0, 2, 1)


def _find_features(case: PreparedCase, reading: Reader) -> Reals | None:
    return case.features if reading == FIRST else case.readings.features.get(reading)


def _put_features_first(ratings: Reals) -> Reals:
    return ratings.transpose(1, 0, 2)


def _read_location(parameters: Parameters, reading: ReadingCriterion) -> RatingLocation:
    centre, scale = (
        read_real_array(parameters, f"centre.{reading}", 1),
        read_real_array(parameters, f"scale.{reading}", 1),
    )
    if centre.shape != scale.shape or centre.shape != (len(FEATURES),) or (scale <= 0).any():
        raise ProtocolError(
            f"{centre.size} centres and {scale.size} scales came for {len(FEATURES)} features"
        )
    return RatingLocation(centre, scale)


def _summarise(comparison: ReadingComparison, ratings: Reals) -> Summary:
    if comparison.kind == "volume":
        return local_icc(ratings[np.newaxis], _NOTHING)
    categories = np.where(np.isnan(ratings), -1, ratings).astype(np.int64)
    if len(comparison.readings) > 2:
        return local_fleiss(categories, 2)
    first, second = categories.T
    return local_kappa(first, second, 2)


def _find_complete(ratings: Reals) -> Flags:
    return np.asarray(~np.isnan(ratings).any(axis=1))


def _was_read(case: PreparedCase, reader: Reader) -> bool:
    if reader == FIRST:
        return True
    again = (case.patient.value(column_of_reading(name, reader)) for name in MARKERS)
    return reader in case.readings.repeated or any(value is not None for value in again)


def _read_ratings(case: PreparedCase, comparison: ReadingComparison) -> tuple[float, ...]:
    """What each compared reading says of the patient, NaN where it says nothing; a suggestion comes first."""
    name = comparison.name
    if comparison.kind == "volume":
        return tuple(_find_volume(case, name, reader) for reader in comparison.readings)
    said = [case.patient.flag(column_of_reading(name, reader)) for reader in comparison.readings]
    if comparison.kind == "suggestion":
        said = [case.readings.suggested.get(name), *said]
    return tuple(np.nan if one is None else float(one) for one in said)


def _find_volume(case: PreparedCase, name: str, reader: Reader) -> float:
    volumes = case.readings.first if reader == FIRST else case.readings.repeated.get(reader)
    if volumes is None:
        return np.nan
    return volumes.ich_ml if name.startswith("ich") else volumes.ivh_ml
