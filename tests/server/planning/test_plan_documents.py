"""The plan reference and schema in docs are those of the models, and say something of every key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.plan.study import StudyPlan, load_plan
from common.runtime.setting_keys import list_keys, walk_tables
from common.runtime.setting_reference import name_key
from server.planning.key_sources import KEY_SOURCES
from server.planning.plan_documents import write_plan_reference, write_plan_schema

ROOT = Path(__file__).parents[3]
PLANS = sorted((ROOT / "deploy" / "plans").glob("*.toml"))


def every_key():
    return {
        name_key(path, key.name): key for path, _, table in walk_tables(StudyPlan) for key in list_keys(table)
    }


def test_every_key_of_a_plan_has_a_meaning():
    keys = every_key()
    assert len(keys) > 97
    assert [path for path, key in keys.items() if len(key.meaning) < 10] == []


def test_every_source_is_of_a_key():
    assert sorted(KEY_SOURCES.keys() - every_key()) == []


@pytest.mark.parametrize(
    ("name", "write", "command"),
    [
        ("plan-reference.md", write_plan_reference, "rhe-server plan reference --out docs/plan-reference.md"),
        ("plan.schema.json", write_plan_schema, "rhe-server plan schema --out docs/plan.schema.json"),
    ],
)
def test_the_documents_are_those_of_the_models(name, write, command):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == write(), f"write it again: {command}"


def test_the_reference_has_a_row_of_each_key_with_default_meaning_and_source():
    page = write_plan_reference()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == sum(len(list_keys(table)) for _, _, table in walk_tables(StudyPlan))
    (row,) = [line for line in rows if line.startswith("| `icc_threshold`")]
    assert row == (
        "| `icc_threshold` | number, at least 0, below 1 | `0.8` | Value that the correlation must exceed in "
        "each of these readings (the paper: 0.80). | Ning 2025, Methods: ICC > 0.80 |"
    )
    assert '## `[[models]]` with `kind = "svm"`' in page
    assert "## `[privacy.noise]`" in page
    assert "| `seed` | whole number, at least 0, below 4,611,686,018,427,387,904 | **required** |" in page


def test_the_schema_refuses_unknown_keys_and_explains_known_ones():
    schema = json.loads(write_plan_schema())
    assert schema["additionalProperties"] is False
    assert schema["properties"]["seed"]["description"] == "Seed from which all randomness derives."
    training = schema["definitions"]["TrainingSettings"]
    assert training["additionalProperties"] is False
    assert training["properties"]["learning_rate"]["description"] == "The optimiser's step size."
    defined = {f"#/definitions/{name}" for name in schema["definitions"]}
    assert set(find_references(schema)) <= defined


def find_references(part):
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
        for inner in part.values():
            yield from find_references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from find_references(inner)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_each_example_plan_is_valid_and_names_the_schema(path):
    assert load_plan(path).name
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "#:schema ../../docs/plan.schema.json"
    assert (path.parent / first.removeprefix("#:schema ")).is_file()
