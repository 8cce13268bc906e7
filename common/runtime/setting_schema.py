"""The JSON Schema of a settings file, with which editors complete keys and mark faults."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from common.runtime.setting_keys import describe_table, list_keys, walk_tables

DIALECT = "http://json-schema.org/draft-07/schema#"
"""Which editors' TOML plug-ins (Even Better TOML, Tombi) read."""


def write_schema(model: type[BaseModel], title: str) -> str:
    """The schema as indented JSON, which differs only where the model does.

    Parameters
    ----------
    model : type
        What validates the file.
    title : str
        What the file is.
    """
    schema = model.model_json_schema(ref_template="#/definitions/{model}")
    schema["definitions"] = schema.pop("$defs", {})
    tables = {table.__name__: table for _, _, table in walk_tables(model)}
    for name, definition in schema["definitions"].items():
        if name in tables:
            definition["additionalProperties"] = False
            definition["description"] = describe_table(tables[name])
            _add_meanings(definition, {key.name: key.meaning for key in list_keys(tables[name])})
    _add_meanings(schema, {key.name: key.meaning for key in list_keys(model)})
    _tidy(schema)
    told = {"$schema": DIALECT, "title": title} | schema
    return json.dumps(told, indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def _add_meanings(definition: dict[str, Any], meanings: dict[str, str]) -> None:
    for name, told in definition.get("properties", {}).items():
        if meanings.get(name):
            definition["properties"][name] = dict(sorted({**told, "description": meanings[name]}.items()))


def _tidy(schema: Any) -> None:
    """Leave out pydantic's titles, which only repeat the keys, and write each description on one line."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        if isinstance(schema.get("description"), str):
            schema["description"] = " ".join(schema["description"].split())
        for part in schema.values():
            _tidy(part)
    elif isinstance(schema, list):
        for part in schema:
            _tidy(part)
