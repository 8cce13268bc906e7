"""3D Slicer's .seg.nrrd: by the names of its segments, in layers, and cut to what is drawn."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from common.errors import Level, ScanError
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.mask import Mask, read_mask
from common.imaging.scan import Scan

SHAPE = (8, 20, 18)
SPACING_MM = (0.5, 0.6, 4.0)


@pytest.fixture
def scan(geometry_of, tmp_path) -> Scan:
    voxels = np.full(SHAPE, 60, dtype=np.int16)
    return Scan(tmp_path / "ct", voxels, geometry_of(shape=SHAPE, spacing_mm=SPACING_MM))


ICH, IVH = np.zeros((2, *SHAPE), dtype=bool)
ICH[2:6, 5:15, 5:14] = True
IVH[4:7, 13:17, 10:16] = True
EXPECTED = np.where(IVH, 2, ICH).astype(np.uint8)


def write(path: Path, layers: list[np.ndarray], segments: list[dict[str, object]], start=(0, 0, 0)) -> Path:
    """As 3D Slicer 5.6 writes it; `start` is the voxel (slice, row, column) at which the file begins."""
    slices, rows, columns = layers[0].shape
    x, y, z = SPACING_MM
    origin = (-11 + start[2] * x, 7 + start[1] * y, 50 + start[0] * z)
    several = len(layers) > 1
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        "# http://teem.sourceforge.net/nrrd/format.html",
        "type: unsigned char",
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{len(layers)} ' if several else ''}{columns} {rows} {slices}",
        f"space directions: {'none ' if several else ''}({x},0,0) (0,{y},0) (0,0,{z})",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "encoding: gzip",
        f"space origin: ({','.join(str(value) for value in origin)})",
    ]
    for index, segment in enumerate(segments):
        lines += [f"Segment{index}_{key}:={value}" for key, value in segment.items()]
    content = np.stack(layers, axis=-1).astype(np.uint8).tobytes()
    path.write_bytes("\n".join([*lines, "", ""]).encode() + gzip.compress(content))
    return path


def describe(name: str, value: int, layer: int = 0, code: str = "SCT^85756007^Tissue") -> dict[str, object]:
    listed = "Segmentation category and type - 3D Slicer General Anatomy list"
    entry = (
        f"TerminologyEntry:{listed}~SCT^85756007^Tissue~{code}~^^~Anatomic codes - DICOM master list~^^~^^|"
    )
    return {
        "ID": f"Segment_{value}",
        "LabelValue": value,
        "Layer": layer,
        "Name": name,
        "Tags": f"Segmentation.Status:completed|{entry}",
    }


def read(path: Path, scan: Scan, labels: MaskLabels | None = None) -> Mask:
    return read_mask(path, scan, labels or MaskLabels())


def refuse(path: Path, scan: Scan) -> str:
    with pytest.raises(ScanError) as caught:
        read(path, scan)
    return str(caught.value)


def test_segments_that_overlap_lie_in_layers_and_are_read(tmp_path, scan):
    path = write(tmp_path / "a.seg.nrrd", [ICH, IVH], [describe("ICH", 1), describe("IVH", 1, layer=1)])

    mask = read(path, scan)

    assert np.array_equal(mask.voxels, EXPECTED)
    both_ml = np.count_nonzero(ICH & IVH) * np.prod(SPACING_MM) / 1000
    assert [note.level for note in mask.notes] == [Level.KNOW]
    assert f"{both_ml:.2f} ml are marked both as ICH and as IVH" in mask.notes[0].what


def test_layers_without_known_names_are_refused(tmp_path, scan):
    named = [describe("Segment_1", 1), describe("Segment_2", 1, layer=1)]
    path = write(tmp_path / "a.seg.nrrd", [ICH, IVH], named)
    assert "'Segment_1' (SCT:85756007) is not known" in refuse(path, scan)
    labels = MaskLabels(ich_names=("Segment_1",), ivh_names=("Segment_2",))
    assert np.array_equal(read(path, scan, labels).voxels, EXPECTED)


def test_layers_that_nobody_names_are_refused_with_what_to_do(tmp_path, scan):
    assert "holds 2 layers" in refuse(write(tmp_path / "a.nrrd", [ICH, IVH], []), scan)


def test_names_count_and_not_numbers(tmp_path, scan):
    """Whoever draws the IVH first gets it as label 1, which site.toml calls ICH."""
    turned = np.where(EXPECTED == 2, 1, 2) * (EXPECTED > 0)
    path = write(tmp_path / "a.seg.nrrd", [turned], [describe("IVH", 1), describe("ICH", 2)])

    mask = read(path, scan)

    assert np.array_equal(mask.voxels, EXPECTED)
    assert [note.level for note in mask.notes] == [Level.KNOW]
    assert "label 1 is named 'IVH'" in mask.notes[0].what


def test_numbers_count_where_no_name_is_known(tmp_path, scan):
    path = write(tmp_path / "a.seg.nrrd", [EXPECTED], [describe("Segment_1", 1), describe("Segment_2", 2)])
    mask = read(path, scan)
    assert np.array_equal(mask.voxels, EXPECTED)
    (note,) = mask.notes
    assert note.level is Level.LOOK
    assert f"'Segment_1', number 1, as ICH ({mask.measured.ich_ml:.1f} ml)" in note.what
    assert f"'Segment_2', number 2, as IVH ({mask.measured.ivh_ml:.1f} ml)" in note.what


def test_an_empty_segment_of_a_known_name_forbids_to_go_by_numbers(tmp_path, scan):
    """By number, what was drawn in the wrong segment would be IVH."""
    named = [describe("ICH", 1), describe("Segment_2", 2)]
    path = write(tmp_path / "a.seg.nrrd", [ICH * np.uint8(2)], named)
    assert "'Segment_2' (SCT:85756007) is not known" in refuse(path, scan)


def test_a_mixture_of_known_and_unknown_names_is_refused(tmp_path, scan):
    path = write(tmp_path / "a.seg.nrrd", [EXPECTED], [describe("ICH", 1), describe("Segment_2", 2)])
    assert "'Segment_2' (SCT:85756007) is not known" in refuse(path, scan)
    stray = EXPECTED.copy()
    stray[0, 0, 0] = 7
    path = write(tmp_path / "b.seg.nrrd", [stray], [describe("ICH", 1), describe("IVH", 2)])
    assert "segment 7 without a name is not known" in refuse(path, scan)


def test_a_code_of_3d_slicers_terminology_says_what_a_segment_is(tmp_path, scan):
    named = [describe("A", 1, code="SCT^274100004^Cerebral hemorrhage")]
    mask = read(write(tmp_path / "a.seg.nrrd", [ICH], named), scan)
    assert np.array_equal(mask.voxels, ICH)


@pytest.mark.parametrize("start", [(0, 0, 0), (1, 4, 3), (2, 5, 5)])
def test_a_file_that_is_cut_to_what_is_drawn_lies_on_its_ct(tmp_path, scan, start):
    part = EXPECTED[start[0] : 7, start[1] : 18, start[2] : 17]
    segments = [describe("ICH", 1), describe("IVH", 2)]

    mask = read(write(tmp_path / "a.seg.nrrd", [part], segments, start), scan)

    assert np.array_equal(mask.voxels, EXPECTED)
    assert [note.level for note in mask.notes] == [Level.KNOW]
    assert "holds a part of its CT's grid" in mask.notes[0].what
    assert mask.volumes().ivh_ml == pytest.approx(np.count_nonzero(IVH) * np.prod(SPACING_MM) / 1000)


def test_an_empty_segmentation_is_refused(tmp_path, scan):
    path = write(tmp_path / "a.seg.nrrd", [EXPECTED * 0], [describe("ICH", 1)])
    assert "the mask is empty" in refuse(path, scan)
