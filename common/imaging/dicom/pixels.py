"""The Hounsfield units of a series' slices, one after the other in one array (PS3.3 C.11.1.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.planes import Plane
from common.imaging.dicom.stored import PixelLayout, StoredPixels
from common.imaging.hounsfield import AIR_HU
from common.imaging.scan import Hounsfield
from common.types import Flags

_TISSUE_HU = -500.0
"""Padding is darker, or brighter than any CT: a padding value in between would turn the patient into air."""

_INT16 = np.iinfo(np.int16)


def read_voxels(planes: Sequence[Plane]) -> tuple[Hounsfield, tuple[Finding, ...]]:
    """The slices' HU, shape (slices, rows, columns), and a note on padding that is none.

    int16 where slopes and intercepts are whole numbers and the values fit, else float32; padding is air.

    Raises
    ------
    ScanError
        If pixels cannot be decoded, or are not those of greyscale slices of one size.
    """
    files = StoredPixels()
    first = files.find(planes[0].instance)
    whole = all(plane.slope.is_integer() and plane.intercept.is_integer() for plane in planes)
    # Before memory is taken for all: a header alone could ask for any amount
    files.read(planes[0].instance, planes[0].frame)
    shape = (len(planes), first.rows, first.columns)
    volume: NDArray[Any] = np.empty(shape, np.int16 if whole else np.float32)
    bright: dict[float, str] = {}
    for index, plane in enumerate(planes):
        layout = files.find(plane.instance)
        _refuse_other_size(planes[0], first, plane, layout)
        stored = files.read(plane.instance, plane.frame)
        padding = _find_padding(stored, plane, layout.padding, bright)
        if padding is not None:
            # Its numbers need not fit where HU do
            stored = np.where(padding, stored[~padding].min(initial=stored.max()), stored)
        if volume.dtype == np.int16 and not _fits(stored, plane):
            volume = volume.astype(np.float32)
        _rescale(stored, plane, volume[index])
        if padding is not None:
            volume[index][padding] = AIR_HU
    return volume, tuple(_note_bright_padding(plane, hu) for hu, plane in bright.items())


def _refuse_other_size(first: Plane, expected: PixelLayout, plane: Plane, layout: PixelLayout) -> None:
    if (layout.rows, layout.columns) != (expected.rows, expected.columns):
        raise ScanError(
            f"{plane.instance.path.parent}: slices differ in size ({first.name}: {expected.columns} x "
            f"{expected.rows}; {plane.name}: {layout.columns} x {layout.rows}) -> separate the series"
        )


def _fits(stored: NDArray[Any], plane: Plane) -> bool:
    """Whether the slice's HU, whole numbers, are within the range of int16."""
    if stored.dtype.kind not in "iu":
        return False
    ends = [int(end) * int(plane.slope) + int(plane.intercept) for end in (stored.min(), stored.max())]
    return bool(min(ends) >= _INT16.min and max(ends) <= _INT16.max)


def _rescale(stored: NDArray[Any], plane: Plane, out: NDArray[Any]) -> None:
    """Write the slice's HU."""
    if out.dtype == np.int16 and plane.slope == 1 and stored.dtype.itemsize == 2:
        # Modulo 65536, which both may pass on the way: the sum is known to fit
        shift = np.array(int(plane.intercept) % 65536, np.uint16).view(np.int16)
        np.add(stored.view(np.int16), shift, out=out)
    else:
        out[...] = stored * plane.slope + plane.intercept


def _find_padding(
    stored: NDArray[Any], plane: Plane, bounds: tuple[float, float] | None, bright: dict[float, str]
) -> Flags | None:
    """Where the slice has padding; None where it has none.

    A padding value that would be tissue pads nothing; it is kept in `bright`, with the slice's name.
    """
    if bounds is None:
        return None
    low, high = bounds
    found = (stored >= low) & (stored <= high) if low < high else stored == low
    if not found.any():
        return None
    hu = stored[found] * plane.slope + plane.intercept
    tissue = (hu >= _TISSUE_HU) & (hu <= _INT16.max)
    if tissue.any():
        bright.setdefault(float(hu[tissue].min()), plane.name)
        found[found] = ~tissue
    return found


def _note_bright_padding(name: str, hu: float) -> Finding:
    what = f"the padding value (0028,0120) stands for {hu:g} HU, which is tissue"
    return Finding(name, what, "nothing to do: it is read as tissue", Level.KNOW)
