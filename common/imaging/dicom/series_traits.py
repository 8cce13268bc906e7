"""What a series' headers say of how it was made, and what speaks against it as the CT of a hematoma."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import numpy as np

from common.errors import ScanError
from common.imaging.dicom.instance import Instance
from common.imaging.dicom.kernels import is_soft_tissue_kernel
from common.imaging.dicom.scan_headers import find_time, parse_time

SlicePlane: TypeAlias = Literal["axial", "coronal", "sagittal", "unknown"]
"""In which plane the slices lie."""

FEWEST_SLICES = 5
"""Fewer show no head: they monitor a bolus or plan a scan."""
_OBLIQUE = 0.7
"""Cosine of the angle (45 degrees) up to which a tilted slice is still of its plane."""

_LONGEST_TEXT = 200
"""Characters of a header that are kept."""
_REFORMATS = frozenset(
    {
        "MPR",
        "REFORMATTED",
        "MIP",
        "MINIP",
        "AVERAGE",
        "MAXIMUM",
        "MINIMUM",
        "PROJECTION",
        "CURVED",
        "SUBTRACTION",
        "VRT",
        "VOLREN",
        "PERFUSION",
        "PERF",
        "CBF",
        "CBV",
        "MTT",
        "TTP",
        "TMAX",
        "CSA",
        "PARALLEL",
        "RADIAL",
        "SCREEN",
    }
)
"""Words of Image Type (0008,0008) for images computed from others."""
_NO_DENSITIES = _REFORMATS - {"MPR", "REFORMATTED", "AVERAGE", "CURVED", "CSA", "PARALLEL", "RADIAL"}
"""Of these, the words for values other than a tissue's own density or a mean of some."""
_COMPUTED_WORDS = frozenset(
    {
        "mip",
        "minip",
        "mpr",
        "vrt",
        "perf",
        "perfusion",
        "ctp",
        "cbf",
        "cbv",
        "mtt",
        "tmax",
        "subtraction",
        "dsa",
        "cor",
        "sag",
    }
)
_BONE_WORDS = frozenset(
    {
        "bone",
        "bones",
        "knochen",
        "os",
        "osseux",
        "hueso",
        "ossa",
        "lung",
        "lunge",
        "sharp",
        "hr",
        "inner",
        "felsenbein",
        "petrous",
        "sinus",
    }
)
_SOFT_WORDS = frozenset(
    {
        "brain",
        "hirn",
        "cerebral",
        "cerebrum",
        "cerebro",
        "parenchym",
        "soft",
        "weich",
        "weichteil",
        "weichteile",
        "std",
        "standard",
    }
)
_CONTRAST_WORDS = frozenset(
    {
        "cta",
        "angio",
        "angiography",
        "angiographie",
        "contrast",
        "kontrast",
        "km",
        "enhanced",
        "arterial",
        "arteriell",
        "art",
        "venous",
        "venoes",
        "venös",
        "ven",
        "portal",
        "post",
        "delayed",
        "late",
        "spaet",
        "spät",
        "bolus",
        "c+",
        "+c",
    }
)
_PLAIN_WORDS = frozenset(
    {
        "nativ",
        "native",
        "plain",
        "noncontrast",
        "unenhanced",
        "nonenhanced",
        "non",
        "without",
        "ohne",
        "w/o",
        "wo",
        "nect",
        "ncct",
        "c-",
        "-c",
    }
)
_WORD = re.compile(r"w/o|c[+-]|[+-]c|[^\W\d_]+", re.IGNORECASE)
# Chinese has no blanks between words
_CHINESE = {"骨": "bone", "增强": "cta", "平扫": "plain", "脑": "brain", "软组织": "soft", "灌注": "ctp"}


@dataclass(frozen=True)
class SeriesTraits:
    """What the headers of one CT series say.

    Attributes
    ----------
    uid, study : str
        Series and Study Instance UID.
    patient : str
        PatientID, to tell people apart; it is never shown.
    number, description : str
        Series Number and Description.
    manufacturer, kernel : str
        Of the scanner, and of the reconstruction (the first value where it has several).
    thickness_mm : float or None
        The thickest slice's.
    slices : int
        Images of the series.
    plane : SlicePlane
        In which they lie.
    image_type : tuple of str
        Image Type, in capitals.
    contrast : str
        The contrast agent that is named.
    taken : datetime or None
        When the images were acquired, else when the study began.
    """

    uid: str
    study: str
    patient: str
    number: str
    description: str
    manufacturer: str
    kernel: str
    thickness_mm: float | None
    slices: int
    plane: SlicePlane
    image_type: tuple[str, ...]
    contrast: str
    taken: datetime | None

    def __str__(self) -> str:
        """The series in a message."""
        thickness = "?" if self.thickness_mm is None else f"{self.thickness_mm:g}"
        return (
            f"{self.description or 'no description'!r} ({self.slices} slices of {thickness} mm, "
            f"kernel {self.kernel or '?'}, number {self.number or '?'})"
        )

    @property
    def objections(self) -> tuple[str, ...]:
        """What forbids to take it as an axial noncontrast CT of soft tissue; empty if nothing does."""
        return (*self._object_to_images(), *self._object_to_kernel())

    @property
    def projection(self) -> str:
        """The word of Image Type (0008,0008) that says: no densities of tissue; empty without one."""
        parts = {word for part in self.image_type for word in re.split(r"[ _]", part)}
        return min(parts & _NO_DENSITIES, default="")

    @property
    def sharp(self) -> bool:
        """Whether the kernel is known to be for bone, lung or edges."""
        return is_soft_tissue_kernel(self.kernel, self.manufacturer) is False

    def _object_to_images(self) -> Iterator[str]:
        words = split_words(self.description)
        if self.slices < FEWEST_SLICES:
            yield f"{self.slices} slice(s) only"
        if self.plane != "axial":
            yield self.plane if self.plane != "unknown" else "plane unknown"
        parts = {word for part in self.image_type for word in re.split(r"[ _]", part)}
        computed = sorted(parts & _REFORMATS) or sorted(words & _COMPUTED_WORDS)
        if computed:
            yield f"computed from other images ({computed[0]})"
        elif self.image_type[:1] == ("DERIVED",) and "AXIAL" not in parts:
            yield "computed from other images (DERIVED)"
        enhanced = sorted(words & _CONTRAST_WORDS) if not words & _PLAIN_WORDS else []
        if self.contrast:
            yield "a contrast agent is named"
        elif enhanced:
            yield f"described as with contrast ({enhanced[0]})"

    def _object_to_kernel(self) -> Iterator[str]:
        words = split_words(self.description)
        soft = is_soft_tissue_kernel(self.kernel, self.manufacturer)
        if soft is False:
            yield f"kernel {self.kernel} is sharp"
        elif words & _BONE_WORDS:
            yield f"described as not of soft tissue ({min(words & _BONE_WORDS)})"
        elif soft is None and not words & _SOFT_WORDS:
            yield f"kernel {self.kernel or '?'} is not known"


def split_words(text: str) -> frozenset[str]:
    """The words of a description in lower case, without numbers and signs."""
    chinese = {word for sign, word in _CHINESE.items() if sign in text}
    return frozenset(_WORD.findall(text.lower())) | chinese


def read_traits(series: Sequence[Instance]) -> SeriesTraits:
    """What the headers of one series say; what cannot be decoded counts as missing.

    Parameters
    ----------
    series : sequence of Instance
        Its files, at least one.
    """
    first = series[0]
    sizes = [read_size(instance) for instance in series]
    known = [thickness for _, thickness in sizes if thickness is not None]
    return SeriesTraits(
        uid=_read_text(first, "SeriesInstanceUID"),
        study=_read_text(first, "StudyInstanceUID"),
        patient=_read_text(first, "PatientID"),
        number=_read_text(first, "SeriesNumber"),
        description=_read_text(first, "SeriesDescription"),
        manufacturer=_read_text(first, "Manufacturer"),
        kernel=_read_text(first, "ConvolutionKernel").split("\\")[0].strip(),
        thickness_mm=max(known) if known else None,
        slices=sum(slices for slices, _ in sizes),
        plane=_find_plane(_read_text(first, "ImageOrientationPatient")),
        image_type=tuple(_read_text(first, "ImageType").upper().split("\\")),
        contrast=_read_text(first, "ContrastBolusAgent"),
        taken=find_time(first) or parse_time(_read_text(first, "StudyDate"), _read_text(first, "StudyTime")),
    )


def read_size(instance: Instance) -> tuple[int, float | None]:
    """How many slices a file holds, and their thickness in mm; None where it is not written."""
    return max(int(_read_number(instance, "NumberOfFrames") or 1), 1), _read_number(
        instance, "SliceThickness"
    )


_GROUPS = {
    "ConvolutionKernel": "CTReconstructionSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
}
"""Where an enhanced CT keeps what single-slice CT has at the top (PS3.3 C.7.6.16)."""


def _read_text(instance: Instance, keyword: str) -> str:
    """The tag's text; empty where it is missing or cannot be decoded."""
    try:
        text = instance.text(keyword)
        text = text or (_read_in_groups(instance, keyword) if keyword in _GROUPS else "")
    except ScanError:
        return ""
    # A header may hold anything, and messages go to terminals
    return "".join(sign if sign.isprintable() else "?" for sign in text[:_LONGEST_TEXT])


def _read_in_groups(instance: Instance, keyword: str) -> str:
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in instance.items(groups)[:1]:
            for item in group.items(_GROUPS[keyword]):
                return item.text(keyword)
    return ""


def _read_number(instance: Instance, keyword: str) -> float | None:
    try:
        number = float(_read_text(instance, keyword))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _find_plane(orientation: str) -> SlicePlane:
    """The plane of Image Orientation (Patient): by the largest part of its normal."""
    try:
        across, down = np.array([float(part) for part in orientation.split("\\")]).reshape(2, 3)
    except ValueError:
        return "unknown"
    normal = np.abs(np.cross(across, down))
    planes: tuple[SlicePlane, ...] = ("sagittal", "coronal", "axial")
    fitting = [plane for plane, part in zip(planes, normal, strict=True) if part >= _OBLIQUE]
    return fitting[0] if fitting else "unknown"
