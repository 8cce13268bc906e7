"""A site's patients on their way through a preparation: measured, read again, ready for models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from client.cohort.finding_report import ReportSubject, SiteReport, make_report
from client.cohort.lost_readings import LostReading
from client.cohort.refusals import PatientRefusal
from client.membership.site import SiteSettings
from common.cohort.eligibility import Flow
from common.cohort.outcome import Expansion, Volumes
from common.cohort.patient import Patient
from common.cohort.repeated_readings import Reading
from common.cohort.split import SplitPart
from common.errors import Finding, StorageError
from common.imaging.cache import CachedScan
from common.imaging.overview import Overview
from common.imaging.recipe import InputShape
from common.types import Pixels, Reals

Time: TypeAlias = Literal["baseline", "followup"]
"""Which of a patient's two CTs."""

TIMES: tuple[Time, ...] = ("baseline", "followup")

OVERVIEW_ARRAYS = ("pixels", "labels", "histogram")
"""Names of the arrays in the cache that make the picture of a scan."""


@dataclass(frozen=True)
class MeasuredPatient:
    """A patient of known volumes, with what the study's networks need.

    Attributes
    ----------
    patient : Patient
        The row of the table.
    entry : CachedScan or None
        The baseline scan in the cache; None if nothing asked for it.
    baseline, followup : Volumes or None
        In ml; of the table where it gives both, else of the masks; None where neither is known nor needed.
    followup_entry : CachedScan or None
        The follow-up scan; None if nothing asked for it.
    remarks : tuple of Finding
        On scans that cannot be used and are not needed.
    """

    patient: Patient
    entry: CachedScan | None
    baseline: Volumes | None
    followup: Volumes | None
    followup_entry: CachedScan | None = None
    remarks: tuple[Finding, ...] = ()

    @property
    def entries(self) -> dict[Time, CachedScan]:
        """The scans that were read, by time."""
        entries: tuple[tuple[Time, CachedScan | None], ...] = (
            ("baseline", self.entry),
            ("followup", self.followup_entry),
        )
        return {time: entry for time, entry in entries if entry is not None}


@dataclass(frozen=True)
class RefusedCase:
    """A patient who cannot be used, with what could be read all the same.

    Attributes
    ----------
    patient : Patient
        The row of the table, as far as it can be read.
    entries : mapping of Time to CachedScan
        The scans that were read, by time.
    views : mapping of Time to Overview
        Pictures of scans whose masks are refused.
    shares : bool
        Whether another row names the same files.
    """

    patient: Patient
    entries: Mapping[Time, CachedScan] = field(default_factory=dict, hash=False)
    views: Mapping[Time, Overview] = field(default_factory=dict, hash=False, compare=False)
    shares: bool = False

    def read_overview(self, time: Time) -> Overview | None:
        """The slice with the largest lesion, or one of the scan alone; None if it was not drawn.

        Raises
        ------
        StorageError
            If the cache was damaged since it was checked.
        """
        return self.views.get(time) or _load_overview(self.entries.get(time))


@dataclass(frozen=True)
class MeasuredSite:
    """What reading a site's scans gave.

    Attributes
    ----------
    cases : tuple of MeasuredPatient
        Those who can be used, sorted by identifier.
    refusals : tuple of PatientRefusal
        Why others cannot, by their scans; a patient can have several.
    notes : tuple of Finding
        On scans and masks.
    refused : tuple of RefusedCase
        Those who cannot be used, and whose scans were read all the same; in the table's order.
    """

    cases: tuple[MeasuredPatient, ...] = ()
    refusals: tuple[PatientRefusal, ...] = ()
    notes: tuple[Finding, ...] = ()
    refused: tuple[RefusedCase, ...] = ()


@dataclass(frozen=True)
class CaseReadings:
    """What was read of one patient besides the table.

    Attributes
    ----------
    first : Volumes or None
        Of the first mask, in ml; None where nothing is compared with it.
    repeated : mapping of Reading to Volumes
        Of the further masks, in ml.
    features : mapping of Reading to float array, shape (851,)
        Radiomics of the lesion in the further masks, where the plan judges features by them.
    suggested : mapping of str to bool
        The markers' computed suggestions by column; empty where none were asked for or can be made.
    """

    first: Volumes | None = None
    repeated: Mapping[Reading, Volumes] = field(default_factory=dict)
    features: Mapping[Reading, Reals] = field(default_factory=dict)
    suggested: Mapping[str, bool] = field(default_factory=dict)


NOT_READ_AGAIN = CaseReadings()
"""Of a patient whose plan asks for no further reading."""


@dataclass(frozen=True)
class PreparedCase:
    """One patient ready for training or evaluation.

    Attributes
    ----------
    patient : Patient
        The row of the table.
    expansion : Expansion or None
        Growth under both definitions, with the reasons; None where a volume is not known.
    positive : bool
        Whether the plan's endpoint was reached.
    part : {"train", "validation", "test"}
        The part of the cohort that the patient is in.
    inputs : mapping of InputShape to Path
        .npy files, each of shape (channels, [z,] y, x), float32; one for each grid of the plan's networks.
    baseline, followup : Volumes or None
        In ml; None where they are neither known nor needed, because the outcome is a column.
    entry : CachedScan or None
        The baseline scan in the cache; None if no network and no volume asked for it.
    followup_entry : CachedScan or None
        The follow-up scan in the cache; None if nothing asked for it.
    features : float array, shape (851,), or None
        Radiomics of the lesion; None where no model of the plan takes them, or the lesion has none.
    readings : CaseReadings
        Further masks and suggested markers, where the plan asks for them.
    """

    patient: Patient
    expansion: Expansion | None
    positive: bool
    part: SplitPart
    inputs: Mapping[InputShape, Path] = field(hash=False)
    baseline: Volumes | None
    followup: Volumes | None
    entry: CachedScan | None
    followup_entry: CachedScan | None = None
    features: Reals | None = field(default=None, hash=False, compare=False)
    readings: CaseReadings = field(default=NOT_READ_AGAIN, hash=False, compare=False)

    def read_overview(self, time: Time = "baseline") -> Overview | None:
        """The slice with the largest lesion, its labels and the scan's histogram; None if it was not drawn.

        Raises
        ------
        StorageError
            If the cache was damaged since it was checked.
        """
        return _load_overview(self.entry if time == "baseline" else self.followup_entry)


@dataclass(frozen=True)
class PreparedSite:
    """A site's cohort.

    Attributes
    ----------
    settings : SiteSettings
        Its site.toml.
    flow : Flow
        Who was screened, excluded and included by the paper's criteria.
    cases : tuple of PreparedCase
        Sorted by the patients' identifiers.
    refusals : tuple of PatientRefusal
        Patients who were refused, and why.
    notes : tuple of Finding
        What is worth knowing about patients who are used.
    lost : tuple of LostReading
        Further masks of patients who are used that cannot be used, and why.
    rows : tuple of Patient
        Every row of the table that can be used.
    refused : tuple of RefusedCase
        Patients who were refused, with what could be read of their scans.
    event : str
        What the study predicts.
    """

    settings: SiteSettings
    flow: Flow
    cases: tuple[PreparedCase, ...]
    refusals: tuple[PatientRefusal, ...]
    notes: tuple[Finding, ...]
    lost: tuple[LostReading, ...] = ()
    rows: tuple[Patient, ...] = ()
    refused: tuple[RefusedCase, ...] = ()
    event: str = "Expansion"

    def report(self, study: str | None = None) -> SiteReport:
        """The report on the site, for people and programs."""
        settings = self.settings
        subject = ReportSubject(settings.name, settings.table, len(self.cases), self.flow, self.rows)
        return make_report(subject, (*self.findings, *self.notes), study)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Why rows were refused, then patients, then readings."""
        return (
            *(finding for row in self.flow.rejected for finding in row.findings),
            *(refusal.finding for refusal in self.refusals),
            *(reading.finding for reading in self.lost),
        )


def stack_inputs(cases: Sequence[PreparedCase], shape: InputShape) -> Pixels:
    """The inputs of several patients, shape (n, channels, [z,] y, x), in their order.

    Raises
    ------
    StorageError
        If a file of the cache cannot be read.
    """
    first = read_array(cases[0].inputs[shape])
    inputs = np.empty((len(cases), *first.shape), dtype=np.float32)
    for index, case in enumerate(cases):
        inputs[index] = read_array(case.inputs[shape])
    return inputs


def _load_overview(entry: CachedScan | None) -> Overview | None:
    """The entry's picture; None if it has none.

    Raises
    ------
    StorageError
        If the cache was damaged since it was checked.
    """
    if entry is None or not entry.paths.keys() >= set(OVERVIEW_ARRAYS):
        return None
    return Overview(*(read_array(entry.paths[name]) for name in OVERVIEW_ARRAYS))


def read_array(path: Path) -> NDArray[Any]:
    """An array of the cache.

    Raises
    ------
    StorageError
        If it cannot be read.
    """
    try:
        loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as failure:
        raise StorageError(
            f"{path}: the cache is damaged ({failure}) -> run again, it is made anew"
        ) from None
    return loaded
