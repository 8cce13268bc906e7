"""No text becomes a formula in a spreadsheet, and no number becomes a text."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.cell.cell import TYPE_FORMULA

from common.runtime.csv_file import escape_formula, format_csv

ATTACKS = (
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://x")',
    "+1+1",
    "-1+1",
    "-",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\N{FULLWIDTH EQUALS SIGN}1",
    "-1_000",
    "-inf",
    "--1",
    "-1 (-2 to 0)",
)
NUMBERS = ("-1.5", "+3", "-1e-05", "-.5", "+2.", "1.5", "0")


def read_cells(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", ATTACKS)
def test_a_text_that_a_spreadsheet_would_compute_is_marked_as_text(text):
    assert read_cells(format_csv([[text, "next"]])) == [[f"'{text}", "next"]]


@pytest.mark.parametrize("text", [*NUMBERS, "P-7", "a=b", "", " x", "'quoted", "centre+1"])
def test_a_number_or_a_harmless_text_is_left_alone(text):
    assert read_cells(format_csv([[text, "next"]])) == [[text, "next"]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_no_cell_of_text_begins_a_formula(cells):
    (row,) = read_cells(format_csv([[*cells, "end"]]))
    for written, cell in zip(row, [*cells, "end"], strict=True):
        assert written in {cell, f"'{cell}"}
        try:
            number = math.isfinite(float(written))
        except ValueError:
            number = False
        assert number or written[:1] not in set("=+-@\t\r\n")
        sheet = Workbook().active
        if written and written.isprintable():
            sheet["A1"] = written
            assert sheet["A1"].data_type != TYPE_FORMULA


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_every_number_comes_back_as_it_was(number):
    ((written, text),) = read_cells(format_csv([[number, repr(number)]]))
    assert type(number)(written) == type(number)(text) == number


def test_what_is_no_text_is_not_touched():
    assert [escape_formula(cell) for cell in (-1.5, None, True)] == [-1.5, None, True]
