"""A thin series takes little more memory than its voxels: slices are decoded one by one into one array."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.common.imaging.head_series import Acquisition, write_planes

MEASURE = """
import resource, sys
from pathlib import Path
import numpy, pydicom, pydicom.pixels, SimpleITK
from common.imaging.reader import read_scan
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
read_scan(Path(sys.argv[2]))
before = peak()
scan = read_scan(Path(sys.argv[1]))
print(peak() - before, scan.voxels.nbytes, scan.voxels.dtype)
"""


def test_the_peak_is_little_more_than_the_voxels(tmp_path):
    """The import's share is taken by a small series that is read first."""
    small = write_planes(tmp_path / "small", Acquisition())
    large = write_planes(tmp_path / "large", Enlarged(heights_mm=[2.0 * index for index in range(64)]))

    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(large), str(small)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[4],
    )
    taken, voxels, dtype = measured.stdout.split()

    assert dtype == "int16"
    assert int(voxels) == 64 * 704 * 640 * 2
    assert int(taken) < 1.3 * int(voxels)


class Enlarged(Acquisition):
    """The small head with each voxel sixteen times in the plane: as large as a scanner's, and made fast."""

    def __init__(self, heights_mm: list[float]) -> None:
        super().__init__(heights_mm=heights_mm)
        small = self.hu()
        self.rows, self.columns, self.spacing_mm = 44 * 16, 40 * 16, (5.0 / 16, 4.5 / 16)
        self.voxels = small

    def hu(self) -> np.ndarray:
        small = getattr(self, "voxels", None)
        return super().hu() if small is None else _Repeated(small)


class _Repeated:
    """One slice at a time."""

    def __init__(self, small: np.ndarray) -> None:
        self.small = small

    def __getitem__(self, index: int) -> np.ndarray:
        return np.kron(self.small[index], np.ones((16, 16), np.int16))
