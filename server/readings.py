"""The agreement of repeated readings as the results file holds it."""

from __future__ import annotations

from collections.abc import Sequence

from common.cohort.readings import Reading
from common.cohort.schema import BY_NAME
from common.radiomics.features import FEATURES
from common.radiomics.reproducibility import FeatureAgreement
from common.stats.estimate import Estimate
from common.study import StudyPlan
from server.phases.agreement import ComparedReadings
from server.phases.reproducibility import JudgedFeatures
from server.phases.selection import ArmSelection
from server.reading_records import (
    FeatureFilter,
    FeatureIcc,
    FeatureReading,
    ReadingAgreement,
    Reproducibility,
)
from server.records import measure_of, standing_of


def reproducibility_of(
    plan: StudyPlan, compared: Sequence[ComparedReadings], selections: Sequence[ArmSelection]
) -> Reproducibility | None:
    """The record; None if the study asked for neither."""
    filters = tuple(_filter(plan, found, found.judged) for found in selections if found.judged is not None)
    if not compared and not filters:
        return None
    agreements = tuple(_agreement(one) for one in compared)
    return Reproducibility(same_readers=plan.agreement.same_readers, agreements=agreements, filters=filters)


def _agreement(one: ComparedReadings) -> ReadingAgreement:
    found = one.estimate
    return ReadingAgreement(
        kind=one.pairing.kind,
        name=one.pairing.name,
        label=BY_NAME[one.pairing.name].label,
        reader=one.pairing.reader,
        sites=one.sites,
        used=found.n_used,
        missing=found.n_missing,
        method=found.method,
        agreement=measure_of(found.value, found.interval, found.method, found.status),
    )


def _filter(plan: StudyPlan, found: ArmSelection, judged: JudgedFeatures) -> FeatureFilter:
    radiomics = plan.radiomics
    retained = judged.retained if judged.agreements else [False] * len(FEATURES)
    return FeatureFilter(
        arm=found.arm.name,
        sites=found.arm.sites,
        form=radiomics.icc_form,
        threshold=radiomics.icc_threshold,
        judged=radiomics.icc_judged,
        readings=tuple(
            _reading(reading, sites, agreement)
            for sites, agreement in judged.agreements.items()
            for reading in agreement.estimates
        ),
        retained=tuple(name for name, kept in zip(FEATURES, retained, strict=True) if kept),
        left_out=tuple(f"{site}: {status.reason}" for site, status in sorted(judged.left_out.items())),
        standing=standing_of(judged.status),
    )


def _reading(reading: Reading, sites: tuple[str, ...], agreement: FeatureAgreement) -> FeatureReading:
    estimates = agreement.estimates[reading]
    used = [one.n_used for one in estimates if one.n_used is not None]
    return FeatureReading(
        reading=reading,
        sites=sites,
        used=max(used, default=None),
        features=tuple(_feature(name, one) for name, one in zip(FEATURES, estimates, strict=True)),
    )


def _feature(name: str, found: Estimate) -> FeatureIcc:
    interval = found.interval
    return FeatureIcc(
        name=name,
        icc=found.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )
