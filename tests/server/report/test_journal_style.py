"""P-values by the AMA's manual in the exported tables, by the paper's form everywhere else."""

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies.results import Make, make_study

from server.report import write_report, write_tables
from server.report.journal_style import JournalStyle, format_p_in

AMA = re.compile(r"<\.001|>\.99|\.00\d|\.\d\d|\.0\d{2,}")
STUDY = make_study(
    Make(models=("net",), logistic=("Clinical",), external=("Wuhan",), pooled=False, rounds=1, full=True)
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "<.001"),
        (0.00099, "<.001"),
        (0.001, ".001"),
        (0.0096, ".010"),
        (0.01, ".01"),
        (0.0312, ".03"),
        (0.0449, ".04"),
        (0.0460, ".046"),  # two digits would read .05
        (0.04996, ".04996"),
        (0.0500, ".05"),
        (0.0541, ".05"),
        (0.3771, ".38"),
        (0.9899, ".99"),
        (0.9951, ">.99"),
        (1.0, ">.99"),
        (None, "\N{EN DASH}"),
    ],
)
def test_a_p_value_has_the_digits_of_the_manual(value, text):
    assert format_p_in(JournalStyle.AMA, value) == text


@given(st.floats(min_value=0, max_value=1))
def test_no_p_value_changes_its_side(value):
    text = format_p_in(JournalStyle.AMA, value)

    assert AMA.fullmatch(text)
    if text[0] == ".":
        assert (float(text) < 0.05) is (value < 0.05)


def read(path, name):
    with (path / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.reader(file) if len(row) > 1]


def list_p_values(rows):
    """The entries of the columns headed P, without their footnotes."""
    (heading,) = [row for row in rows if "P" in row]
    columns = [place for place, title in enumerate(heading) if title == "P"]
    body = rows[rows.index(heading) + 1 :]
    entries = [row[place].partition(" [")[0] for row in body for place in columns if place < len(row)]
    return [entry for entry in entries if entry not in {"", "\N{EN DASH}"} and entry[0] in "<>.01"]


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_exported_tables_have_the_journal_s_p_values(tmp_path, name):
    write_tables(STUDY, tmp_path / "ama", JournalStyle.AMA)
    write_tables(STUDY, tmp_path / "paper")

    ama, paper = (list_p_values(read(tmp_path / style, name)) for style in ("ama", "paper"))

    assert len(ama) == len(paper) > 3
    assert all(AMA.fullmatch(entry) for entry in ama)
    assert any(entry == "< .001" for entry in paper)
    assert all(re.fullmatch(r"< \.001|\.\d{3}|1\.000", entry) for entry in paper)


def test_numbers_in_full_and_the_page_have_no_style(tmp_path):
    files = {}
    for style in JournalStyle:
        write_report(STUDY, tmp_path / style / "report.html")
        files[style] = {
            path.name: path.read_bytes() for path in write_tables(STUDY, tmp_path / style / "tables", style)
        }

    differing = {name for name, content in files["paper"].items() if content != files["ama"][name]}
    assert differing == {"table1.csv", "table2.csv"}
    pages = [(tmp_path / style / "report.html").read_bytes() for style in JournalStyle]
    assert pages[0] == pages[1]
