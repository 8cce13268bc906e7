"""The guide for hospitals says what the program does: defaults of site.toml, levels, fields, tags."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from client.cohort import scan_notes
from client.cohort.completeness import ColumnLine
from client.cohort.finding_report import ExcludedRow, ExclusionLine, FlowLines, ReportedFinding, SiteReport
from client.membership.site import SiteSettings
from common.errors import Level
from common.imaging.dicom.tags import _IDENTIFYING
from common.imaging.options import SeriesRule
from common.stats.profile import Profile

DOCUMENT = Path(__file__).parents[3] / "docs" / "cohort-table.md"


def section_of(heading: str) -> str:
    document = DOCUMENT.read_text(encoding="utf-8")
    return document.split(f"## {heading}\n")[1].split("\n## ")[0]


def list_defaults(section: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(section).model_fields if isinstance(section, BaseModel) else vars(section):
        value = getattr(section, name)
        if isinstance(value, BaseModel | SeriesRule):
            yield from list_defaults(value, f"{name}.")
        else:
            yield f"{prefix}{name}", value


def test_the_documentation_names_every_key_of_the_site_file_with_its_default():
    settings = SiteSettings(name="a", table="a.csv")
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \|", section_of("The folder"), re.MULTILINE)
    written = {key: default.strip("`") for keys, default in rows for key in re.findall(r"`(.+?)`", keys)}
    expected = {
        key: json.dumps(list(value) if isinstance(value, tuple) else value)
        for key, value in list_defaults(settings)
    }
    expected |= {"name": "required", "table": "required", "policy.phases": "any", "mapping": "none"}
    expected |= {f"policy.{key}": str(getattr(settings, key)) for key in ("min_patients", "min_per_class")}

    assert written == expected
    assert all(f"`{profile}`" in section_of("The folder") for profile in get_args(Profile))


def test_the_documentation_describes_what_check_says():
    said = section_of("What `check` says")
    fields = [
        *(
            name
            for kind in (SiteReport, FlowLines, ExclusionLine, ExcludedRow, ReportedFinding)
            for name in kind.model_fields
        ),
        *(field.name for field in dataclasses.fields(ColumnLine)),
    ]

    assert [name for name in fields if f"`{name}`" not in said] == []
    assert re.findall(r"^\| ([a-z ]+) \| ", said, re.MULTILINE) == [str(level) for level in Level]
    tolerance = f"differ by {scan_notes._DISAGREEMENT_ML:g} ml, or by {scan_notes._DISAGREEMENT:.0%} of"
    assert tolerance.replace("%", " %") in said


def test_the_documentation_lists_the_tags_that_identify():
    listed = section_of("What DICOM says of patient and time").split("**Which tags")[1].split("**Dates")[0]

    assert sorted(re.findall(r"`(\w+)`", listed)) == sorted(_IDENTIFYING)
