"""Tags of damaged files: what pydicom raises while it decodes them stays inside."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from common.errors import ScanError
from common.imaging.dicom.dicom_values import Tags
from common.imaging.dicom.instance import Instance

UNKNOWN = Tag(0x414D, 0x554E)


def spoil(keyword: str) -> Dataset:
    """A tag for text that holds a sequence, in which an element has a type that does not exist."""
    item = Dataset(
        {UNKNOWN: RawDataElement(UNKNOWN, "AL", 4, b"abcd", 0, is_implicit_VR=False, is_little_endian=True)}
    )
    one = Dataset()
    tag = pydicom.datadict.tag_for_keyword(keyword)
    one.add(DataElement(tag, "SQ", [item]))
    return one


def test_a_sequence_in_the_place_of_text_is_no_text():
    assert Tags(Path("m.dcm"), spoil("ROIName")).text("ROIName") == ""
    dataset = spoil("SOPClassUID")
    instance = Instance(Path("m.dcm"), dataset, {int(element.tag): element.value for element in dataset})
    assert instance.text("SOPClassUID") == ""


def make(**values: object) -> Tags:
    one = Dataset()
    for keyword, value in values.items():
        setattr(one, keyword, value)
    return Tags(Path("m.dcm"), one)


def test_text_is_short_and_several_values_are_joined():
    assert make(ROIName=["ICH", "left"]).text("ROIName") == "ICH\\left"
    assert make(SegmentDescription="x" * 900).text("SegmentDescription") == "x" * 200
    assert make().text("ROIName") == ""


@pytest.mark.parametrize("values", [{}, {"Rows": [1, 2]}, {"Rows": None}, {"SegmentLabel": "many"}])
def test_what_is_not_one_number_is_refused(values):
    keyword = next(iter(values), "Rows")
    with pytest.raises(ScanError, match=f"{keyword} is not 1 number"):
        make(**values).read_whole(keyword)


def test_what_is_no_sequence_is_refused():
    with pytest.raises(ScanError, match="Rows is no sequence"):
        make(Rows=3).items("Rows")
    assert make().first("SegmentSequence", "SegmentedPropertyTypeCodeSequence") is None
