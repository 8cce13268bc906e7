"""What the results file holds of repeated readings: agreement of readers, and reproducible features."""

from __future__ import annotations

from typing import Literal

from common.cohort.readings import Reader, Reading
from server.records import Count, Measure, Record, Standing


class ReadingAgreement(Record):
    """How far two readings of the same patients agree."""

    kind: Literal["volume", "marker", "suggestion"]
    """Volumes of two masks; two readers' findings; a computed suggestion beside a reader's finding."""
    name: str
    """The volume's or marker's column in the cohort table."""
    label: str
    """As the paper prints it."""
    reader: Reader
    """The repeated reading that is compared with the first; of a suggestion, whose finding it is."""
    sites: Count
    """With patients who were read so."""
    used: Count | None
    """Patients."""
    missing: Count | None
    """Patients who were read so, but for this."""
    method: str
    """The statistic, e.g. "ICC(2,1)"."""
    agreement: Measure
    """Intraclass correlation of volumes, else Cohen's kappa."""


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
    """All features in one repeated reading beside the first."""

    reading: Reading
    sites: tuple[str, ...]
    """Whose training patients were judged together."""
    used: Count | None
    """Training patients read so: of the feature that most of them have."""
    features: tuple[FeatureIcc, ...]
    """In the order of extraction."""


class FeatureFilter(Record):
    """Which features of one arm are reproducible: the others were not offered to the LASSO."""

    arm: str
    sites: tuple[str, ...]
    """Of the arm."""
    form: str
    """Of the intraclass correlation, in Shrout and Fleiss' letters."""
    threshold: float
    """What it must exceed in every reading."""
    judged: Literal["value", "low"]
    """Its estimate, or the lower end of its 95 % confidence interval."""
    readings: tuple[FeatureReading, ...]
    retained: tuple[str, ...]
    """Names of the features that exceed it in every reading, at every site that was judged by itself."""
    left_out: tuple[str, ...]
    """Sites whose readings were not judged, each with the reason."""
    standing: Standing = Standing()


class Reproducibility(Record):
    """Repeated readings."""

    same_readers: bool
    """Whether the same persons read at all sites, as the plan says."""
    agreements: tuple[ReadingAgreement, ...]
    """Empty if the study did not ask."""
    filters: tuple[FeatureFilter, ...]
    """One a federated arm; empty if no feature had to be reproducible."""
