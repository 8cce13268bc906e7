"""Values of DICOM tags in files that may be damaged: pydicom decodes a tag only when it is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from common.errors import ScanError
from common.imaging.dicom.instance import UNREADABLE
from common.types import Reals

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Tags:
    """The tags of a file, or of an item in it.

    Attributes
    ----------
    path : Path
        The file, for messages.
    dataset : pydicom Dataset
        What pydicom holds.
    """

    path: Path
    dataset: Dataset

    def items(self, keyword: str) -> tuple[Tags, ...]:
        """The items of a sequence; none if it is not there.

        Raises
        ------
        ScanError
            If the sequence is damaged.
        """
        value = self._decode(keyword)
        if value is None or value == "":
            return ()
        if not isinstance(value, DicomSequence):
            raise ScanError(f"{self.path}: {keyword} is no sequence (damaged?) -> export it again")
        return tuple(Tags(self.path, item) for item in value)

    def first(self, *keywords: str) -> Tags | None:
        """The first item of a sequence in the first item of a sequence ...; None if one is not there.

        Raises
        ------
        ScanError
            If one is damaged.
        """
        place = self
        for keyword in keywords:
            inner = place.items(keyword)
            if not inner:
                return None
            place = inner[0]
        return place

    def text(self, keyword: str) -> str:
        """The value as text, without blanks around it; empty if there is none, or it is no text.

        Raises
        ------
        ScanError
            If it is damaged.
        """
        value = self._decode(keyword)
        # A damaged file may hold a sequence here, whose text pydicom would write item by item
        parts = value if isinstance(value, MultiValue) else [value]
        text = "\\".join(str(part) for part in parts if isinstance(part, str | int | float))
        return text[:_LONGEST_TEXT].replace("\0", " ").strip()

    def numbers(self, keyword: str, count: int) -> Reals:
        """So many finite numbers.

        Raises
        ------
        ScanError
            If they are not there, or are no numbers.
        """
        value = self._decode(keyword)
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            value = [value]
        try:
            numbers = [float(part) for part in value]
        except (TypeError, ValueError, OverflowError):
            numbers = []
        if len(numbers) != count or not all(isfinite(number) for number in numbers):
            raise ScanError(f"{self.path}: {keyword} is not {count} number(s) (damaged?) -> export it again")
        return np.array(numbers)

    def read_whole(self, keyword: str) -> int:
        """A whole number.

        Raises
        ------
        ScanError
            If it is not there, or is none.
        """
        (number,) = self.numbers(keyword, 1)
        if number != int(number):
            raise ScanError(f"{self.path}: {keyword} is {number:g}, not a whole number -> export it again")
        return int(number)

    def data(self, keyword: str) -> bytes:
        """The value's bytes; none if it is not there.

        Raises
        ------
        ScanError
            If it is damaged.
        """
        value = self._decode(keyword)
        return value if isinstance(value, bytes) else b""

    def has(self, keyword: str) -> bool:
        """Whether the tag is there with a value.

        Raises
        ------
        ScanError
            If it is damaged.
        """
        return self._decode(keyword) not in (None, "")

    def codes(self, keyword: str) -> tuple[str, ...]:
        """The codes in a sequence, as "scheme:value".

        Raises
        ------
        ScanError
            If it is damaged.
        """
        found = [
            (code.text("CodingSchemeDesignator"), code.text("CodeValue")) for code in self.items(keyword)
        ]
        return tuple(f"{scheme}:{value}" for scheme, value in found if value)

    def _decode(self, keyword: str) -> Any:
        """What pydicom makes of the tag.

        Raises
        ------
        ScanError
            If it cannot.
        """
        try:
            return self.dataset.get(keyword)
        except UNREADABLE as failure:
            # The failure's own text may quote the header
            raise ScanError(
                f"{self.path}: {keyword} is unreadable ({type(failure).__name__}) -> copy or export it again"
            ) from None
