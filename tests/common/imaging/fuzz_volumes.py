"""Damaged and hostile volumes: whatever their bytes are, they are read or refused.

`python -m tests.common.imaging.fuzz_volumes 100000` tries so many of each format; `two.nii` after it, of one.
"""

from __future__ import annotations

import gzip
import re
import resource
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813 - as its own documentation does

from common.errors import ScanError
from common.imaging.implausible import find_implausible_extent
from common.imaging.scan import Scan
from common.imaging.volumes.formats import source_files
from common.imaging.volumes.volume import read_volume

NUMBERS = [
    b"0",
    b"-1",
    b"1",
    b"2",
    b"4",
    b"100",
    b"99999999999",
    b"1e30",
    b"-1e400",
    b"nan",
    b"inf",
    b"",
    b"0x1",
]
WORDS = [
    b"none",
    b"LOCAL",
    b"LIST",
    b"/etc/passwd",
    b"../x.raw",
    b"True",
    b"(nan,0,0)",
    b"block",
    b"\xff\xfe",
    b":",
]
REALS = [0.0, -1.0, 1.0, 1e30, -1e30, 1e-40, 352.5, float("nan"), float("inf")]
WHOLES = [0, 1, -1, 2, 3, 4, 100, 255, 348, 540, 32767, -32768]


@dataclass
class Tally:
    """What became of the inputs of one format."""

    read: int = 0
    refused: Counter = field(default_factory=Counter)
    failed: list[tuple[str, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.read} read, {self.refused.total()} refused, {len(self.failed)} failed"


def make_seeds(folder: Path) -> dict[str, Path]:
    """A sound file of each format: a name for it, and the file whose bytes are changed."""
    voxels = np.random.default_rng(1).integers(-1000, 1000, (4, 6, 5)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.8, 0.9, 5.0))
    image.SetOrigin((-12.0, 5.0, 30.0))
    for name in ("one.nii", "packed.nii.gz", "pair.hdr", "raw.nrrd", "beside.nhdr", "raw.mha", "beside.mhd"):
        sitk.WriteImage(image, str(folder / name), False)
    for name in ("packed.nrrd", "packed.mha"):
        sitk.WriteImage(image, str(folder / name), True)
    affine = np.diag([-0.8, -0.9, 5.0, 1.0])
    nibabel.save(nibabel.Nifti2Image(voxels.T, affine), folder / "two.nii")
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nibabel.save(nibabel.Nifti1Image(voxels.T.astype(">i2"), affine, header), folder / "big.nii")
    tilted = affine.copy()
    tilted[1, 2] = 1.5
    one = nibabel.Nifti1Image(voxels.T, affine)
    one.set_qform(affine, 1)
    one.set_sform(tilted, 1)
    nibabel.save(one, folder / "tilted.nii")
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix not in {".img", ".raw"}}


def mutate(content: bytes, name: str, random: np.random.Generator) -> bytes:
    """The file with one to four changes."""
    if name.endswith(".gz") and random.random() < 0.7:
        return gzip.compress(mutate(gzip.decompress(content), "x.nii", random), 1)
    is_text = not name.endswith((".nii", ".gz", ".hdr"))
    changed = bytearray(content)
    for _ in range(random.integers(1, 5)):
        kind = random.random()
        if is_text and kind < 0.6:
            changed = bytearray(_change_text(bytes(changed), random))
        elif kind < 0.8:
            _change_number(changed, name, random)
        elif kind < 0.93:
            changed[random.integers(len(changed))] ^= 1 << int(random.integers(8))
        elif kind < 0.97:
            changed = changed[: random.integers(1, len(changed) + 1)]
        else:
            changed += changed[: random.integers(len(changed))]
        if not changed:
            return b""
    return bytes(changed)


def _change_text(content: bytes, random: np.random.Generator) -> bytes:
    lines = content[:1500].split(b"\n")
    index = int(random.integers(min(len(lines), 20)))
    kind = random.random()
    if kind < 0.15:
        del lines[index]
    elif kind < 0.25:
        lines.insert(index, lines[int(random.integers(len(lines)))])
    else:
        words = re.findall(rb"[^ ,()=:]+", lines[index]) or [b""]
        old = words[int(random.integers(len(words)))]
        choice = NUMBERS if re.match(rb"[-\d.]", old) or random.random() < 0.2 else WORDS
        lines[index] = lines[index].replace(old, choice[int(random.integers(len(choice)))], 1)
    return b"\n".join(lines) + content[1500:]


def _change_number(content: bytearray, name: str, random: np.random.Generator) -> None:
    """An extreme number somewhere in the header."""
    code = "hifqd"[random.integers(5)]
    size = struct.calcsize(code)
    last = min(len(content), 544) - size
    if last <= 0:
        return
    place = int(random.integers(last // 2 + 1)) * 2
    values = REALS if code in "fd" else WHOLES
    order = ">" if name.startswith("big") else "<"
    value = values[int(random.integers(len(values)))]
    struct.pack_into(order + code, content, place, value)


def try_inputs(seed_file: Path, count: int, seed: int) -> Tally:
    """What becomes of so many changed copies of a file, beside which its data file lies."""
    random, tally = np.random.default_rng(seed), Tally()
    sound = seed_file.read_bytes()
    path = seed_file.with_name(f"changed-{seed_file.name}")
    if seed_file.suffix == ".hdr":
        path.with_suffix(".img").write_bytes(seed_file.with_suffix(".img").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            content = mutate(sound, seed_file.name, random)
            path.write_bytes(content)
            _try(path, content, tally)
    return tally


def _try(path: Path, content: bytes, tally: Tally) -> None:
    try:
        source_files(path)
        volume = read_volume(path)
        find_implausible_extent(Scan(path, volume.to_hounsfield(), volume.geometry))
        tally.read += 1
    except ScanError as refusal:
        str(refusal).encode()
        tally.refused[re.sub(r"[^a-z ]", "", str(refusal).split(": ", 1)[1])[:30]] += 1
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        tally.failed.append((traceback.format_exc(), content))


def main() -> None:
    """Try inputs of every format, and say what became of them."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chosen = sys.argv[2:]
    with TemporaryDirectory() as working:
        for index, (name, path) in enumerate(make_seeds(Path(working)).items()):
            if chosen and name not in chosen:
                continue
            start = time.perf_counter()
            tally = try_inputs(path, count, index)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{name}: {tally}; {time.perf_counter() - start:.0f} s, peak {peak_mb:.0f} MB", flush=True)
            for report, content in tally.failed[:5]:
                print(report, content[:600], zlib.crc32(content), flush=True)
            print("  ", tally.refused.most_common(12), flush=True)


if __name__ == "__main__":
    main()
