"""The slices of a CT series: where each lies and what its numbers mean (PS3.3 C.7.6.2, C.11.1).

A slice is a file of its own, or a frame of an enhanced multi-frame file. There, what the frames share is
written once, and the rest frame by frame, in functional groups (PS3.3 C.7.6.16); a frame's own counts first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from common.errors import ScanError
from common.imaging.dicom.instance import Instance
from common.imaging.dicom.series import MULTI_FRAME_CT
from common.types import Reals

_FAR_FROM_SQUARE = 0.1
"""Cosine beyond which rows and columns span no plane; the grid of all slices is held to less."""

_MOST_FRAMES = 20_000
"""Largest number of frames that is believed."""


@dataclass(frozen=True, eq=False)
class Plane:
    """One slice, before its pixels are decoded.

    Attributes
    ----------
    name : str
        File name and frame, for messages.
    instance : Instance
        The file.
    frame : int
        Which of the file's frames, from 0.
    orientation : Reals of shape (6,)
        Image Orientation (Patient): direction cosines of a row and of a column.
    position_mm : Reals of shape (3,)
        Image Position (Patient): the centre of the first voxel.
    spacing_mm : Reals of shape (2,)
        Between rows, between columns.
    thickness_mm : float or None
        Slice Thickness; None where the header lacks it.
    slope, intercept : float
        HU = stored value x slope + intercept.
    kernel : str
        Convolution kernel.
    """

    name: str
    instance: Instance
    frame: int
    orientation: Reals
    position_mm: Reals
    spacing_mm: Reals
    thickness_mm: float | None
    slope: float
    intercept: float
    kernel: str


def list_planes(series: Sequence[Instance]) -> list[Plane]:
    """All slices of a series, in the order of the files.

    Raises
    ------
    ScanError
        If a header lacks position, orientation, spacing or rescale, or the numbers are not HU.
    """
    planes: list[Plane] = []
    for instance in series:
        if instance.text("SOPClassUID") in MULTI_FRAME_CT:
            planes += _list_frames(instance)
        else:
            planes.append(_read_plane(instance))
    return planes


def _read_plane(instance: Instance) -> Plane:
    frames = instance.number("NumberOfFrames")
    if frames not in {None, 1.0}:
        raise ScanError(f"{instance.path}: {frames:g} frames in a file of a single slice -> export it again")
    return _describe_plane(instance.path.name, instance, 0, _Groups(instance, (), ()))


@dataclass(frozen=True)
class _Groups:
    """Where the attributes of one slice are found.

    Attributes
    ----------
    instance : Instance
        The file; it has everything itself if there are no groups.
    own, shared : tuple of Instance
        The frame's own functional groups and those that all frames share: one item each, or none.
    """

    instance: Instance
    own: tuple[Instance, ...]
    shared: tuple[Instance, ...]

    def find(self, sequence: str) -> Instance:
        """The item that holds the attributes of one group; the file itself where there are no groups.

        Raises
        ------
        ScanError
            If neither the frame nor the shared part has the group.
        """
        if not self.own and not self.shared:
            return self.instance
        for part in (*self.own, *self.shared):
            items = part.items(sequence)
            if items:
                return items[0]
        raise ScanError(f"{self.instance.path}: {sequence} is missing -> export the original series")

    def find_kernel(self) -> str:
        """The convolution kernel; empty where it is not written, as in converted files."""
        for part in (*self.own, *self.shared):
            for item in part.items("CTReconstructionSequence"):
                return item.text("ConvolutionKernel")
        return self.instance.text("ConvolutionKernel")


def _list_frames(instance: Instance) -> Iterator[Plane]:
    """The frames of an enhanced multi-frame file.

    Raises
    ------
    ScanError
        If the groups do not describe each frame.
    """
    shared = instance.items("SharedFunctionalGroupsSequence")
    own = instance.items("PerFrameFunctionalGroupsSequence")
    frames = instance.number("NumberOfFrames")
    if frames != len(own) or not 0 < len(own) <= _MOST_FRAMES:
        raise ScanError(
            f"{instance.path}: has {frames or 0:g} frames and describes {len(own)} of them "
            "-> export it again, or as single-slice CT"
        )
    for frame, groups in enumerate(own):
        name = f"{instance.path.name}, frame {frame + 1}"
        yield _describe_plane(name, instance, frame, _Groups(instance, (groups,), shared[:1]))


def _describe_plane(name: str, instance: Instance, frame: int, groups: _Groups) -> Plane:
    measures = groups.find("PixelMeasuresSequence")
    slope, intercept = _read_rescale(groups.find("PixelValueTransformationSequence"))
    return Plane(
        name,
        instance,
        frame,
        orientation=_read_orientation(groups.find("PlaneOrientationSequence")),
        position_mm=groups.find("PlanePositionSequence").numbers("ImagePositionPatient", 3),
        spacing_mm=_read_spacing(measures),
        thickness_mm=_read_thickness(measures),
        slope=slope,
        intercept=intercept,
        kernel=groups.find_kernel(),
    )


def _read_orientation(item: Instance) -> Reals:
    cosines = item.numbers("ImageOrientationPatient", 6)
    norms = np.linalg.norm(cosines.reshape(2, 3), axis=1)
    if np.abs(norms - 1).max() > 1e-3:
        raise ScanError(
            f"{item.path}: Image Orientation (Patient) has no unit vectors: {cosines} -> export it again"
        )
    if abs(cosines[:3] @ cosines[3:]) > _FAR_FROM_SQUARE:
        raise ScanError(
            f"{item.path}: Image Orientation (Patient) has rows and columns that are not at right angles: "
            f"{cosines} -> export it again"
        )
    return cosines


def _read_spacing(item: Instance) -> Reals:
    spacing = item.numbers("PixelSpacing", 2)
    if spacing.min() <= 0 or spacing.max() > 100:
        raise ScanError(
            f"{item.path}: impossible spacing {spacing[0]:g}, {spacing[1]:g} mm -> export it again"
        )
    return spacing


def _read_thickness(item: Instance) -> float | None:
    """The thickness; None where it is missing or senseless: positions count, it only confirms them."""
    try:
        thickness = item.number("SliceThickness")
    except ScanError:
        return None
    return thickness if thickness is not None and thickness > 0 else None


def _read_rescale(item: Instance) -> tuple[float, float]:
    """Slope and intercept.

    Raises
    ------
    ScanError
        If one is missing, or they do not lead to HU (PS3.3 C.11.1.1.2).
    """
    slope, intercept = item.number("RescaleSlope"), item.number("RescaleIntercept")
    if slope is None or intercept is None:
        raise ScanError(
            f"{item.path}: has no rescale slope or intercept, so no Hounsfield units -> export the original"
        )
    kind = item.text("RescaleType")
    if kind.upper() not in {"HU", "US", ""}:
        raise ScanError(f"{item.path}: pixels are {kind}, not HU -> export the conventional CT series")
    if slope == 0 or max(abs(slope), abs(intercept)) > 1e6:
        raise ScanError(
            f"{item.path}: impossible rescale slope {slope:g} or intercept {intercept:g} "
            "-> export the original"
        )
    return slope, intercept
