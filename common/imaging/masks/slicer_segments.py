"""3D Slicer's segmentations (.seg.nrrd): named segments, in layers where they overlap.

The header says of each segment its name, label value, layer and terminology
(slicer.readthedocs.io, "Segmentations", file format of .seg.nrrd).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding, Level
from common.imaging.masks.label_names import NamedSegment, find_meanings, interpret_segments
from common.imaging.masks.labels import ICH, IVH, NEITHER, MaskLabels
from common.imaging.orientation import Stack, orient
from common.imaging.volumes.formats import NRRD, has_suffix
from common.imaging.volumes.integrity import read_beginning, read_stored_numbers
from common.imaging.volumes.nrrd import read_nrrd_header
from common.imaging.volumes.volume import Volume
from common.imaging.volumes.volume_header import require_volume
from common.types import Labels

_ENTRY = re.compile(r"^Segment(\d{1,4})_(Name|LabelValue|Layer|Tags):=(.*)$")
_TERMINOLOGY = re.compile(r"TerminologyEntry:[^|]*?~[^|~]*~([^|~^]+)\^([^|~^]+)\^")
"""The list's name, the category, and the type as scheme^value^meaning."""

_WORDS = {ICH: "ICH", IVH: "IVH", NEITHER: "neither"}


@dataclass(frozen=True)
class NamedLabel:
    """A segment of such a file.

    Attributes
    ----------
    segment : NamedSegment
        Names and codes; numbered as in the header.
    layer : int
        Which of the numbers of each voxel.
    value : int
        That number where the segment is.
    """

    segment: NamedSegment
    layer: int
    value: int


def read_named_labels(path: Path) -> tuple[NamedLabel, ...]:
    """The segments that a NRRD file describes; none in a file of any other program or format.

    Raises
    ------
    ScanError
        If the file cannot be read.
    """
    if not has_suffix(path, NRRD):
        return ()
    header = re.split(rb"\r?\n\r?\n", read_beginning(path), maxsplit=1)[0].decode(errors="replace")
    entries: dict[int, dict[str, str]] = {}
    for line in header.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            entries.setdefault(int(entry[1]), {})[entry[2]] = entry[3].strip()
    return tuple(
        NamedLabel(
            NamedSegment(index, (entry["Name"],), _read_codes(entry.get("Tags", ""))),
            _read_whole(entry.get("Layer", ""), 0),
            _read_whole(entry.get("LabelValue", ""), index + 1),
        )
        for index, entry in sorted(entries.items())
        if entry.get("Name")
    )


def _read_codes(tags: str) -> tuple[str, ...]:
    return tuple(f"{scheme}:{value}" for scheme, value in _TERMINOLOGY.findall(tags))


def _read_whole(text: str, otherwise: int) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text) else otherwise


def read_layers(path: Path) -> Volume:
    """The voxels of a NRRD file, shape (slices, rows, columns, layers).

    Raises
    ------
    ScanError
        If it cannot be read, or its geometry is impossible.
    """
    header = require_volume(read_nrrd_header(path, layered=True))
    # Voxels first: only then is it known that there are as many slices as the header says
    stored = read_stored_numbers(header)
    columns, rows, slices = header.steps_mm.T
    positions = header.origin_mm + np.arange(len(stored))[:, None] * slices
    voxels, geometry = orient(Stack(path, stored, columns, rows, positions))
    return Volume(path, voxels["layers"], geometry, header.notes, header.flaw)


def flag_named_labels(
    path: Path, layers: NDArray[Any], named: tuple[NamedLabel, ...], labels: MaskLabels
) -> tuple[Labels, tuple[Finding, ...]] | None:
    """Bits of ICH and IVH by the segments' names; None if no name is known, so that their numbers must tell.

    A segment without a voxel counts: where "ICH" is empty and "Segment_2" is not, the numbers tell nothing.

    Parameters
    ----------
    path : Path
    layers : array of shape (..., layers)
        Label values.
    named : tuple of NamedLabel
        What the header says.
    labels : MaskLabels
        The site's.

    Raises
    ------
    ScanError
        If some names are known and others are not, or a value is not described.
    """
    shown = _find_shown(layers, named)
    if not any(find_meanings(label.segment, labels) for label in named) and layers.shape[-1] == 1:
        return None
    strays = _find_strays(layers, shown)
    if strays:
        strays_named = [NamedSegment(value, ("",)) for value in strays]
        interpret_segments(path, strays_named, labels)
    meanings = interpret_segments(path, [label.segment for label in shown], labels)
    flags = np.zeros(layers.shape[:-1], dtype=np.uint8)
    for label in shown:
        flags[layers[..., label.layer] == label.value] |= meanings[label.segment.number]
    return flags, _note_contradictions(path, shown, meanings, labels)


def note_numbers(
    path: Path,
    layer: NDArray[Any],
    named: tuple[NamedLabel, ...],
    labels: MaskLabels,
    volumes_ml: NDArray[np.float64],
) -> Finding:
    """What each segment was taken for, of whose names none is known.

    Parameters
    ----------
    path : Path
    layer : array of shape (slices, rows, columns)
        Label values.
    named : tuple of NamedLabel
        What the header says.
    labels : MaskLabels
        The site's.
    volumes_ml : float array, shape (slices,)
        Of a voxel of each slice.
    """
    meanings = _read_numbers(labels)
    counts = {label: np.count_nonzero(layer == label.value, axis=(1, 2)) for label in named}
    shown = [
        f"{label.segment.names[0][:60]!r}, number {label.value}, "
        f"as {_WORDS[meanings.get(label.value, NEITHER)]} ({count @ volumes_ml:.1f} ml)"
        for label, count in counts.items()
        if count.any()
    ]
    what = (
        f"no segment's name says whether it is ICH or IVH, so that their numbers counted: {'; '.join(shown)}"
    )
    remedy = "check them, and say in site.toml under [mask] what the names mean: ich_names, ivh_names"
    return Finding(str(path), what, remedy, Level.LOOK)


def _find_shown(layers: NDArray[Any], named: tuple[NamedLabel, ...]) -> list[NamedLabel]:
    """The segments of which there is any voxel."""
    present = [set(np.unique(layers[..., layer]).tolist()) for layer in range(layers.shape[-1])]
    return [label for label in named if label.layer < len(present) and label.value in present[label.layer]]


def _find_strays(layers: NDArray[Any], shown: list[NamedLabel]) -> list[int]:
    """Values that no segment describes."""
    strays = set[int]()
    for layer in range(layers.shape[-1]):
        described = {0, *(label.value for label in shown if label.layer == layer)}
        strays |= {int(value) for value in np.unique(layers[..., layer]) if value not in described}
    return sorted(strays)


def _read_numbers(labels: MaskLabels) -> dict[int, int]:
    """What site.toml says of the numbers."""
    return {
        **dict.fromkeys(labels.ich, ICH),
        **dict.fromkeys(labels.ivh, IVH),
        **dict.fromkeys(labels.ignored, NEITHER),
    }


def _note_contradictions(
    path: Path, shown: list[NamedLabel], meanings: dict[int, int], labels: MaskLabels
) -> tuple[Finding, ...]:
    """A note where a name says something else than site.toml says of the number."""
    by_number = _read_numbers(labels)
    differing = [
        f"label {label.value} is named {label.segment.names[0][:60]!r}: "
        f"{_WORDS[meanings[label.segment.number]]}"
        for label in shown
        if by_number.get(label.value, NEITHER) != meanings[label.segment.number]
    ]
    if not differing or max(label.layer for label in shown) > 0:
        return ()
    what = f"{'; '.join(differing)}; site.toml gives the number another meaning"
    return (Finding(str(path), what, "nothing to do: the names count", Level.KNOW),)
