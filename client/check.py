"""Everything that is wrong with a site's folder, told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from client.intake import Intake, inspect_site
from client.scans import mask_labels
from client.site import SiteSettings
from common.cohort.patient import Patient
from common.errors import CohortError, Finding, ScanError, SiteError
from common.imaging.mask import read_mask
from common.imaging.scan import read_scan


@dataclass(frozen=True)
class Checkup:
    """A site's folder as found.

    Attributes
    ----------
    screened, usable : int
        Patients in the table, and those without a finding.
    findings : tuple of Finding
        Every one; none if the folder is in order.
    """

    screened: int
    usable: int
    findings: tuple[Finding, ...]


def check_site(folder: Path, progress: Progress, *, pixels: bool) -> Checkup:
    """What is wrong with the folder.

    Parameters
    ----------
    folder : Path
        Holds site.toml, the table and the images.
    progress : Progress
        Shows the scans that are decoded.
    pixels : bool
        Whether every scan and mask is decoded too.
    """
    try:
        intake = inspect_site(folder)
    except CohortError as failure:
        return Checkup(0, 0, failure.findings)
    except SiteError as failure:
        return Checkup(0, 0, (Finding(str(folder), str(failure)),))
    decoded = tuple(_decode(intake, progress)) if pixels else ()
    refused = {patient.identifier for patient, _ in decoded}
    usable = [patient for patient in intake.usable if patient.identifier not in refused]
    findings = (*intake.findings, *(finding for _, finding in decoded))
    return Checkup(len(intake.table.patients), len(usable), findings)


def _decode(intake: Intake, progress: Progress) -> Iterator[tuple[Patient, Finding]]:
    task = progress.add_task("reading scans", total=len(intake.usable))
    for patient in intake.usable:
        where = f"{intake.table.path.name}, row {patient.row}, patient {patient.identifier!r}"
        for what in _unreadable(patient, intake.settings):
            yield patient, Finding(where, what, fatal=False)
        progress.advance(task)
    progress.remove_task(task)


def _unreadable(patient: Patient, settings: SiteSettings) -> Iterator[str]:
    labels = mask_labels(settings)
    pairs = ((patient.baseline_ct, patient.baseline_mask), (patient.followup_ct, patient.followup_mask))
    for ct, mask in pairs:
        if ct is None:
            continue
        try:
            scan = read_scan(ct)
            if mask is not None:
                read_mask(mask, scan, labels)
        except ScanError as refusal:
            yield str(refusal)
