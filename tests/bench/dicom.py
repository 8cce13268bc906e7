"""A thin DICOM series read with all checks on, against pydicom's bare decoding of the same files."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
from pydicom.uid import UID

from common.imaging.reader import read_scan
from tests.bench.measurement import Effort, Measurement, measure_cpu_s
from tests.common.imaging.head_series import Acquisition, describe_plane

STEP_MM = 0.625


def write_series(folder: Path, size: int, slices: int) -> None:
    """A head of which each slice has its own noise."""
    head = Acquisition(
        heights_mm=[STEP_MM * index for index in range(slices)],
        rows=size,
        columns=size,
        spacing_mm=(230 / size, 230 / size),
    )
    middle = Acquisition(
        heights_mm=[60.0, 60.0 + STEP_MM], rows=size, columns=size, spacing_mm=head.spacing_mm
    )
    one, values = describe_plane(middle, 0), middle.hu()[0]
    random = np.random.default_rng(0)
    for index, position in enumerate(head.positions_mm):
        noisy = values + np.where(values > -900, random.normal(0, 5, values.shape), 0).round()
        one.PixelData = (noisy + 1024).astype("<u2").tobytes()
        one.ImagePositionPatient, one.InstanceNumber = position, index + 1
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{index + 1}")
        one.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)


def decode_all(folder: Path) -> int:
    """What no reader of these files can do without: pydicom's own decoding."""
    return sum(int(pydicom.dcmread(path).pixel_array[0, 0]) for path in sorted(folder.iterdir()))


def run(effort: Effort) -> list[Measurement]:
    """The ratio for a series of 236 slices."""
    with TemporaryDirectory() as working:
        folder = Path(working)
        write_series(folder, *effort.choose((512, 236), (64, 12)))
        pairs = [
            (measure_cpu_s(lambda: decode_all(folder)), measure_cpu_s(lambda: read_scan(folder)))
            for _ in range(effort.repeats(9))
        ]
        bare_s, ours_s = (min(times) for times in zip(*pairs, strict=True))
    detail = f"{1000 * ours_s:.1f} ms against {1000 * bare_s:.1f} ms"
    return [
        Measurement("thin DICOM against pydicom's bare decoding", ours_s / bare_s, 1.2, "at most", detail)
    ]
