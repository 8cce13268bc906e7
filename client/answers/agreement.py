"""A site's part in the agreement of readings: of volumes, of markers, and of radiomics features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from client.answers.inquiry import Backing, Inquiry
from client.cohort.cases import PreparedCase
from client.release.releases import NamedCohort
from common.cohort.repeated_readings import FIRST, MARKERS, Reader, column_of_reading
from common.errors import PlanError, ProtocolError
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.messages.protocol import Parameters
from common.messages.questions import read_flag_array, read_real_array
from common.plan.agreement import ReadingComparison, list_comparisons
from common.plan.sections import ReadingCriterion
from common.radiomics.features import FEATURES
from common.stats.contract import Summary, join_summaries
from common.stats.fleiss import local_fleiss
from common.stats.icc import RatingLocation, local_icc, local_location
from common.stats.kappa import local_kappa
from common.types import Flags, Reals

_NOTHING = np.zeros(1)


def list_read_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The patients of whom each comparison that was asked for has readings, and who of them has all.

    All count as without expansion, because outcomes play no part.

    Raises
    ------
    PlanError
        If the plan does not ask how far readers agree.
    """
    for index, comparison, ratings in _list_compared(inquiry):
        yield Backing(
            what=f"agreement on {comparison.name} was",
            sites=inquiry.sites,
            cohort=_name_cohort(comparison.required),
            complete=_find_complete(ratings)[np.newaxis],
            labels=np.zeros(len(ratings), dtype=np.bool_),
            part=str(index),
        )


def list_read_cohorts(inquiry: Inquiry) -> tuple[NamedCohort, ...]:
    """Who was read by all whom a comparison requires, each with its definition.

    Whom the first reader alone read comes first; a cohort too near to one before it is withheld.
    """
    comparisons = list_comparisons(inquiry.plan.agreement)
    required = dict.fromkeys([(FIRST,), *(comparison.required for comparison in comparisons)])
    return tuple((_name_cohort(readers), _select_read(inquiry, readers)) for readers in required)


def sum_agreement(inquiry: Inquiry) -> Summary:
    """Sums for ICCs of volumes and kappas of markers; of nobody where this site was not asked."""
    asked = {index: ratings for index, _, ratings in _list_compared(inquiry)}
    return join_summaries(
        _summarise(comparison, asked.get(index, _collect_ratings(comparison, ()))).under(str(index))
        for index, comparison in enumerate(list_comparisons(inquiry.plan.agreement))
    )


def list_reread_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The training patients of whom all masks of each criterion have features.

    Where readers differ between sites, each site's patients are judged alone.
    """
    plan, header = inquiry.plan, inquiry.header
    groups = groups_of(plan, Operation.READING_SUMS, arm=header.arm)
    sites = next((group.sites for group in groups if inquiry.site in group.sites), groups[0].sites)
    for reading in plan.radiomics.readings if _is_asked(inquiry) else ():
        patients = len(_select_reread(inquiry, reading))
        yield Backing(
            what="features of repeated readings were",
            sites=sites,
            cohort=_name_features(reading),
            complete=np.ones((1, patients), dtype=np.bool_),
            labels=np.zeros(patients, dtype=np.bool_),
            part=reading,
        )


def list_reread_cohorts(inquiry: Inquiry) -> tuple[NamedCohort, ...]:
    """Those patients, each with their definition."""
    readings = inquiry.plan.radiomics.readings
    return tuple((_name_features(reading), _select_reread(inquiry, reading)) for reading in readings)


def sum_reading_means(inquiry: Inquiry) -> Summary:
    """Means and magnitudes of the features, by criterion."""
    return join_summaries(
        local_location(_put_features_first(ratings)).under(reading)
        for reading, ratings in _read_features(inquiry).items()
    )


def sum_reading_products(inquiry: Inquiry) -> Summary:
    """The sums of the features' ICCs about public means, by criterion."""
    nothing = np.zeros(len(FEATURES))
    return join_summaries(
        local_icc(
            _read_location(inquiry.parameters, reading).apply(_put_features_first(ratings)), nothing
        ).under(reading)
        for reading, ratings in _read_features(inquiry).items()
    )


def _list_compared(inquiry: Inquiry) -> Iterator[tuple[int, ReadingComparison, Reals]]:
    """What this site was asked to compare, and all its readings.

    Raises
    ------
    PlanError
        If the plan does not ask how far readers agree.
    """
    if "agreement" not in inquiry.plan.phases:
        raise PlanError("the plan's phases do not ask how far readers agree")
    compared = list_comparisons(inquiry.plan.agreement)
    asked = np.ones(len(compared), dtype=np.bool_)
    if not inquiry.is_guard:
        asked = read_flag_array(inquiry.parameters, "asked", (len(compared),))
    for index in np.flatnonzero(asked).tolist():
        read = _select_read(inquiry, compared[index].required)
        yield index, compared[index], _collect_ratings(compared[index], read)


def _collect_ratings(comparison: ReadingComparison, read: Sequence[PreparedCase]) -> Reals:
    """All readings of each patient, NaN where there is none, shape (n, readings)."""
    ratings = [_read_ratings(case, comparison) for case in read]
    return np.array(ratings, dtype=np.float64).reshape(len(read), max(2, len(comparison.readings)))


def _is_asked(inquiry: Inquiry) -> bool:
    """Whether this site was asked for features of repeated readings; before, all are counted."""
    shape = (len(inquiry.plan.sites),)
    return inquiry.is_guard or bool(read_flag_array(inquiry.parameters, "asked", shape)[inquiry.row])


def _read_features(inquiry: Inquiry) -> Mapping[ReadingCriterion, Reals]:
    """By criterion: features of all masks, shape (n, 851, readings); of nobody where nothing was asked."""
    plan, is_asked = inquiry.plan, _is_asked(inquiry)
    return {
        name: stack_features(
            _select_reread(inquiry, name) if is_asked else (), plan.agreement.readings_behind(name)
        )
        for name in plan.radiomics.readings
    }


def _name_cohort(readers: Sequence[Reader]) -> str:
    return f"readings, {' + '.join(readers)}"


def _name_features(reading: ReadingCriterion) -> str:
    return f"radiomics, {reading}"


def _select_read(inquiry: Inquiry, readers: Sequence[Reader]) -> tuple[PreparedCase, ...]:
    return tuple(case for case in inquiry.cases if all(_was_read(case, name) for name in readers))


def _select_reread(inquiry: Inquiry, reading: ReadingCriterion) -> tuple[PreparedCase, ...]:
    return select_read_again(inquiry.training, inquiry.plan.agreement.readings_behind(reading))


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
