"""The reference and the JSON Schema of site.toml, as docs/ holds them."""

from __future__ import annotations

from client.membership.site import SiteSettings
from common.runtime.setting_reference import write_reference
from common.runtime.setting_schema import write_schema

_INTRODUCTION = """\
Every key that a site's `site.toml` can have. Written by `rhe-client site reference`; do not edit it.

What a site allows is below `[policy]`: whatever is not allowed there is refused, whatever a plan says. An
editor with Even Better TOML completes and checks a file that begins with `#:schema site.schema.json` (the
[schema](site.schema.json) is by `rhe-client site schema`). The columns of the cohort table are in
[cohort-table.md](cohort-table.md)."""


def write_site_reference() -> str:
    """docs/site-reference.md."""
    return write_reference(SiteSettings, "The reference of site.toml", _INTRODUCTION, {})


def write_site_schema() -> str:
    """docs/site.schema.json."""
    return write_schema(SiteSettings, "A site of rhe")
