"""Files of version 1 are read: every number that they hold, and nothing that they do not say."""

import gzip
import json
from pathlib import Path

import pytest

from common.errors import ResumeError
from server.report import write_report, write_tables
from server.results.file import load_results

FILE = Path(__file__).parents[2] / "reference" / "results" / "version1.json.gz"


@pytest.fixture
def document():
    return json.loads(gzip.decompress(FILE.read_bytes()))


def written(tmp_path, document):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(document))
    return path


def test_a_report_of_version_one_is_made_again(tmp_path, document):
    results = load_results(written(tmp_path, document))

    write_report(results, tmp_path / "report.html")
    write_tables(results, tmp_path / "tables")

    assert results.schema_version == 2
    assert [cell.auc.value for cell in results.evaluation] == [
        cell["auc"]["value"] for cell in document["evaluation"]
    ]
    assert {cell.auc_interval_bound for cell in results.evaluation} == {None}
    page = (tmp_path / "report.html").read_text()
    assert "Table 3" in page
    assert "In version 1 two models were compared on the patients who have the scores of all models" in page


def test_comparisons_of_a_cohort_become_a_table_for_each_arm_of_the_reference(tmp_path, document):
    tables = load_results(written(tmp_path, document)).comparisons

    before = [pair for cohort in document["comparisons"] for pair in cohort["pairs"]]
    assert [pair.p_value for table in tables for pair in table.pairs] == [pair["p_value"] for pair in before]
    for table in tables:
        assert len({(pair.first_model, pair.first_arm) for pair in table.pairs}) == 1
        assert {(pair.used, pair.p_least) for pair in table.pairs} == {(table.used, None)}


def test_the_test_of_all_scores_is_no_table_s(tmp_path, document):
    tables = load_results(written(tmp_path, document)).comparisons

    assert [table.chi_squared is None for table in tables] == [True] * 4 + [False] + [True] * 4 + [False]


def test_the_test_of_a_cohort_stays_where_one_table_has_all_of_its_scores(tmp_path, document):
    cohort = document["comparisons"][0]
    first = (cohort["pairs"][0]["first_model"], cohort["pairs"][0]["first_arm"])
    cohort["pairs"] = [p for p in cohort["pairs"] if (p["first_model"], p["first_arm"]) == first]
    cohort["degrees_of_freedom"] = len(cohort["pairs"])
    document["comparisons"] = [cohort]

    (table,) = load_results(written(tmp_path, document)).comparisons

    assert (table.chi_squared, table.p_value) == (cohort["chi_squared"], cohort["p_value"])


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_another_version_is_refused(tmp_path, document, version):
    with pytest.raises(ResumeError, match="schema version 2"):
        load_results(written(tmp_path, document | {"schema_version": version}))


def test_a_damaged_file_of_version_one_says_what_is_wrong(tmp_path, document):
    del document["evaluation"][0]["auc"]

    with pytest.raises(ResumeError, match=r"evaluation.0.auc: Field required"):
        load_results(written(tmp_path, document))
