"""columns.csv says what every table and every column means."""

import csv

import pytest
from studies.results import Make, make_study

from server.report import write_tables
from server.report.agreement_tables import READING_TABLES
from server.report.analysis_tables import ANALYSIS_TABLES
from server.report.carry_over_csv import CARRY_OVER_TABLES
from server.report.column_words import TABLES, describe_column
from server.report.model_tables import MODEL_TABLES

STUDY = make_study(
    Make(models=("2D-net",), logistic=("Clinical",), external=("Wuhan",), pooled=False, rounds=1, full=True)
)
MAKERS = ANALYSIS_TABLES | CARRY_OVER_TABLES | READING_TABLES | MODEL_TABLES


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_column_that_is_written_stands_there_with_a_meaning(tmp_path):
    files = {path.stem: path for path in write_tables(STUDY, tmp_path)}

    heading, *rows = read(files.pop("columns"))

    assert heading == ["table", "column", "unit", "meaning"]
    assert all(meaning for *_, meaning in rows)
    assert {table for table, *_ in rows} == set(files)
    for name, path in files.items():
        columns = [column for table, column, *_ in rows if table == name and column]
        assert columns == ([] if name.startswith("table") else read(path)[0])


@pytest.mark.parametrize("name", MAKERS)
def test_columns_of_tables_that_few_studies_have_have_a_meaning_too(name):
    heading, *_ = MAKERS[name](STUDY)

    assert name in TABLES
    assert [column for column in heading if len(describe_column(name, str(column))[1]) < 4] == []


@pytest.mark.parametrize(
    ("table", "column", "unit", "meaning"),
    [
        ("performance", "auc_low", "0 to 1", "Lower limit of the 95% confidence interval of auc"),
        ("performance", "ppv_status", "", "ok; or why there is no ppv"),
        (
            "comparisons",
            "sensitivity_only_first",
            "patients",
            "Patients with the outcome: called right by the",
        ),
        ("regression", "univariate_low", "as the value", "Alone: lower limit"),
        ("decision", "threshold", "0 to 1", "Risk from which"),
        ("somewhere", "unheard_of", "", ""),
    ],
)
def test_a_column_is_described_by_its_parts(table, column, unit, meaning):
    described = describe_column(table, column)

    assert described[0] == unit
    assert described[1].startswith(meaning)
    assert bool(described[1]) is bool(meaning)
