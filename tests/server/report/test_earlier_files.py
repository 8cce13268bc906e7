"""`rhe-server report` writes the page and the tables again from files that know no later key."""

import json

import pytest
from studies.page import Page
from studies.results import Make, make_study
from typer.testing import CliRunner

from server.cli import app
from server.results.file import save_results
from server.results.results_schema import write_results_schema

SCHEMA = json.loads(write_results_schema())
KEPT = {"picture", "value", "low", "high", "standing", "kind", "reason"}
"""Optional keys that the very first version had, too."""


def strip(value, schema):
    """The value without every key that its record can be read without."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict) and "properties" in schema:
        required = schema.get("required", [])
        return {
            key: strip(item, schema["properties"][key])
            for key, item in value.items()
            if key in required or key in KEPT
        }
    if isinstance(value, list):
        return [strip(item, schema.get("items", {})) for item in value]
    for choice in schema.get("anyOf", ()):
        if isinstance(value, dict) and "$ref" in choice:
            return strip(value, choice)
    return value


@pytest.mark.parametrize("kept", [(), ("cohort", "regression", "fitted", "comparisons", "subgroups")])
def test_a_file_without_later_keys_becomes_a_page_with_its_tables(tmp_path, kept):
    path = tmp_path / "results.json"
    make = Make(models=("net",), logistic=("Clinical",), external=("Wuhan",), rounds=1, full=True)
    save_results(make_study(make), path)
    content = json.loads(path.read_text())
    earlier = strip(content, SCHEMA) | {
        key: strip(content[key], SCHEMA["properties"][key]) for key in ("schema_version", *kept)
    }
    path.write_text(json.dumps(earlier))

    outcome = CliRunner().invoke(app, ["report", str(path), "--style", "ama"])

    assert outcome.exit_code == 0, outcome.output
    assert len(earlier["evaluation"][0]) < len(content["evaluation"][0]) - 3
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [one for one in page.all("section") if one.get("id") == "summary"]
    assert (tmp_path / "tables" / "columns.csv").is_file()
    assert ("table2.csv" in {table.name for table in (tmp_path / "tables").iterdir()}) is bool(kept)
