"""Notes from a series' headers: contrast, burned-in text, tilt, lossy pixels, identifying tags.

Every file is looked at: one of another kind may lie among the others.

The notes on identity name tags, never their values. No note leaves the site.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.instance import Instance
from common.imaging.scan import IDENTITY_REMARK

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
    "DeviceSerialNumber",
)
"""Tags that PS3.15 Table E.1-1 removes or replaces and that are forgotten most often.

The ID and the dates of scans may stay, because they are held against the table and nothing of them leaves.
"""

_TILT_NOTED_DEGREES = 0.1

_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81")
"""Transfer syntaxes that always lose something: JPEG baseline and extended, JPEG-LS near-lossless."""

_HARMLESS_RATIO = 10.0
"""Most compression at which a CT of the head still shows what it showed (ESR 2011: 5 to 8 for the brain)."""


def find_series_notes(source: Path, series: Sequence[Instance], tilt_degrees: float) -> list[Finding]:
    """Notes on contrast, burned-in text, lossy compression and gantry tilt."""
    where = str(source)
    notes = []
    agents = sorted({agent for instance in series if (agent := _find_contrast(instance))})
    if agents:
        what = f"a contrast agent is named (0018,0010): {', '.join(agents)}"
        notes.append(Finding(where, what, "check that it is noncontrast", Level.LOOK))
    if any(_read(instance, "BurnedInAnnotation").upper() == "YES" for instance in series):
        what = "text is burned into the pixels (0028,0301)"
        notes.append(Finding(where, what, "check that it names nobody", Level.LOOK))
    return [*notes, *_find_lossy_notes(where, series), *_find_tilt_notes(where, series[0], tilt_degrees)]


def _read(instance: Instance, keyword: str) -> str:
    """The tag's text; empty where it cannot be decoded, because no image depends on it."""
    try:
        return instance.text(keyword)
    except ScanError:
        return ""


def _find_contrast(instance: Instance) -> str:
    """What the file says of a contrast agent; empty if nothing."""
    named = _read(instance, "ContrastBolusAgent")
    return named or (
        "named in a sequence (0018,0012)" if instance.holds("ContrastBolusAgentSequence") else ""
    )


def _find_lossy_notes(where: str, series: Sequence[Instance]) -> list[Finding]:
    lossy = [
        instance
        for instance in series
        if _read(instance, "LossyImageCompression") == "01" or instance.transfer_syntax in _LOSSY
    ]
    if not lossy:
        return []
    ratio = max(_read_ratio(instance) for instance in lossy)
    stated = f"{ratio:g} to 1" if ratio else "ratio not stated"
    what = f"{len(lossy)} file(s) were compressed with loss (0028,2110; {stated})"
    if ratio > _HARMLESS_RATIO:
        return [Finding(where, what, "export the original: such pixels lie about texture", Level.LOOK)]
    return [Finding(where, what, "nothing to do; radiomics features may differ a little", Level.KNOW)]


def _read_ratio(instance: Instance) -> float:
    """How much smaller the pixels became, over all compressions; 0 where it is not stated."""
    try:
        return float(
            np.prod([float(part) for part in _read(instance, "LossyImageCompressionRatio").split("\\")])
        )
    except ValueError:
        return 0.0


def _find_tilt_notes(where: str, first: Instance, tilt_degrees: float) -> list[Finding]:
    if tilt_degrees > _TILT_NOTED_DEGREES:
        what = f"gantry tilt of {tilt_degrees:.1f} degrees"
        return [Finding(where, what, "nothing to do: corrected from the true positions", Level.KNOW)]
    try:
        stated = abs(first.number("GantryDetectorTilt") or 0.0)
        upright = abs(abs(first.numbers("ImageOrientationPatient", 6)[4]) - 1) < 1e-4
    except ScanError:
        # Malformed, or an enhanced file, whose frames have their own
        return []
    if stated > _TILT_NOTED_DEGREES and upright:
        what = f"the header states a gantry tilt of {stated:.1f} degrees (0018,1120), the positions show none"
        return [Finding(where, what, "check that the series is the original one", Level.LOOK)]
    return []


def find_identifying_tags(source: Path, series: Sequence[Instance]) -> list[Finding]:
    """A note that lists the tags that identify the patient, in any file; empty if there are none."""
    present = [name for name in _IDENTIFYING if any(instance.holds(name) for instance in series)]
    if not present:
        return []
    what = f"{IDENTITY_REMARK}: {', '.join(present)}"
    return [Finding(str(source), what, "remove these tags; dates of scans may stay", Level.LOOK)]
