"""Damaged and hostile segmentations: whatever their bytes are, they are read or refused.

`python -m tests.common.imaging.fuzz_segmentations 100000` tries so many of each format.
"""

from __future__ import annotations

import re
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom.uid import RLELossless

from common.errors import ScanError
from common.imaging.masks.labels import MaskLabels
from common.imaging.masks.mask import read_mask
from common.imaging.scan import Scan
from tests.common.imaging.fuzz_volumes import NUMBERS, Tally
from tests.common.imaging.head_series import Acquisition, write_planes
from tests.common.imaging.segmentations import (
    SegType,
    cut_head,
    draw_outlines,
    read_images,
    write_rtstruct,
    write_seg,
)

SMALL = Acquisition([40.0 * index for index in range(4)], rows=22, columns=21, spacing_mm=(10.0, 9.0))
VRS = [b"US", b"DS", b"IS", b"SQ", b"OB", b"UI", b"LO", b"CS", b"FD", b"UL", b"UN", b"ST", b"AT"]
BINARY = [b"\0\0", b"\1\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"]


def make_seeds(folder: Path) -> tuple[Scan, dict[str, Path]]:
    """A scan, and a sound segmentation of each kind on it."""
    images = read_images(write_planes(folder / "ct", SMALL))
    ich = SMALL.hu() == 65
    ivh = np.roll(ich, 3, axis=2)
    segments = {"ICH": ich, "IVH": ivh}
    write_seg(folder / "binary.dcm", images, segments)
    write_seg(folder / "fractional.dcm", images, segments, SegType.FRACTIONAL)
    write_seg(folder / "map.dcm", images, {"ICH": ich, "IVH": ivh & ~ich}, SegType.LABELMAP)
    write_seg(folder / "packed.dcm", images, segments, SegType.FRACTIONAL, transfer_syntax_uid=RLELossless)
    outlines = {
        name: [contour[:, :] * [1, 1, 0] + [0, 0, SMALL.positions_mm[2][2]] for contour in contours[:2]]
        for name, contours in draw_outlines(Acquisition()).items()
    }
    write_rtstruct(folder / "contours.dcm", images[0], outlines)
    _write_layers(folder / "layers.nrrd", ich, ivh)
    scan = cut_head(SMALL, folder / "ct")
    blood = Scan(scan.source, np.full(scan.geometry.shape, 60, dtype=np.int16), scan.geometry)
    return blood, {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def _write_layers(path: Path, ich: np.ndarray, ivh: np.ndarray) -> None:
    slices, rows, columns = ich.shape
    x, y, z = SMALL.positions_mm[0]
    header = f"""NRRD0004
type: unsigned char
dimension: 4
space: left-posterior-superior
sizes: 2 {columns} {rows} {slices}
space directions: none (9,0,0) (0,10,0) (0,0,40)
kinds: list domain domain domain
encoding: raw
space origin: ({x},{y},{z})
Segment0_Name:=ICH
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment1_Name:=IVH
Segment1_LabelValue:=1
Segment1_Layer:=1

"""
    path.write_bytes(header.encode() + np.stack([ich, ivh], axis=-1).astype(np.uint8).tobytes())


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """The file with one to three changes."""
    for _ in range(random.integers(1, 4)):
        if not content:
            break
        kind = random.random()
        changed = bytearray(content)
        place = int(random.integers(len(content)))
        if kind < 0.35:
            content = _change_number(content, random)
        elif kind < 0.65:
            content = _change_element(content, random)
        elif kind < 0.85:
            changed[place] ^= 1 << int(random.integers(8))
            content = bytes(changed)
        elif kind < 0.92:
            content = content[:place] + content[place + int(random.integers(1, 9)) :]
        elif kind < 0.96:
            content = content[: max(place, 1)]
        else:
            content = content[:place] + content[place // 2 :]
    return content


def _change_number(content: bytes, random: np.random.Generator) -> bytes:
    """A number in text that becomes another, of the same length where there is room."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not found:
        return content
    match = found[int(random.integers(len(found)))]
    value = NUMBERS[int(random.integers(len(NUMBERS)))]
    size = match.end() - match.start()
    return content[: match.start()] + value[:size].ljust(size) + content[match.end() :]


def _change_element(content: bytes, random: np.random.Generator) -> bytes:
    """An element of DICOM whose type, length or value changes."""
    vr = VRS[int(random.integers(len(VRS)))]
    found = [match.start() for match in re.finditer(vr, content)]
    if not found:
        return content
    place = found[int(random.integers(len(found)))]
    kind = random.random()
    if kind < 0.25:
        return content[:place] + VRS[int(random.integers(len(VRS)))] + content[place + 2 :]
    value = BINARY[int(random.integers(len(BINARY)))]
    start = place + (2 if kind < 0.5 else 4)
    return content[:start] + value + content[start + len(value) :]


def try_inputs(scan: Scan, seed_file: Path, count: int, seed: int) -> Tally:
    """What becomes of so many changed copies of a file."""
    random, tally = np.random.default_rng(seed), Tally()
    sound = seed_file.read_bytes()
    path = seed_file.with_name(f"changed-{seed_file.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            content = mutate(sound, random)
            path.write_bytes(content)
            _try(scan, path, content, tally)
    return tally


def _try(scan: Scan, path: Path, content: bytes, tally: Tally) -> None:
    try:
        read_mask(path, scan, MaskLabels())
        tally.read += 1
    except ScanError as refusal:
        str(refusal).encode()
        tally.refused[re.sub(r"[^a-zA-Z ]", "", str(refusal).split(": ", 1)[1])[:36]] += 1
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        tally.failed.append((traceback.format_exc(), content))


def main() -> None:
    """Try inputs of every format, and say what became of them."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory() as working:
        scan, seeds = make_seeds(Path(working))
        for index, (name, path) in enumerate(seeds.items()):
            start = time.perf_counter()
            tally = try_inputs(scan, path, count, index)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{name}: {tally}; {time.perf_counter() - start:.0f} s, peak {peak_mb:.0f} MB", flush=True)
            for number, (report, content) in enumerate(tally.failed[:5]):
                if len(sys.argv) > 2:
                    Path(sys.argv[2], f"{number}-{name}").write_bytes(content)
                print(report, flush=True)
            print("  ", tally.refused.most_common(12), flush=True)


if __name__ == "__main__":
    main()
