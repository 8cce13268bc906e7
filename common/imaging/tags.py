"""Notes from a series' headers: contrast, burned-in text, tilt, and whether they identify the patient.

The notes on identity name tags, never their values. No note leaves the site.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import Finding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_IDENTIFYING = (
    "PatientName",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientMotherBirthName",
    "AccessionNumber",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "StudyDate",
    "DeviceSerialNumber",
)
"""Tags that PS3.15 Table E.1-1 removes or replaces and that are forgotten most often; the ID may stay."""

_TILT_NOTED_DEGREES = 0.1


def find_series_notes(source: Path, datasets: list[Dataset], tilt_degrees: float) -> list[Finding]:
    """Findings on contrast, burned-in text and gantry tilt."""
    notes = []
    first = datasets[0]
    contrast = str(first.get("ContrastBolusAgent", "") or "").strip()
    if contrast:
        notes.append(
            Finding(
                str(source),
                f"a contrast agent is named (0018,0010): {contrast}",
                "check that it is noncontrast",
            )
        )
    if any(str(dataset.get("BurnedInAnnotation", "")).upper() == "YES" for dataset in datasets):
        notes.append(
            Finding(str(source), "text is burned into the pixels (0028,0301)", "check that it names nobody")
        )
    return notes + _find_tilt_notes(source, first, tilt_degrees)


def _find_tilt_notes(source: Path, first: Dataset, tilt_degrees: float) -> list[Finding]:
    if tilt_degrees > _TILT_NOTED_DEGREES:
        what = f"gantry tilt of {tilt_degrees:.1f} degrees"
        return [Finding(str(source), what, "nothing to do: corrected from the true positions")]
    stated = abs(float(first.get("GantryDetectorTilt", 0) or 0))
    upright = abs(abs(float(first.ImageOrientationPatient[4])) - 1) < 1e-4
    if stated > _TILT_NOTED_DEGREES and upright:
        what = f"the header states a gantry tilt of {stated:.1f} degrees (0018,1120), the positions show none"
        return [Finding(str(source), what, "check that the series is the original one")]
    return []


def find_identifying_tags(source: Path, datasets: list[Dataset]) -> list[Finding]:
    """A finding that lists the tags that identify the patient; empty if there are none."""
    first = datasets[0]
    present = [name for name in _IDENTIFYING if str(first.get(name, "") or "").strip()]
    if str(first.get("PatientIdentityRemoved", "")).upper() == "YES" and not present:
        return []
    if not present:
        return []
    return [
        Finding(str(source), f"headers identify the patient: {', '.join(present)}", "de-identify the files")
    ]
