"""Damaged and hostile DICOM: whatever a file's bytes are, the series is read or refused.

`python -m tests.common.imaging.fuzz_dicom 100000` tries so many files.
"""

from __future__ import annotations

import re
import resource
import struct
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from common.errors import ScanError
from common.imaging.dicom.ct_series import read_series
from common.imaging.options import ReadingOptions
from tests.common.imaging.head_series import Acquisition, describe_frames, describe_plane

WORDS = [b"-1", b"1e400", b"nan", b"inf", b"0", b"99999999999", b"\\", b"", b"\xff\xfe", b"A" * 70, b"1\\2"]
WHOLES = [0, 1, 2, 7, 255, 4096, 32767, 65535]
LENGTHS = [0, 1, 3, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 20]
OPTIONS = (ReadingOptions(), ReadingOptions(missing_slices="far-from-lesion"))


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, bytes]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.read} read, {self.refused.total()} refused, {len(self.failed)} failed"


def make_seeds(folder: Path) -> dict[str, Path]:
    """A folder for each kind of file; the first file in it is the one that is changed."""
    head = Acquisition(
        heights_mm=[40.0 * index for index in range(3)], rows=8, columns=6, spacing_mm=(25, 30)
    )
    seeds = {}
    for name in ("plain", "implicit", "headless", "packed"):
        seeds[name] = folder / name
        seeds[name].mkdir()
        for index in range(3):
            one = describe_plane(head, index)
            if name in {"implicit", "headless"}:
                one.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
            if name == "packed":
                one.compress(RLELossless, generate_instance_uid=False)
            path = seeds[name] / f"{index}.dcm"
            one.save_as(path, enforce_file_format=True)
            if name == "headless":
                content = path.read_bytes()
                length = struct.unpack("<I", content[140:144])[0]
                path.write_bytes(content[144 + length :])
    for name in ("frames", "packed-frames"):
        seeds[name] = folder / name
        seeds[name].mkdir()
        one = describe_frames(head)
        if name == "packed-frames":
            one.compress(RLELossless, generate_instance_uid=False)
        one.save_as(seeds[name] / "0.dcm", enforce_file_format=True)
    return seeds


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """The file with one to four changes, most of them in its headers."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 5)):
        kind, place = random.random(), int(random.integers(len(changed)))
        if kind < 0.25:
            changed[place] = int(random.integers(256))
        elif kind < 0.35:
            changed[place] ^= 1 << int(random.integers(8))
        elif kind < 0.55:
            _change_length(changed, random)
        elif kind < 0.8:
            _change_value(changed, random)
        elif kind < 0.9:
            del changed[place : place + int(random.integers(1, 40))]
        elif kind < 0.95:
            changed[place:place] = changed[: int(random.integers(60))]
        else:
            del changed[place:]
        if len(changed) < 2:
            return bytes(changed)
    return bytes(changed)


def _find_elements(content: bytearray) -> list[int]:
    """Places that look like the start of an explicit element: two capitals behind four bytes."""
    return [found.start() - 4 for found in re.finditer(rb"(?<=[\0-\x7f][\0-\x7f])[A-Z]{2}", content)]


def _change_length(content: bytearray, random: np.random.Generator) -> None:
    places = _find_elements(content)
    if places:
        place = max(0, min(places[int(random.integers(len(places)))], len(content) - 8))
        length = LENGTHS[int(random.integers(len(LENGTHS)))]
        struct.pack_into("<H", content, place + 6, length & 0xFFFF)
        if random.random() < 0.3 and place + 12 <= len(content):
            struct.pack_into("<I", content, place + 8, length)


def _change_value(content: bytearray, random: np.random.Generator) -> None:
    places = _find_elements(content)
    if not places:
        return
    place = max(0, places[int(random.integers(len(places)))] + 8)
    if random.random() < 0.4 and place + 2 <= len(content):
        struct.pack_into("<H", content, place, WHOLES[int(random.integers(len(WHOLES)))])
        return
    word = WORDS[int(random.integers(len(WORDS)))]
    content[place : place + len(word)] = word[: max(0, len(content) - place)]


def try_mutations(seeds: dict[str, Path], count: int, seed: int) -> dict[str, Tally]:
    """What becomes of so many changed files, divided among the kinds."""
    random = np.random.default_rng(seed)
    tallies = {name: Tally() for name in seeds}
    originals = {name: (folder / "0.dcm").read_bytes() for name, folder in seeds.items()}
    for index in range(count):
        name = list(seeds)[index % len(seeds)]
        target, changed = seeds[name] / "0.dcm", mutate(originals[name], random)
        target.write_bytes(changed)
        try:
            read_series(seeds[name], OPTIONS[index // len(seeds) % 2])
            tallies[name].read += 1
        except ScanError as refusal:
            tallies[name].refused[str(refusal).partition(": ")[2][:60]] += 1
        except Exception:  # noqa: BLE001 - what the test looks for
            tallies[name].failed.append((traceback.format_exc(), changed))
        target.write_bytes(originals[name])
    return tallies


def main() -> None:
    """Try as many as the command line says; crashes are written to the folder crashes."""
    with TemporaryDirectory() as working:
        begun = time.perf_counter()
        tallies = try_mutations(make_seeds(Path(working)), int(sys.argv[1]), int((sys.argv[2:] or ["11"])[0]))
    for name, tally in tallies.items():
        print(f"{name:14} {tally}")
        for trace, content in tally.failed[:3]:
            print(trace, len(content), "bytes")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.perf_counter() - begun:.0f} s, peak {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
