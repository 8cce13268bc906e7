"""Slices of one series belong together: one patient, study and scanner's space, one way to make the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import ScanError
from common.imaging.dicom.planes import Plane

ORIENTATION_TOLERANCE = 1e-4
"""Direction cosines and pixel spacings (mm) that differ by less are the same, up to a header's last digit."""

_IDENTITY = ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID")
"""Tags that have one value in a series; no value of theirs is shown."""

_FEWEST_OF_A_KIND = 3
"""Fewer slices than this, of another kernel or rescale than all others, strayed into the series."""


def refuse_foreign_slices(source: Path, planes: Sequence[Plane]) -> None:
    """Refuse a series of which a slice is of another patient, study, space, plane, kernel or rescale.

    Raises
    ------
    ScanError
        With the name of the slice's file.
    """
    for keyword in _IDENTITY:
        _refuse_minority(source, planes, keyword, [plane.instance.text(keyword) for plane in planes])
    _refuse_other_planes(source, planes)
    for what, values in (
        ("convolution kernel", [plane.kernel for plane in planes]),
        ("rescale", [(plane.slope, plane.intercept) for plane in planes]),
    ):
        # A kernel for each part of a two-thickness protocol is usual, and so is a rescale for each slice
        if Counter(values).most_common(1)[0][1] >= _FEWEST_OF_A_KIND:
            _refuse_minority(source, planes, what, values, _FEWEST_OF_A_KIND)


def _refuse_minority(
    source: Path, planes: Sequence[Plane], what: str, values: Sequence[object], fewest: int | None = None
) -> None:
    """Refuse slices whose value is not the most usual one; those without a value pass.

    Parameters
    ----------
    source : Path
        Of the series.
    planes : sequence of Plane
    what : str
        What the values are.
    values : sequence
        One for each slice.
    fewest : int, optional
        So many slices may have another value together.

    Raises
    ------
    ScanError
        With the number of such slices and the first one's name.
    """
    counts = Counter(value for value in values if value)
    foreign = {value for value, count in counts.most_common()[1:] if fewest is None or count < fewest}
    strays = [plane for plane, value in zip(planes, values, strict=True) if value in foreign]
    if strays:
        raise ScanError(
            f"{source}: {len(strays)} of {len(planes)} slices differ from the others in {what}, first "
            f"{strays[0].name} -> remove the slices of another series"
        )


def _refuse_other_planes(source: Path, planes: Sequence[Plane]) -> None:
    """Refuse slices that are not parallel, or of another spacing.

    Raises
    ------
    ScanError
        With the first slice that differs from the most usual plane.
    """
    orientations = np.array([plane.orientation for plane in planes])
    spacings = np.array([plane.spacing_mm for plane in planes])
    for values, what in ((orientations, "orientation"), (spacings, "pixel spacing")):
        usual = np.median(values, axis=0)
        apart = np.abs(values - usual).max(axis=1)
        if apart.max() > ORIENTATION_TOLERANCE:
            odd = planes[int(apart.argmax())]
            shown = ", ".join(f"{value:g}" for value in values[int(apart.argmax())])
            raise ScanError(
                f"{source}: slices differ in {what}: {odd.name} has {shown}, most have "
                f"{', '.join(f'{value:g}' for value in usual)} -> separate the series"
            )
