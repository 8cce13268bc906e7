"""A faulty site.toml as far as it can be read, so that its faults hide nothing else of the folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from client.membership.site import SITE_FILE, Policy, SiteSettings, is_marked_synthetic, load_site
from common.cohort.sheet import CSV, XLSX
from common.errors import Finding, SiteError
from common.runtime.settings_file import parse_toml, read_settings_text

UNNAMED = "unnamed"
"""Name of a site whose site.toml does not tell it."""

_ATTEMPTS = 20


@dataclass(frozen=True)
class SalvagedSite:
    """What a site.toml tells, faulty or not.

    Attributes
    ----------
    settings : SiteSettings or None
        Without what is wrong with them. A table that is not named is taken for the only one in the folder;
        None if that does not tell it.
    findings : tuple of Finding
        One on each fault.
    is_read : bool
        Whether the file could be read at all; else nothing is known of the site's policy, and `settings` ask
        for nothing.
    """

    settings: SiteSettings | None
    findings: tuple[Finding, ...] = ()
    is_read: bool = True


def salvage_site(folder: Path) -> SalvagedSite:
    """The settings without what is wrong with them, and a finding on each fault."""
    try:
        return SalvagedSite(load_site(folder))
    except SiteError as failure:
        findings = tuple(_describe(line) for line in str(failure).splitlines())
    if not folder.is_dir():
        return SalvagedSite(None, findings, is_read=False)
    raw = _read_raw(folder / SITE_FILE)
    settings = _drop_faults(raw or {}, folder)
    if raw is None and settings is not None:
        settings = _ask_for_nothing(settings, folder)
    return SalvagedSite(settings, findings, is_read=raw is not None)


def _ask_for_nothing(settings: SiteSettings, folder: Path) -> SiteSettings:
    """The settings of a site whose own minimums nobody knows."""
    try:
        synthetic = is_marked_synthetic(folder)
    except SiteError:
        synthetic = False
    policy = Policy(min_patients=1, min_per_class=1)
    return settings.model_copy(update={"policy": policy, "synthetic": synthetic})


def _describe(line: str) -> Finding:
    what, _, remedy = line.partition(" -> ")
    return Finding(SITE_FILE, what, remedy)


def _read_raw(path: Path) -> dict[str, Any] | None:
    try:
        return parse_toml(read_settings_text(path))
    except (OSError, ValueError):
        return None


def _drop_faults(raw: dict[str, Any], folder: Path) -> SiteSettings | None:
    """The settings once every refused key is gone, and what is needed is guessed."""
    for _ in range(_ATTEMPTS):
        try:
            return SiteSettings.model_validate(raw)
        except ValidationError as failure:
            for problem in failure.errors():
                if problem["type"] != "missing":
                    _drop_key(raw, problem["loc"])
        raw.setdefault("name", UNNAMED)
        table = _find_only_table(folder)
        if "table" not in raw and table is None:
            return None
        raw.setdefault("table", table)
    return None


def _drop_key(raw: dict[str, Any], location: tuple[int | str, ...]) -> None:
    """Remove the deepest key of a table on the way to a violation; without any, the policy."""
    inside, holder, key = raw, raw, "policy"
    for part in location:
        if not isinstance(inside, dict) or part not in inside:
            break
        holder, key, inside = inside, str(part), inside[str(part)]
    holder.pop(key, None)


def _find_only_table(folder: Path) -> str | None:
    """The folder's table, if it has exactly one; a file that Excel holds open is none."""
    names = [path.name for path in folder.iterdir() if path.suffix.lower() in {CSV, XLSX}]
    tables = [name for name in names if not name.startswith((".", "~$"))]
    return tables[0] if len(tables) == 1 else None
