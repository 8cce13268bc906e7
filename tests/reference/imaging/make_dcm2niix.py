"""Writes the .nii.gz files beside it: what dcm2niix makes of the DICOM files in `head_series`.

dcm2niix v1.0.20220720 (Debian 1.0.20220720-1), from the repository's root:
python -m tests.reference.imaging.make_dcm2niix
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.common.imaging.head_series import Acquisition, write_frames, write_planes

HERE = Path(__file__).parent

TWO_THICKNESSES = [2.5 * i for i in range(24)] + [57.5 + 5 + 7.5 * i for i in range(9)]

ACQUISITIONS = {
    "upright": Acquisition(),
    "right-to-left": Acquisition(right_to_left=True),
    "tilted": Acquisition(tilt_degrees=18.0),
    "tilted-forward": Acquisition(tilt_degrees=-12.5),
    "two-thicknesses": Acquisition(heights_mm=TWO_THICKNESSES, thickness_mm=[2.5] * 24 + [7.5] * 9),
    "multi-frame": Acquisition(),
    "multi-frame-right-to-left": Acquisition(right_to_left=True),
}
"""Each file's head."""


def write_dicom(name: str, folder: Path) -> Path:
    """The DICOM folder from which a file was made."""
    acquisition = ACQUISITIONS[name]
    if name.startswith("multi-frame"):
        # Frames need not be stored in the order of their positions
        order = sorted(range(len(acquisition.heights_mm)), key=lambda index: (index % 2, index))
        return write_frames(folder / "image.dcm", acquisition, order).parent
    return write_planes(folder, acquisition)


def main() -> None:
    """Convert all."""
    for name in ACQUISITIONS:
        with TemporaryDirectory() as working:
            folder = write_dicom(name, Path(working, "dicom"))
            made = Path(working, "nifti")
            made.mkdir()
            command = ["dcm2niix", "-b", "n", "-z", "i", "-f", name, "-o", str(made), str(folder)]
            subprocess.run(command, check=True)
            for file in made.iterdir():
                shutil.copy(file, HERE / file.name)


if __name__ == "__main__":
    main()
