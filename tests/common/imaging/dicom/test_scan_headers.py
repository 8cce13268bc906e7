"""What DICOM says of patient and time; what is malformed is unknown, and no error."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from common.imaging.dicom.scan_headers import parse_age, parse_date, parse_time
from common.imaging.reader import read_scan
from tests.common.imaging.head_series import Acquisition, write_planes

HEAD = Acquisition()

# pydicom warns where the tests write what it reads without a word
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


def read_headers(folder, **tags):
    def change(_, one):
        for name, value in tags.items():
            if value is None:
                delattr(one, name)
            else:
                setattr(one, name, value)

    return read_scan(write_planes(folder / "ct", HEAD, change)).headers


def test_the_headers_of_a_series_are_kept_beside_the_voxels(tmp_path):
    headers = read_headers(tmp_path, PatientBirthDate="19570101")
    assert (headers.patient_id, headers.sex, headers.age_years) == ("P7", "F", 67.0)
    assert headers.birth_date == date(1957, 1, 1)
    assert headers.study_date == date(2024, 3, 5)
    assert headers.taken == datetime(2024, 3, 5, 10, 17, 42, 500000)  # noqa: DTZ001 - the scanner's clock


def test_the_age_is_counted_from_birth_where_it_is_not_written(tmp_path):
    headers = read_headers(tmp_path, PatientAge=None, PatientBirthDate="19570305")
    assert headers.age_years == pytest.approx(67, abs=0.01)


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ({"AcquisitionDateTime": "20240306112233.25+0100"}, "2024-03-06T11:22:33.250000"),
        ({"AcquisitionDateTime": "nonsense"}, "2024-03-05T10:17:42.500000"),
        ({"AcquisitionTime": None, "ContentDate": "20240307", "ContentTime": "0930"}, "2024-03-07T09:30:00"),
        ({"AcquisitionTime": "", "SeriesDate": "20240308", "SeriesTime": "093001"}, "2024-03-08T09:30:01"),
        ({"AcquisitionTime": None}, None),
        ({"AcquisitionTime": "991742"}, None),
    ],
)
def test_the_time_is_the_one_nearest_to_the_acquisition(tmp_path, tags, taken):
    headers = read_headers(tmp_path, **tags)
    assert (headers.taken.isoformat() if headers.taken else None) == taken


def test_malformed_values_are_unknown(tmp_path):
    headers = read_headers(
        tmp_path, PatientAge="old", PatientBirthDate="01.02.57", StudyDate="20241399", AcquisitionDate="x"
    )
    assert (headers.age_years, headers.birth_date, headers.study_date, headers.taken) == (None,) * 4


def test_the_earliest_slice_tells_the_time(tmp_path):
    def change(index, one):
        one.AcquisitionTime = f"1017{50 - index:02d}"

    headers = read_scan(write_planes(tmp_path / "ct", HEAD, change)).headers
    assert headers.taken.isoformat() == "2024-03-05T10:17:35"


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("045Y", 45),
        ("018M", 1.5),
        ("010W", 0.1916),
        ("005D", 0.0137),
        ("45", None),
        ("999Y", None),
        ("", None),
    ],
)
def test_ages_have_units(text, years):
    assert parse_age(text) == (None if years is None else pytest.approx(years, abs=1e-3))


def test_dates_and_times_of_old_writers_are_read():
    assert parse_date("1993.08.22") == date(1993, 8, 22)
    assert parse_time("19930822", "10:15:30").isoformat() == "1993-08-22T10:15:30"
    assert parse_time("00000000", "101530") is None
    assert parse_time("99991231", "235960") is None


def test_times_that_an_anonymiser_zeroed_are_unknown_and_the_day_stays(tmp_path):
    headers = read_headers(tmp_path, AcquisitionTime="000000.0", AcquisitionDateTime="20240305000000")
    assert (headers.taken, headers.study_date) == (None, date(2024, 3, 5))


def test_the_day_of_a_study_without_date_is_that_of_the_acquisition(tmp_path):
    headers = read_headers(tmp_path, AcquisitionTime="000000", AcquisitionDate="20240306", StudyDate="")
    assert headers.study_date == date(2024, 3, 6)


def test_a_zeroed_time_gives_way_to_one_that_is_left(tmp_path):
    tags = {"AcquisitionTime": "000000", "ContentDate": "20240305", "ContentTime": "101800"}
    assert read_headers(tmp_path, **tags).taken.isoformat() == "2024-03-05T10:18:00"
