"""What a workbook shows beside its values, and workbooks that are larger than any cohort's."""

from __future__ import annotations

import re
import time
import zipfile

import openpyxl
import pytest
from openpyxl.styles import Font

from common.cohort.sheet import LARGEST_FILE
from common.cohort.table import read_table
from common.errors import CohortError, Level

COLUMN_AGE = "cohort.xlsx, column 'age' (G)"


@pytest.fixture
def book(tables):
    """A workbook of six patients, to be changed by openpyxl or part by part."""
    return Book(tables.xlsx(*[tables.row(patient=f"p{i}") for i in range(2, 8)]))


class Book:
    def __init__(self, path):
        self.path = path

    def change(self, edit):
        """The table after a change of its sheet."""
        workbook = openpyxl.load_workbook(self.path)
        edit(workbook.active)
        workbook.save(self.path)
        return read_table(self.path)

    def rewrite(self, edit, name="xl/worksheets/sheet1.xml"):
        """The path after a change of one member's bytes."""
        with zipfile.ZipFile(self.path) as archive:
            parts = {member: archive.read(member) for member in archive.namelist()}
        parts[name] = edit(parts[name])
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, part in parts.items():
                archive.writestr(member, part)
        return self.path


def notes_of(table):
    assert not table.rejected
    assert {note.level for note in table.notes} <= {Level.LOOK}
    return [str(note) for note in table.notes]


def refusal_of(path):
    with pytest.raises(CohortError) as caught:
        read_table(path)
    return str(caught.value)


# What is shown


def test_merged_cells_cost_the_rows_that_they_cover(book):
    table = book.change(lambda sheet: sheet.merge_cells("G3:G4"))

    assert [row.identifier for row in table.rejected] == ["p3", "p4"]
    for row in table.rejected:
        (finding,) = row.findings
        assert str(finding) == (
            f"cohort.xlsx, row {row.row}, cells G3:G4: the cells are merged: only the first of them holds a "
            "value -> unmerge them, and write each cell's value into it"
        )


def test_merged_headings_refuse_the_table(book):
    with pytest.raises(CohortError, match="row 1, cells G1:H1: the headings' cells are merged -> unmerge"):
        book.change(lambda sheet: sheet.merge_cells("G1:H1"))


def test_merged_cells_of_a_hospital_s_own_columns_and_below_the_table_do_no_harm(book):
    def edit(sheet):
        sheet["AN1"] = "comment"
        sheet.merge_cells("AN2:AO4")
        sheet.merge_cells("A20:F22")

    assert notes_of(book.change(edit)) == []


def test_rows_that_a_filter_hides_are_used_and_named(book):
    def edit(sheet):
        sheet.auto_filter.ref = "A1:AM7"
        sheet.auto_filter.add_filter_column(0, ["p2"])
        for row in (3, 4, 6, 30):
            sheet.row_dimensions[row].hidden = True

    (note,) = notes_of(book.change(edit))
    assert note.startswith(
        "cohort.xlsx, rows 3-4, 6: 3 rows are hidden, as by a filter, and used all the same ->"
    )


def test_a_row_without_height_is_hidden_too(book):
    flat = b'<row r="5" ht="0" customHeight="1"'
    (note,) = notes_of(read_table(book.rewrite(lambda part: part.replace(b'<row r="5"', flat))))

    assert note.startswith("cohort.xlsx, row 5: 1 row is hidden and used all the same -> unhide")


def test_hidden_columns_and_sheets_are_named(book):
    def edit(sheet):
        sheet.column_dimensions["G"].hidden = True
        sheet.column_dimensions["BX"].hidden = True
        sheet.sheet_state = "hidden"
        sheet.parent.create_sheet("empty")

    assert notes_of(book.change(edit)) == [
        "cohort.xlsx: the sheet is hidden: its rows are used -> is it the right sheet?",
        f"{COLUMN_AGE}: the column is hidden and used all the same -> unhide it, or delete it",
    ]


def test_struck_text_is_used_and_named(book):
    def edit(sheet):
        for cell in sheet[4]:
            cell.font = Font(strike=True)
        sheet["G20"].font = Font(strike=True)

    (note,) = notes_of(book.change(edit))
    assert note.startswith(
        "cohort.xlsx, row 4: 1 row is struck through in part or whole and used all the same"
    )


def test_a_formula_whose_result_is_no_text_is_a_blank(book):
    path = book.rewrite(
        lambda part: re.sub(
            rb'<c r="G2"[^>]*>.*?</c>', b'<c r="G2" t="str"><f>""</f><v></v></c>', part, count=1
        )
    )

    assert read_table(path).patients[0].number("age") is None


def test_a_result_of_a_formula_is_its_value(book):
    path = book.rewrite(
        lambda part: re.sub(rb'<c r="G2"[^>]*>.*?</c>', b'<c r="G2"><f>60+3</f><v>63</v></c>', part, count=1)
    )

    assert read_table(path).patients[0].number("age") == 63


def test_merged_ranges_beyond_number_are_refused_in_time(book):
    ranges = b"<mergeCells>" + b'<mergeCell ref="A1:A1048576"/>' * 20_000 + b"</mergeCells>"
    path = book.rewrite(lambda part: part.replace(b"</sheetData>", b"</sheetData>" + ranges))

    assert "merged ranges overlap" in refusal_of(path)


# Size


def test_a_formatted_cell_in_the_last_row_costs_no_time(book):
    def edit(sheet):
        sheet.cell(1_048_576, 3).font = Font(bold=True)
        sheet.cell(9, 16_384).font = Font(bold=True)

    start = time.perf_counter()
    assert len(book.change(edit).patients) == 6
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        (1_048_576, 3, "reaches over 1,048,575 rows, more than 100,000"),
        (3, 9000, "reaches over 9,000 columns"),
    ],
)
def test_a_stray_value_far_away_is_refused(book, row, column, message):
    with pytest.raises(CohortError, match=f"{message}.* -> delete what stands far below or beside the table"):
        book.change(lambda sheet: sheet.cell(row, column, 1))


def test_a_workbook_that_inflates_without_end_is_refused(book):
    start = time.perf_counter()
    text = refusal_of(book.rewrite(lambda part: part + b" " * LARGEST_FILE))

    assert re.search(r"its parts have 100,\d{3},\d{3} bytes when inflated, more than 100,000,000", text)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_workbook_that_defines_entities_is_refused(book, encoding):
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><worksheet/>'

    assert "holds a document type" in refusal_of(book.rewrite(lambda _: text.encode(encoding)))


@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        (b'<row r="3"', b'<row r="2"', "row 2 stands behind row 2"),
        (b'<row r="3"', b'<row r="99999999"', "row 99999999 stands behind row 2"),
        (b'<row r="3"', b'<row r="x"', "'x' is no number of a row or column"),
        (b'r="B3"', b'r="A3"', "cell 'A3' in row 3 is out of order"),
        (b'r="B3"', b'r="B4"', "cell 'B4' in row 3 is out of order"),
        (b'r="B3"', b'r="ZZZ3"', "cell 'ZZZ3' in row 3 is out of order"),
        (b'r="B3"', b'r="B"', "'B' is no cell"),
    ],
)
def test_rows_and_cells_that_openpyxl_would_drop_are_refused(book, found, instead, message):
    path = book.rewrite(lambda part: part.replace(found, instead, 1))

    assert f"is not a readable workbook ({message}) -> open and save it in Excel" in refusal_of(path)
