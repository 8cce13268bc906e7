"""docs/results.schema.json is that of the records, and real files follow it."""

import json
import re
from pathlib import Path

import pytest
from studies.results import Make, make_study

from server.results.file import save_results
from server.results.results_schema import write_results_schema

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(write_results_schema())
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
KNOWN = {
    *("$ref", "type", "properties", "required", "additionalProperties", "items", "prefixItems", "anyOf"),
    *("enum", "const", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("description", "default", "definitions", "$schema", "title", "exclusiveMinimum", "discriminator"),
}


def list_faults(value, schema, place="$"):
    """Where a value breaks the schema; a validator of the words that this schema uses."""
    assert set(schema) <= KNOWN, f"{place}: {set(schema) - KNOWN}"
    if "$ref" in schema:
        yield from list_faults(value, SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]], place)
    if "anyOf" in schema and all(any(list_faults(value, one, place)) for one in schema["anyOf"]):
        yield f"{place}: none of {len(schema['anyOf'])}"
    kind = schema.get("type")
    if kind and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind in {"integer", "number"})
    ):
        yield f"{place}: {value!r} is no {kind}"
        return
    yield from list_value_faults(value, schema, place)
    if isinstance(value, dict):
        yield from list_key_faults(value, schema, place)
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for index, item in enumerate(value):
            inner = first[index] if index < len(first) else schema.get("items", {})
            yield from list_faults(item, inner, f"{place}[{index}]")


def list_value_faults(value, schema, place):
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{place}: {value!r} is not {schema['const']}"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{place}: {value!r} does not match"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{place}: {value} is too small"


def list_key_faults(value, schema, place):
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{place}: {key} is missing" for key in schema.get("required", ()) if key not in value)
    for key, item in value.items():
        if key in properties:
            yield from list_faults(item, properties[key], f"{place}.{key}")
        elif more is False:
            yield f"{place}: {key} is unknown"
        elif isinstance(more, dict):
            yield from list_faults(item, more, f"{place}.{key}")


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("schema") / "results.json"
    make = Make(models=("2D-net",), logistic=("Clinical",), external=("Wuhan",), rounds=1, full=True)
    save_results(make_study(make), path)
    return json.loads(path.read_text())


def test_the_document_is_that_of_the_records():
    document = (ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8")

    assert document == write_results_schema(), (
        "write it again: rhe-server schema --out docs/results.schema.json"
    )


def test_a_whole_file_follows_the_schema(content):
    assert content["cohort"]
    assert content["overlays"]
    assert list(list_faults(content, SCHEMA)) == []


@pytest.mark.parametrize(
    ("steps", "value", "fault"),
    [
        (("schema_version",), 3, "$.schema_version: 3"),
        (("evaluation", 0, "auc", "value"), "high", "$.evaluation[0].auc"),
        (("sites", 0, "role"), "judge", "$.sites[0].role: 'judge' is none of"),
        (("surprise",), 1, "$: surprise is unknown"),
        (("overlays", 0, "picture"), "../x.png", "$.overlays[0].picture"),
        (("parts", 0, "positive"), -1, "$.parts[0].positive"),
    ],
)
def test_what_the_records_refuse_breaks_the_schema(content, steps, value, fault):
    changed = json.loads(json.dumps(content))
    place = changed
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value

    assert any(found.startswith(fault) for found in list_faults(changed, SCHEMA))


def test_every_key_has_a_meaning():
    silent = [
        f"{name}.{key}"
        for name, part in {"Results": SCHEMA, **SCHEMA["definitions"]}.items()
        for key, told in part.get("properties", {}).items()
        if not told.get("description")
    ]

    assert silent == []
