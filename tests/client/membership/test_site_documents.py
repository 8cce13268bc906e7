"""The reference and the schema of site.toml in docs are those of the models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.membership.site import SiteSettings
from client.membership.site_documents import write_site_reference, write_site_schema
from common.runtime.setting_keys import list_keys, walk_tables

DOCS = Path(__file__).parents[3] / "docs"


def test_every_key_of_site_toml_has_a_meaning():
    keys = {(path, key.name): key for path, _, table in walk_tables(SiteSettings) for key in list_keys(table)}
    assert ("policy", "min_patients") in keys
    assert [place for place, key in keys.items() if len(key.meaning) < 10] == []


@pytest.mark.parametrize(
    ("name", "write"), [("site-reference.md", write_site_reference), ("site.schema.json", write_site_schema)]
)
def test_the_documents_are_those_of_the_models(name, write):
    command = f"rhe-client site {'schema' if 'schema' in name else 'reference'} --out docs/{name}"
    assert (DOCS / name).read_text(encoding="utf-8") == write(), f"write it again: {command}"


def test_the_schema_knows_the_policy():
    policy = json.loads(write_site_schema())["definitions"]["Policy"]
    assert policy["properties"]["min_sites"]["minimum"] == 2
