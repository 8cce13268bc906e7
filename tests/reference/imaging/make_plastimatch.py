"""Writes the .nrrd files beside it: what plastimatch makes of the contours in `segmentations`.

    python -m tests.reference.imaging.make_plastimatch PLASTIMATCH

with plastimatch 1.10.0 (a program of its own, `pip install plastimatch` elsewhere; it is not needed to test).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.common.imaging.head_series import Acquisition, write_planes
from tests.common.imaging.segmentations import draw_outlines, read_images, write_rtstruct


def write_references(program: str) -> None:
    """A mask for each region, contours within contours cut out."""
    with tempfile.TemporaryDirectory() as folder:
        acquisition = Acquisition()
        series = write_planes(Path(folder, "ct"), acquisition)
        path = write_rtstruct(Path(folder, "rt.dcm"), read_images(series)[0], draw_outlines(acquisition))
        command = [program, "convert", "--input", str(path), "--referenced-ct", str(series), "--xor-contours"]
        written = ["--output-prefix", str(Path(folder, "out")), "--prefix-format", "nrrd"]
        subprocess.run([*command, *written], check=True)
        for name in ("ICH", "IVH"):
            target = Path(__file__).with_name(f"contours-{name.lower()}.nrrd")
            target.write_bytes(Path(folder, "out", f"{name}.nrrd").read_bytes())


if __name__ == "__main__":
    write_references(sys.argv[1])
