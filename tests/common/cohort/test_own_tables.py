"""Tables under a mapping: a hospital's own headings, codes, units, characters and rows."""

from __future__ import annotations

import time
import unicodedata
from datetime import timedelta

import openpyxl
import pytest
from pydantic import ValidationError

from common.cohort.columns import WantedColumns
from common.cohort.table import read_faulty_table, read_table
from common.cohort.table_mapping import TableMapping
from common.errors import CohortError, Level

FEW = WantedColumns(images=False, complete=False)
"""Of the schema's columns the identifier alone must be there."""


def mapping(columns, **settings) -> TableMapping:
    return TableMapping.model_validate({"columns": {"patient": "Fall", **columns}, **settings})


@pytest.fixture
def write(tmp_path):
    def write_csv(*lines: str, encoding: str = "utf-8", name: str = "own.csv"):
        path = tmp_path / name
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write_csv


def read(path, columns, **settings):
    return read_table(path, wanted=FEW, mapping=mapping(columns, **settings))


def refusals(path, columns, **settings) -> list[str]:
    table = read_faulty_table(path, wanted=FEW, mapping=mapping(columns, **settings))
    return [str(finding) for finding in table.violations]


def test_headings_codes_units_and_decimal_commas_are_the_hospitals(write):
    path = write(
        "Fall;Geschlecht;RR (kPa);Zeit (min);Alkohol;Notiz",
        "A1;M;21,3;90;ja;wach",
        "A2;W;20;4320;nein;",
        "A3;;;;unbekannt;",
        encoding="cp1252",
    )
    columns = {
        "sex": {"heading": "Geschlecht", "values": {"m": "male", "w": "female"}},
        "sbp_mmhg": {"heading": "RR (kPa)", "unit": "kPa"},
        "onset_to_ct_h": {"heading": "Zeit (min)", "unit": "minutes"},
        "alcohol": {"heading": "Alkohol", "values": {"ja": 1, "nein": 0, "unbekannt": ""}},
    }

    first, second, third = read(path, columns, encoding="cp1252", separator=";", decimal=",").patients

    assert (first.level("sex"), second.level("sex"), third.level("sex")) == ("male", "female", None)
    assert first.number("sbp_mmhg") == pytest.approx(159.763, abs=1e-3)
    # The bound of 72 h is eligible to the last bit
    assert (first.number("onset_to_ct_h"), second.number("onset_to_ct_h")) == (1.5, 72.0)
    assert (first.flag("alcohol"), second.flag("alcohol"), third.flag("alcohol")) == (True, False, None)


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "big5", "utf-8"])
def test_chinese_files_of_any_kind_are_read(write, encoding):
    path = write("住院號,年齡", "一,61", encoding=encoding)

    (patient,) = read(path, {"patient": "住院號", "age": "年齡"}, encoding=encoding).patients

    assert (patient.identifier, patient.number("age")) == ("一", 61)


def test_a_title_totals_and_comments_are_no_patients_and_are_told(write):
    path = write("Register 2024,", "", "Fall,Alter", "A1,61", "A2,70", "Summe,131", "Stand: 3.3.2024,")

    table = read(path, {"age": "Alter"}, headings_row=3, left_out=["summe", "stand:*"])

    assert [(one.identifier, one.row) for one in table.patients] == [("A1", 4), ("A2", 5)]
    (note,) = table.notes
    assert note.level is Level.KNOW
    assert str(note) == "own.csv, rows 6-7: 2 rows are no patients by mapping.left_out ('summe', 'stand:*')"


def test_a_code_that_nobody_explained_is_refused_and_not_guessed(write):
    path = write("Fall,Rauchen,sex", "A1,1,male", "A2,2,male", "A3,0,male")

    found = refusals(path, {"smoking": {"heading": "Rauchen", "values": {"1": 1, "2": 0}}})

    (text,) = found
    assert text == (
        "own.csv, row 4, column 'smoking' (B, 'Rauchen'): 0 is none of the codes in site.toml: 1, 2 -> "
        "correct the cell, or say what it means in mapping.columns.smoking.values"
    )


def test_a_value_beyond_its_range_is_told_as_the_cell_has_it(write):
    path = write("Fall,Zeit", "A1,90", "A2,900000")

    (found,) = refusals(path, {"onset_to_ct_h": {"heading": "Zeit", "unit": "minutes"}})

    assert "15000 hour is impossible (possible: 0 to 2160 hour); the cell holds 900000 minutes" in found


def test_a_point_among_decimal_commas_is_not_guessed(write):
    path = write("Fall;INR", "A1;1,2", "A2;1.200", "A3;2,1")

    (found,) = refusals(path, {"inr": "INR"}, separator=";", decimal=",")

    assert "row 3, column 'inr' (B, 'INR'): '1.200' has a point, and site.toml says" in found


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"age": "Altr"}, "has no heading 'Altr' in row 1 -> did you mean 'Alter'?"),
        ({"age": "doppelt"}, "heading 'doppelt' stands 2 times (C and D)"),
        (
            {"age": {"heading": "Alter", "unit": "kPa"}},
            "'kPa' is no unit that can be converted -> write one of: months",
        ),
        (
            {"sex": {"heading": "Alter", "values": {"1": "man"}}},
            "'1' stands for 'man', which is no value of it",
        ),
        ({"sah": {"heading": "Alter", "values": {"1": 2}}}, "'1' stands for 2, which is no value of it"),
    ],
)
def test_a_mapping_that_cannot_be_refuses_the_table(write, columns, said):
    path = write("Fall,Alter,doppelt,doppelt", "A1,61,1,1")

    with pytest.raises(CohortError, match="mapping.columns") as refusal:
        read(path, columns)

    assert said in str(refusal.value)


def test_a_misspelt_variable_is_pointed_out_and_one_of_another_study_is_not(write):
    path = write("Fall,Alter", "A1,61")

    table = read(path, {"smokng": "Alter", "gcs": "Alter"})

    (note,) = table.notes
    assert str(note).endswith("has a variable 'smokng' -> did you mean 'smoking'?")


def test_unknown_keys_and_contradictions_are_refused():
    for wrong in (
        {"columns": {"age": {"heading": "x", "factor": 2}}},
        {"colums": {}},
        {"columns": {"age": "x"}, "not_recorded": ["age"]},
        {"columns": {"age": {"heading": "x", "event": "fu"}}},
    ):
        with pytest.raises(ValidationError):
            TableMapping.model_validate(wrong)


def test_a_variable_that_is_not_recorded_is_blank_for_everybody(tables):
    path = tables.csv(tables.row(), headings=[h for h in tables.row() if h != "swirl_sign"])

    (patient,) = read_table(path, mapping=TableMapping(not_recorded=("swirl_sign",))).patients

    assert patient.flag("swirl_sign") is None
    with pytest.raises(CohortError, match="'swirl_sign' is missing"):
        read_table(path, mapping=TableMapping())


def test_a_variable_of_which_the_mapping_does_not_speak_is_told_with_what_to_do(tables):
    path = tables.csv(tables.row(), headings=[h for h in tables.row() if h != "swirl_sign"])

    with pytest.raises(CohortError) as refusal:
        read_table(path, mapping=TableMapping.model_validate({"columns": {"age": "age"}}))

    (line,) = str(refusal.value).splitlines()
    assert line.startswith("cohort.csv: no column for 'swirl_sign': Hypo- or isoattenuation within")
    assert line.endswith("under [mapping.columns] in site.toml, or list it in mapping.not_recorded")


def test_without_a_mapping_nothing_of_it_is_read(write):
    for lines in (("patient;age", "A1;61"), ("Register", "patient,age,sex", "A1,61,male")):
        with pytest.raises(CohortError):
            read_table(write(*lines), wanted=FEW)


def test_headings_and_sheets_are_compared_under_one_normal_form(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["x"])
    sheet = book.create_sheet(unicodedata.normalize("NFD", "Köln"))
    sheet.append(["Fall", unicodedata.normalize("NFD", "Größe"), "Ａlter", "Dauer"])  # noqa: RUF001 - another width
    sheet.append(["A1", 1, "61,5", timedelta(hours=1, minutes=30)])
    book.save(tmp_path / "own.xlsx")
    columns = {"age": "Alter", "smoking": "Größe", "onset_to_ct_h": {"heading": "Dauer", "unit": "h:mm"}}

    (patient,) = read(tmp_path / "own.xlsx", columns, sheet="Köln", decimal=",").patients

    assert (patient.number("age"), patient.flag("smoking")) == (61.5, True)
    assert patient.number("onset_to_ct_h") == 1.5


def test_numbers_kept_as_text_are_read_where_a_mapping_speaks_of_the_column(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["Fall", "Alter", "age_text"])
    book.active.append(["A1", "61", "x"])
    book.save(tmp_path / "own.xlsx")

    (patient,) = read(tmp_path / "own.xlsx", {"age": "Alter"}).patients

    assert patient.number("age") == 61


# REDCap's long format

LONG = (
    "Fall,redcap_event_name,redcap_repeat_instrument,redcap_repeat_instance,alter,vol",
    "A1,base_arm_1,,,61,10",
    "A1,fu_arm_1,,,,14",
    "A1,base_arm_1,labor,1,,99",
    "A1,base_arm_1,labor,2,,98",
    "A2,base_arm_1,,,70,20",
)
LONG_COLUMNS = {
    "age": "alter",
    "ich_volume_ml": "vol",
    "ct_to_followup_h": {"heading": "vol", "event": "fu_arm_1"},
    "ivh_volume_ml": {"heading": "vol", "instrument": "labor", "instance": 2},
}


def test_a_long_export_is_one_row_a_patient(write):
    table = read(write(*LONG), LONG_COLUMNS, long={"baseline": "base_arm_1"})

    first, second = table.patients
    assert (first.row, second.row) == (2, 6)
    assert (first.number("ich_volume_ml"), first.number("ct_to_followup_h")) == (10, 14)
    assert first.number("ivh_volume_ml") == 98
    assert second.number("ct_to_followup_h") is None


def test_two_rows_of_one_event_that_differ_refuse_the_patient_alone(write):
    found = refusals(write(*LONG, "A1,fu_arm_1,,,,15"), LONG_COLUMNS, long={"baseline": "base_arm_1"})

    (text,) = found
    assert text == (
        "own.csv, row 2, column 'ct_to_followup_h' (F, 'vol', fu_arm_1): the patient's rows 3, 7 of "
        "one event differ in it -> keep the right one"
    )


def test_two_baseline_rows_are_two_rows_of_one_patient(write):
    others = ("A3,base_arm_1,,,50,9", "A4,base_arm_1,,,50,9")
    found = refusals(
        write(*LONG, "A2,base_arm_1,,,71,20", *others), LONG_COLUMNS, long={"baseline": "base_arm_1"}
    )

    assert len(found) == 2
    assert all("stands in row" in one for one in found)


def test_a_patient_without_a_baseline_is_told_and_not_screened(write):
    table = read(write(*LONG, "A3,fu_arm_1,,,,9"), LONG_COLUMNS, long={"baseline": "base_arm_1"})

    assert len(table.patients) == 2
    (note,) = table.notes
    assert str(note).startswith("own.csv, row 7: 1 patient(s) have no row of the baseline event 'base_arm_1'")


# Names that are written differently


@pytest.mark.parametrize(("first", "second"), [("12", "12.0"), ("ö1", unicodedata.normalize("NFD", "Ö1"))])
def test_one_patient_in_two_spellings_is_one(write, first, second):
    path = write("patient,age", f"{first},61", f"{second},62", "7,50", "8,50", "9,50")

    table = read_table(path, wanted=FEW)

    assert [row.row for row in table.rejected] == [2, 3]
    assert all("none of these rows is used" in str(row.findings[0]) for row in table.rejected)


def test_a_path_is_found_however_its_accents_are_composed(tables):
    for written, on_disk in (("NFC", "NFD"), ("NFD", "NFC")):
        name = f"Müller-{written}"
        folder = tables.folder / unicodedata.normalize(on_disk, name)
        folder.mkdir()
        path = tables.csv(tables.row(baseline_ct=f"{unicodedata.normalize(written, name)}/ct"))
        (patient,) = read_table(path).patients

        assert patient.baseline_ct == folder / "ct"


def test_the_time_for_each_row_is_short(write):
    """A tenth of a millisecond a row: 100,000 of them open in seconds."""
    rows = (f"P{n};6{n % 10},5;{'mw'[n % 2]};{n % 900 + 30};ja" for n in range(2000))
    lines = ["Fall;Alter;Geschl;Zeit;ICB", *rows]
    columns = {
        "age": "Alter",
        "sex": {"heading": "Geschl", "values": {"m": "male", "w": "female"}},
        "onset_to_ct_h": {"heading": "Zeit", "unit": "minutes"},
        "sah": {"heading": "ICB", "values": {"ja": 1}},
    }
    start = time.process_time()

    table = read(write(*lines), columns, separator=";", decimal=",")

    assert len(table.patients) == 2000
    assert time.process_time() - start < 1
