"""DICOM SEG: binary, fractional and label-map segments, frame by frame at their own positions (PS3.3 C.8.20).

pydicom reads the frames. highdicom, against which the tests compare, builds volumes of even steps alone,
and a head CT may be tilted or have two thicknesses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding, Level, ScanError
from common.imaging.dicom.dicom_values import Tags
from common.imaging.dicom.instance import UNREADABLE
from common.imaging.masks.label_names import NamedSegment, interpret_segments
from common.imaging.masks.label_planes import LabelPlane, lay_planes, stack_planes
from common.imaging.masks.labels import NEITHER, MaskLabels
from common.imaging.masks.shared_voxels import resolve_overlap
from common.imaging.scan import Scan
from common.imaging.volumes.volume import Volume
from common.types import Labels, Reals

_MOST_PIXELS = 1 << 30
"""Of all frames: 4096 frames of 512 x 512."""
_MOST_FRAMES = 1 << 16

_TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where a frame lies, and which segment it shows; None in a label map, whose pixels are the numbers."""

    position_mm: Reals
    across_mm: Reals
    down_mm: Reals
    segment: int | None


def read_seg(tags: Tags, scan: Scan, labels: MaskLabels) -> Volume:
    """ICH (1), IVH (2) and neither (0): on the scan's grid if the frames lie on it, else on their own.

    Raises
    ------
    ScanError
        If the file is damaged or too large, a segment is not known, or the frames are no stack.
    """
    path, kind = tags.path, tags.text("SegmentationType").upper()
    if kind not in _TYPES:
        raise ScanError(f"{path}: segmentation of type {kind!r} -> export it as BINARY or LABELMAP")
    _refuse_impossible_size(tags)
    frames = _read_frames(tags, kind)
    segments = _read_segments(tags)
    planes, shown = _collect_planes(tags, kind, frames)
    unnamed = sorted(shown - {segment.number for segment in segments})
    if unnamed:
        raise ScanError(f"{path}: segment {unnamed[0]} is not described in the file -> export it again")
    meanings = interpret_segments(path, [part for part in segments if part.number in shown], labels)
    flagged = _flag_planes(planes, meanings)
    if not flagged:
        held = "; ".join(str(segment) for segment in segments if segment.number in shown)
        raise ScanError(f"{path}: has neither ICH nor IVH (it holds: {held}) -> segment the hematoma")
    notes = _note_fractions(path, kind)
    flags = lay_planes(flagged, scan.geometry)
    if flags is not None:
        voxels, overlap = resolve_overlap(path, flags, scan.geometry)
        return Volume(path, voxels, scan.geometry, (*notes, *overlap))
    volume = stack_planes(
        path, flagged, _read_step(tags, len({tuple(plane.position_mm) for plane in flagged}))
    )
    voxels, overlap = resolve_overlap(path, volume.voxels, volume.geometry)
    return Volume(path, voxels, volume.geometry, (*notes, *overlap))


def _refuse_impossible_size(tags: Tags) -> None:
    """Refuse before anything is decoded what no segmentation of a head needs.

    Raises
    ------
    ScanError
        With the size.
    """
    rows, columns, count = (tags.read_whole(name) for name in ("Rows", "Columns", "NumberOfFrames"))
    if min(rows, columns, count) < 1 or count > _MOST_FRAMES or rows * columns * count > _MOST_PIXELS:
        raise ScanError(
            f"{tags.path}: {count} frames of {columns}x{rows} pixels: impossible -> export it again"
        )


def _read_segments(tags: Tags) -> list[NamedSegment]:
    """The segments that the file describes.

    Raises
    ------
    ScanError
        If one is damaged, or two have one number.
    """
    segments = [
        NamedSegment(
            item.read_whole("SegmentNumber"),
            (item.text("SegmentLabel"), item.text("SegmentDescription")),
            item.codes("SegmentedPropertyTypeCodeSequence"),
        )
        for item in tags.items("SegmentSequence")
    ]
    if len({segment.number for segment in segments}) < len(segments):
        raise ScanError(f"{tags.path}: two segments have one number -> export it again")
    return segments


def _read_frames(tags: Tags, kind: str) -> list[_Frame]:
    """Where each frame lies, by its own functional groups or those that all share.

    Raises
    ------
    ScanError
        If a frame does not say so.
    """
    shared = tags.first("SharedFunctionalGroupsSequence")
    groups = tags.items("PerFrameFunctionalGroupsSequence")
    if len(groups) != tags.read_whole("NumberOfFrames"):
        what = f"{tags.read_whole('NumberOfFrames')} frames, but positions of {len(groups)}"
        raise ScanError(f"{tags.path}: {what} -> export it again")
    return [_read_frame(frame, shared, kind) for frame in groups]


def _read_frame(frame: Tags, shared: Tags | None, kind: str) -> _Frame:
    """One frame's place.

    Raises
    ------
    ScanError
        If it is not stated, or impossible.
    """
    position = _find_group(frame, shared, "PlanePositionSequence").numbers("ImagePositionPatient", 3)
    cosines = _find_group(frame, shared, "PlaneOrientationSequence").numbers("ImageOrientationPatient", 6)
    between_rows, between_columns = _find_group(frame, shared, "PixelMeasuresSequence").numbers(
        "PixelSpacing", 2
    )
    across, down = cosines[:3], cosines[3:]
    lengths = np.array([np.linalg.norm(across), np.linalg.norm(down)])
    if (
        np.abs(lengths - 1).max() > 1e-3
        or abs(across @ down) > 1e-3
        or min(between_rows, between_columns) <= 0
    ):
        raise ScanError(f"{frame.path}: impossible orientation or spacing of a frame -> export it again")
    segment = None
    if kind != "LABELMAP":
        segment = _find_group(frame, shared, "SegmentIdentificationSequence").read_whole(
            "ReferencedSegmentNumber"
        )
    return _Frame(position, across / lengths[0] * between_columns, down / lengths[1] * between_rows, segment)


def _find_group(frame: Tags, shared: Tags | None, keyword: str) -> Tags:
    """A functional group of the frame.

    Raises
    ------
    ScanError
        If neither the frame nor what all frames share has it.
    """
    group = frame.first(keyword) or (shared.first(keyword) if shared else None)
    if group is None:
        raise ScanError(f"{frame.path}: a frame has no {keyword} -> export it again, with the CT's geometry")
    return group


def _read_step(tags: Tags, places: int) -> float | None:
    """The distance between slices as stated; the thickness stands for it where there is one slice alone.

    Raises
    ------
    ScanError
        If it is no number.
    """
    measures = tags.first("SharedFunctionalGroupsSequence", "PixelMeasuresSequence") or tags.first(
        "PerFrameFunctionalGroupsSequence", "PixelMeasuresSequence"
    )
    keywords = ("SpacingBetweenSlices",) if places > 1 else ("SpacingBetweenSlices", "SliceThickness")
    for keyword in keywords:
        if measures is not None and measures.has(keyword):
            return abs(float(measures.numbers(keyword, 1)[0])) or None
    return None


def _collect_planes(
    tags: Tags, kind: str, frames: list[_Frame]
) -> tuple[list[tuple[_Frame, NDArray[Any]]], set[int]]:
    """The frames that mark anything, each with its segment numbers per pixel, and all numbers that occur.

    Raises
    ------
    ScanError
        If the pixels cannot be decoded.
    """
    half = tags.read_whole("MaximumFractionalValue") / 2 if kind == "FRACTIONAL" else 0.5
    if half <= 0:
        raise ScanError(f"{tags.path}: MaximumFractionalValue is {2 * half:g}: impossible -> export it again")
    background = (
        tags.read_whole("PixelPaddingValue") if kind == "LABELMAP" and tags.has("PixelPaddingValue") else 0
    )
    planes, shown = [], set[int]()
    for frame, stored in zip(frames, _decode_frames(tags), strict=True):
        if frame.segment is None:
            numbers = np.where(stored == background, 0, stored)
            shown |= {int(number) for number in np.unique(numbers)} - {0}
        else:
            numbers = stored >= half
            shown |= {frame.segment} if numbers.any() else set()
        if numbers.any():
            planes.append((frame, numbers))
    return planes, shown


def _decode_frames(tags: Tags) -> Iterator[NDArray[Any]]:
    """The stored pixels of each frame, one after the other.

    Raises
    ------
    ScanError
        If they cannot be decoded, or are no plane.
    """
    shape = (tags.read_whole("Rows"), tags.read_whole("Columns"))
    if tags.read_whole("BitsAllocated") == 1 and not _is_compressed(tags):
        yield from _unpack_bits(tags, shape)
        return
    from pydicom.pixels.utils import iter_pixels

    iterator = None
    for _ in range(tags.read_whole("NumberOfFrames")):
        try:
            iterator = iterator or iter_pixels(tags.dataset, raw=True)
            stored = next(iterator)
        except (*UNREADABLE, StopIteration) as failure:
            what = f"pixels cannot be decoded ({type(failure).__name__})"
            raise ScanError(f"{tags.path}: {what} -> copy or export it again") from None
        if stored.shape != shape:
            raise ScanError(f"{tags.path}: a frame has shape {stored.shape}, not rows and columns")
        yield stored


def _is_compressed(tags: Tags) -> bool:
    """Whether each frame is compressed by itself.

    Raises
    ------
    ScanError
        If the file does not say how it is encoded.
    """
    try:
        return bool(tags.dataset.file_meta.TransferSyntaxUID.is_compressed)
    except UNREADABLE as failure:
        what = f"does not say how it is encoded ({type(failure).__name__})"
        raise ScanError(f"{tags.path}: {what} -> copy or export it again") from None


def _unpack_bits(tags: Tags, shape: tuple[int, int]) -> Iterator[NDArray[Any]]:
    """The frames of one bit a pixel, which follow each other without a gap (PS3.5 8.1.1).

    pydicom 3.0 refuses frames that do not end where a byte ends.

    Raises
    ------
    ScanError
        If bytes are missing.
    """
    packed, size, count = tags.data("PixelData"), shape[0] * shape[1], tags.read_whole("NumberOfFrames")
    if len(packed) < (size * count + 7) // 8:
        raise ScanError(f"{tags.path}: pixels are missing -> copy or export it again")
    content = np.frombuffer(packed, dtype=np.uint8)
    for start in range(0, size * count, size):
        part = np.unpackbits(content[start // 8 : (start + size + 7) // 8], bitorder="little")
        yield part[start % 8 : start % 8 + size].reshape(shape)


def _flag_planes(planes: list[tuple[_Frame, NDArray[Any]]], meanings: dict[int, int]) -> list[LabelPlane]:
    """The frames that show ICH or IVH, with the bits of both."""
    flagged = []
    for frame, numbers in planes:
        flags = _flag(numbers, {1: meanings[frame.segment]} if frame.segment is not None else meanings)
        if flags.any():
            flagged.append(LabelPlane(flags, frame.position_mm, frame.across_mm, frame.down_mm))
    return flagged


def _flag(numbers: NDArray[Any], meanings: dict[int, int]) -> Labels:
    flags = np.zeros(numbers.shape, dtype=np.uint8)
    for number, meaning in meanings.items():
        if meaning != NEITHER:
            flags[numbers == number] = meaning
    return flags


def _note_fractions(path: Path, kind: str) -> tuple[Finding, ...]:
    if kind != "FRACTIONAL":
        return ()
    what = "a fractional segmentation: pixels count from half of its largest value on"
    return (Finding(str(path), what, "nothing to do", Level.KNOW),)
