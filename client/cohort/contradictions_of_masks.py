"""What a patient's row says of the hemorrhage, held against the mask of the baseline CT."""

from __future__ import annotations

from collections.abc import Iterator

from common.cohort.outcome import VOLUME_TOLERANCE_ML, Volumes
from common.cohort.patient import Patient
from common.errors import Finding, Level

_REMEDY = "correct the table or the mask"


def find_contradicted_flags(where: str, patient: Patient, measured: Volumes) -> Iterator[Finding]:
    """Flags of the table that the mask contradicts; a blank cell contradicts nothing.

    A location (lobar, deep, infratentorial) cannot be told from a mask, and is not judged.

    Parameters
    ----------
    where : str
        Row and patient, for messages.
    patient : Patient
        The row.
    measured : Volumes
        Of the baseline mask, in ml.
    """
    has_ich, has_ivh = measured.ich_ml > VOLUME_TOLERANCE_ML, measured.ivh_ml > VOLUME_TOLERANCE_ML
    ivh, primary = patient.flag("ivh"), patient.flag("primary_ivh")
    contradictions = (
        (ivh is False and has_ivh, f"ivh is no in the table, the mask marks {measured.ivh_ml:.2f} ml of IVH"),
        (ivh is True and not has_ivh, "ivh is yes in the table, the mask marks no IVH"),
        (
            primary is True and has_ich,
            f"primary_ivh is yes in the table, the mask marks {measured.ich_ml:.2f} ml of ICH",
        ),
        (primary is False and not has_ich, "primary_ivh is no in the table, the mask marks no ICH"),
    )
    for contradicted, what in contradictions:
        if contradicted:
            yield Finding(where, what, _REMEDY, Level.LOOK)
