"""One DICOM file's headers; its pixels stay on disk until they are decoded (PS3.10).

Everything that pydicom may raise on a damaged file is caught here, around its calls alone: an error in our
own lines stays an error. Its messages and warnings may quote headers, so neither is passed on.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from common.errors import ScanError
from common.runtime.regular_file import open_regular
from common.types import Reals

UNREADABLE = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError),
    *(RuntimeError, ArithmeticError, BytesLengthException, struct.error, zlib.error, MemoryError),
)
"""What pydicom and its decoders raise on damaged files; tags are decoded only when they are read."""

_DEFERRED_BYTES = 16384
"""Larger values, which pixels are, are read when they are needed."""

_LONGEST_META = 1024
"""Preamble and group 2 are shorter."""

WANTED = (
    *("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("SeriesDescription", "SeriesNumber", "ProtocolName", "BodyPartExamined", "InstanceNumber"),
    *("ConvolutionKernel", "SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt", "PatientPosition"),
    *("Manufacturer", "ManufacturerModelName", "KVP", "AcquisitionNumber", "StudyDescription"),
    *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "LossyImageCompression", "LossyImageCompressionRatio", "PixelData"),
    *(
        "FloatPixelData",
        "DoubleFloatPixelData",
        "ContrastBolusAgent",
        "ContrastBolusAgentSequence",
        "BurnedInAnnotation",
    ),
    *("PatientID", "PatientSex", "PatientAge", "PatientBirthDate", "StudyDate", "StudyTime"),
    *("AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime"),
    *("SeriesDate", "SeriesTime", "PatientIdentityRemoved", "PatientName", "PatientAddress"),
    *("PatientTelephoneNumbers", "OtherPatientIDs", "OtherPatientNames", "PatientMotherBirthName"),
    *("AccessionNumber", "InstitutionName", "InstitutionAddress", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "OperatorsName", "DeviceSerialNumber"),
)
"""The tags that are read; all others are passed over."""

TAGS = {keyword: tag for keyword in WANTED if (tag := tag_for_keyword(keyword)) is not None}
"""Number of each tag."""

_TAGS_TO_READ: list[Any] = list(TAGS.values())

_BINARY = frozenset(
    tag for tag in TAGS.values() if dictionary_VR(tag)[:2] in {"US", "SQ", "OW", "OB", "OF", "OD"}
)
"""Tags of binary values: what would be spaces in a text is a value in them."""

_ESCAPE = b"\x1b"
"""Begins another character set within a text (ISO 2022)."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Instance:
    """A DICOM file, or an item of one of its sequences.

    Attributes
    ----------
    path : Path
        The file.
    dataset : pydicom Dataset
        Its tags, those of `WANTED` alone.
    raw : dict of int to any
        Each tag's value as it is stored: what is equal here is equal, without the cost of decoding it.
    """

    path: Path
    dataset: Dataset
    raw: dict[int, Any] = field(repr=False)

    @cached_property
    def transfer_syntax(self) -> str:
        """UID of how the file is encoded; empty where it does not say so.

        Raises
        ------
        ScanError
            If it cannot be decoded.
        """
        try:
            return str(self.dataset.file_meta.get("TransferSyntaxUID", ""))
        except UNREADABLE as failure:
            log_failure(self.path, failure)
            raise ScanError(describe_failure(self.path, failure)) from None

    def holds(self, keyword: str) -> bool:
        """Whether the tag is there and has a value."""
        tag = TAGS[keyword]
        value = self.raw.get(tag, b"")
        if isinstance(value, bytes):
            return bool(value if tag in _BINARY else value.strip(b" \0"))
        # Deferred values are not there yet; the number 0 is one
        return value is None or isinstance(value, int | float) or bool(value)

    def text(self, keyword: str) -> str:
        """The tag's text without spaces around it; several values are separated by backslashes.

        Raises
        ------
        ScanError
            If it cannot be decoded.
        """
        tag = TAGS[keyword]
        stored = self.raw.get(tag, b"")
        if isinstance(stored, bytes) and tag not in _BINARY and stored.isascii() and _ESCAPE not in stored:
            # The same in every character set, and a tenth of the cost of asking pydicom
            return stored.decode("ascii").strip(" \0")
        value = self._decode(keyword)
        if isinstance(value, pydicom.Sequence):
            # pydicom would decode each item to write it, and fail on a damaged one
            return ""
        several = isinstance(value, MultiValue | list)
        return "\\".join(str(part) for part in value) if several else str(value).strip()

    def texts(self, keyword: str) -> tuple[str, ...]:
        """The tag's values in capitals.

        Raises
        ------
        ScanError
            If they cannot be decoded.
        """
        return tuple(part.strip().upper() for part in self.text(keyword).split("\\") if part.strip())

    def number(self, keyword: str) -> float | None:
        """The tag's number; None without a value.

        Raises
        ------
        ScanError
            If it is not one finite number.
        """
        if not self.holds(keyword):
            return None
        return float(self.numbers(keyword, 1)[0])

    def numbers(self, keyword: str, count: int) -> Reals:
        """The tag's numbers.

        Raises
        ------
        ScanError
            If the tag is missing or does not hold so many finite numbers.
        """
        if not self.holds(keyword):
            raise ScanError(f"{self.path}: {keyword} is missing -> export the original series")
        tag = TAGS[keyword]
        stored = self.raw[tag]
        parts: Any
        if isinstance(stored, bytes) and tag not in _BINARY:
            parts = stored.strip(b" \0").split(b"\\")
        else:
            value = self._decode(keyword)
            parts = value if isinstance(value, MultiValue | list) else [value]
        try:
            numbers = np.array([float(part) for part in parts])
        except (TypeError, ValueError, OverflowError):
            numbers = np.empty(0)
        if numbers.shape != (count,) or not np.isfinite(numbers).all():
            raise ScanError(
                f"{self.path}: {keyword} does not hold {count} number(s) -> export the original series"
            )
        return numbers

    def count(self, keyword: str) -> int:
        """The tag's whole number.

        Raises
        ------
        ScanError
            If it is missing or none.
        """
        number = float(self.numbers(keyword, 1)[0])
        if not number.is_integer():
            raise ScanError(f"{self.path}: {keyword} is no whole number -> export the original series")
        return int(number)

    def items(self, keyword: str) -> tuple[Instance, ...]:
        """The items of a sequence; none without the sequence.

        Raises
        ------
        ScanError
            If it is no sequence.
        """
        value = self._decode(keyword)
        if not value:
            return ()
        if not isinstance(value, pydicom.Sequence):
            raise ScanError(f"{self.path}: {keyword} is no sequence -> copy or export it again")
        return tuple(_wrap(self.path, item) for item in value)

    def _decode(self, keyword: str) -> Any:
        """The tag's value by pydicom; empty text without a value.

        Raises
        ------
        ScanError
            If it cannot be decoded.
        """
        try:
            value = self.dataset.get(keyword)
        except UNREADABLE as failure:
            log_failure(self.path, failure)
            raise ScanError(
                f"{self.path}: {keyword} cannot be decoded ({type(failure).__name__}) -> copy or export it "
                "again"
            ) from None
        return "" if value is None else value


def _wrap(path: Path, dataset: Dataset) -> Instance:
    return Instance(path, dataset, {int(element.tag): element.value for element in dataset.values()})


def open_instance(path: Path) -> Instance | None:
    """The headers of a file; None if it is not DICOM.

    A file without the preamble is one if it begins with a tag of group 2 or 8.

    Raises
    ------
    ScanError
        If it is DICOM, and damaged.
    """
    try:
        with open_regular(path) as stream:
            start = stream.read(_LONGEST_META)
            headless = start[128:132] != b"DICM"
            if headless and not _begins_with_tag(start):
                return None
            _refuse_deflated(path, start)
            stream.seek(0)
            dataset = pydicom.dcmread(stream, _DEFERRED_BYTES, force=headless, specific_tags=_TAGS_TO_READ)
        if headless:
            complete_meta(dataset)
    except InvalidDicomError:
        return None
    except UNREADABLE as failure:
        log_failure(path, failure)
        raise ScanError(describe_failure(path, failure)) from None
    instance = _wrap(path, dataset)
    return instance if not headless or instance.holds("SOPClassUID") else None


def _begins_with_tag(start: bytes) -> bool:
    """Whether these are the first bytes of a data set: a tag of group 2 or 8, and a short value's length."""
    if len(start) < 8:
        return False
    group, element, length = struct.unpack("<HHI", start[:8])
    if group not in {0x0002, 0x0008} or element > 0x0100:
        return False
    return bool(length < 1024 or (start[4:6].isalpha() and start[4:6].isupper()))


def _refuse_deflated(path: Path, start: bytes) -> None:
    """Refuse a file that is deflated as a whole: it may inflate to a thousand times its size.

    Raises
    ------
    ScanError
        If it is one.
    """
    if DeflatedExplicitVRLittleEndian.encode() in start:
        raise ScanError(f"{path}: is deflated as a whole -> export it uncompressed, or with JPEG lossless")


def complete_meta(dataset: Dataset) -> None:
    """Say how a file without the preamble is encoded, if its group 2 does not: pixels are decoded by it."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def describe_failure(path: Path, failure: Exception) -> str:
    """What the refusal of an unreadable DICOM file says."""
    # The failure's own text may quote a header or pixels
    return f"{path}: unreadable DICOM ({type(failure).__name__}) -> copy or export it again"


def log_failure(path: Path, failure: BaseException) -> None:
    """Log, at the site, where pydicom failed; what it says is left out, because it may quote headers."""
    _LOG.warning("unreadable DICOM: file=%s error=%s", path, type(failure).__name__)


@contextmanager
def silence_pydicom() -> Iterator[None]:
    """Silence pydicom's warnings about values that violate the standard, because they quote headers."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
