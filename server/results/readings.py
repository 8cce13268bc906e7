"""How far repeated readings agree on volumes and markers, and which radiomics features are reproducible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from common.cohort.repeated_readings import FIRST, Reader
from common.cohort.schema import BY_NAME
from common.plan.sections import ReadingCriterion
from common.plan.study import StudyPlan
from common.radiomics.features import FEATURES
from common.radiomics.stable_features import FeatureAgreement
from common.stats.estimate import OK, Estimate, Status
from server.results.records import Count, Record

if TYPE_CHECKING:
    from common.program.reader_agreement import JudgedFeatures
    from common.program.selections import ArmSelection
    from server.phases.agreement import ComparedReadings


class ReadingAgreement(Record):
    """How far two or more readings of the same patients agree."""

    kind: Literal["volume", "marker", "suggestion"]
    """Volumes of two masks; two readers' findings; a computed suggestion beside a reader's finding."""
    name: str
    """The volume's or marker's column in the cohort table."""
    label: str
    """As the paper prints it."""
    reader: Reader
    """The last of `readings`: of a pair with the first reading, the repeated one."""
    readings: tuple[Reader, ...] = ()
    """All that are compared with each other; of a suggestion, whose finding it is. Not recorded before
    version 2, when the first reading stood in each pair."""
    sites: Count
    """With patients who were read so."""
    used: Count | None
    """Patients."""
    missing: Count | None
    """Patients who were read so, but for this."""
    method: str
    """The statistic, e.g. "ICC(2,1)"."""
    agreement: Estimate
    """Intraclass correlation of volumes, else Cohen's kappa of two readings and Fleiss' of more."""
    null_error: float | None = None
    """Standard error of Fleiss' kappa under agreement by chance alone (Fleiss, Nee and Landis 1979)."""
    p: float | None = None
    """Two-sided, of agreement by chance alone; of Fleiss' kappa only."""

    @property
    def compared(self) -> tuple[Reader, ...]:
        """The readings that are compared with each other, or with a suggestion."""
        return self.readings or ((self.reader,) if self.kind == "suggestion" else (FIRST, self.reader))


class FeatureIcc(Record):
    """One radiomics feature in two readings."""

    name: str
    """As PyRadiomics calls it."""
    icc: float | None
    """None where it does not exist or may not be shown."""
    low: float | None = None
    """Lower 95 % bound."""
    high: float | None = None
    """Upper 95 % bound."""


class FeatureReading(Record):
    """All features in one repeated reading beside the first, or in several readings at once."""

    reading: ReadingCriterion
    """The repeated one, "all-readers" or "all-sessions"."""
    sites: tuple[str, ...]
    """Whose training patients were judged together."""
    used: Count | None
    """Training patients read so: of the feature that most of them have."""
    features: tuple[FeatureIcc, ...]
    """In the order of extraction."""


class FeatureFilter(Record):
    """Which features of one arm are reproducible: the others were not offered to the LASSO."""

    arm: str
    """Name of the arm."""
    sites: tuple[str, ...]
    """Of the arm."""
    form: str
    """Of the intraclass correlation, in Shrout and Fleiss' letters."""
    threshold: float
    """What it must exceed in every reading."""
    judged: Literal["value", "low"]
    """Its estimate, or the lower end of its 95 % confidence interval."""
    readings: tuple[FeatureReading, ...]
    """One a reading and group of sites that were judged together."""
    retained: tuple[str, ...]
    """Names of the features that exceed it in every reading, at every site that was judged by itself."""
    left_out: tuple[str, ...]
    """Sites whose readings were not judged, each with the reason."""
    standing: Status = OK
    """Whether any feature was judged."""


class Reproducibility(Record):
    """Repeated readings."""

    same_readers: bool
    """Whether the same persons read at all sites, as the plan says."""
    agreements: tuple[ReadingAgreement, ...]
    """Empty if the study did not ask."""
    readers: tuple[str, ...] = ()
    """The readers' names in the plan, "" where it gives none. Not recorded before version 2."""
    filters: tuple[FeatureFilter, ...]
    """One a federated arm; empty if no feature had to be reproducible."""


def record_reproducibility(
    plan: StudyPlan, compared: Sequence[ComparedReadings], selections: Sequence[ArmSelection]
) -> Reproducibility | None:
    """How far readings agree, and which features are reproducible; None if the study asked for neither."""
    filters = tuple(
        _record_filter(plan, selection, selection.judged)
        for selection in selections
        if selection.judged is not None
    )
    if not compared and not filters:
        return None
    agreements = tuple(_record_agreement(readings) for readings in compared)
    return Reproducibility(
        same_readers=plan.agreement.same_readers,
        agreements=agreements,
        readers=tuple(reader.name for reader in plan.agreement.readers),
        filters=filters,
    )


def _record_agreement(compared: ComparedReadings) -> ReadingAgreement:
    estimate = compared.estimate
    return ReadingAgreement(
        kind=compared.comparison.kind,
        name=compared.comparison.name,
        label=BY_NAME[compared.comparison.name].label,
        reader=compared.comparison.reader,
        readings=compared.comparison.readings,
        sites=compared.sites,
        used=estimate.n_used,
        missing=estimate.n_missing,
        method=compared.statistic,
        agreement=estimate,
        null_error=compared.null_error,
        p=compared.p,
    )


def _record_filter(plan: StudyPlan, selection: ArmSelection, judged: JudgedFeatures) -> FeatureFilter:
    radiomics = plan.radiomics
    retained = judged.retained if judged.agreements else [False] * len(FEATURES)
    return FeatureFilter(
        arm=selection.arm.name,
        sites=selection.arm.sites,
        form=radiomics.icc_form,
        threshold=radiomics.icc_threshold,
        judged=radiomics.icc_judged,
        readings=tuple(
            _record_reading(reading, sites, agreement)
            for sites, agreement in judged.agreements.items()
            for reading in agreement.estimates
        ),
        retained=tuple(name for name, kept in zip(FEATURES, retained, strict=True) if kept),
        left_out=tuple(f"{site}: {status.reason}" for site, status in sorted(judged.left_out.items())),
        standing=judged.status,
    )


def _record_reading(
    reading: ReadingCriterion, sites: tuple[str, ...], agreement: FeatureAgreement
) -> FeatureReading:
    estimates = agreement.estimates[reading]
    used = [estimate.n_used for estimate in estimates if estimate.n_used is not None]
    return FeatureReading(
        reading=reading,
        sites=sites,
        used=max(used, default=None),
        features=tuple(
            _record_icc(name, estimate) for name, estimate in zip(FEATURES, estimates, strict=True)
        ),
    )


def _record_icc(name: str, estimate: Estimate) -> FeatureIcc:
    return FeatureIcc(name=name, icc=estimate.value, low=estimate.low, high=estimate.high)
