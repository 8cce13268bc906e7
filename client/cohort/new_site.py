"""A new site folder: site.toml, and a table to fill in or the hospital's own with a proposed mapping."""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from client.cohort.empty_table import write_csv_table, write_workbook
from client.cohort.mapping.proposal import MappingProposal, propose_mapping
from client.cohort.mapping.toml_text import has_mapping, insert_mapping, render_mapping
from client.membership.site import SITE_FILE, SiteSettings
from common.cohort.schema import VARIABLES
from common.cohort.variable import Variable
from common.errors import SiteError
from common.plan.needed_columns import choose_columns, list_table_columns
from common.plan.study import StudyPlan
from common.runtime.name_patterns import read_name, tidy_name
from common.runtime.settings_file import load_settings, read_settings_text
from common.runtime.storage import make_private_folder, write_atomically

_NO_NAME = re.compile(r"[^A-Za-z0-9.+-]+")
_LONGEST_NAME = 40
_SITE = """\
# What this hospital tells rhe; every key is explained in docs/site-reference.md.
# Then: rhe-client check {folder}

name = {name}  # as in the study plan
table = {table}

[mask]  # label values of the masks; any other label refuses the patient
ich = [1]
ivh = [2]
# ignored = [3]  # known labels that are neither, such as edema

# [policy]  # what may be asked of this site; what stands here is the default
# profiles = ["standard"]
# model_release = false  # may a model trained on this site's patients alone leave it?
# min_patients = 20
# min_per_class = 10
"""


@dataclass(frozen=True)
class NewSite:
    """What a new folder is made of.

    Attributes
    ----------
    folder : Path
        To be made.
    name : str
        The site's; empty: by the folder's name.
    source : Path or None
        The hospital's own table; None: an empty one is written.
    dictionary : Path or None
        REDCap's data dictionary of the source.
    plan : StudyPlan or None
        Says which columns the study needs.
    as_csv : bool
        Whether an empty table is a CSV.
    images : bool
        Whether an empty table has columns for CTs and masks, where no plan says it.
    """

    folder: Path
    name: str = ""
    source: Path | None = None
    dictionary: Path | None = None
    plan: StudyPlan | None = None
    as_csv: bool = False
    images: bool = True


def make_site(new: NewSite) -> MappingProposal | None:
    """Make the folder; returns the proposal that was written into it, if there is a table to read.

    Raises
    ------
    SiteError
        If there is a site already, or files in the way.
    CohortError
        If the hospital's own table cannot be read.
    StorageError
        If a file cannot be written.
    """
    path = new.folder / SITE_FILE
    if path.exists():
        raise SiteError(
            f"{path}: there is a site already -> rhe-client map TABLE --write adds a mapping to it"
        )
    if new.name:
        read_name("--name", new.name, SiteError)
    name = new.name or _derive_name(new.folder)
    if new.source is None:
        table = f"patients.{'csv' if new.as_csv else 'xlsx'}"
        variables = list_table_columns(new.plan, images=new.images)
        content = write_csv_table(variables) if new.as_csv else write_workbook(variables)
        proposal, mapping = None, ""
    else:
        table = _find_name(new.source, new.folder)
        proposal = propose_mapping(new.source, list_variables(new.plan), new.dictionary)
        content, mapping = new.source.read_bytes(), render_mapping(proposal)
    if (new.folder / table).exists() and _is_other(new.folder / table, new.source):
        raise SiteError(f"{new.folder / table}: is there already -> move it, or choose another folder")
    if not new.folder.exists():
        make_private_folder(new.folder)
    if not (new.folder / table).exists():
        _write_for_owner(new.folder / table, content)
    text = _SITE.format(folder=shlex.quote(str(new.folder)), name=_quote(name), table=_quote(table))
    _write_for_owner(path, (insert_mapping(text, mapping) if mapping else text).encode())
    load_settings(path, SiteSettings, SiteError)
    return proposal


def list_variables(plan: StudyPlan | None) -> tuple[Variable, ...]:
    """The variables that a hospital's own table may hold."""
    return (*VARIABLES, *choose_columns(plan).declared)


def write_mapping(site_file: Path, proposal: MappingProposal, *, replace: bool) -> None:
    """Write the proposal into a site.toml, and leave the rest of it as it is.

    Raises
    ------
    SiteError
        If there is none, if it names another table, or if it has a mapping and that is not to be replaced.
    StorageError
        If it cannot be written.
    """
    settings = load_settings(site_file, SiteSettings, SiteError)
    text = read_settings_text(site_file)
    if settings.locate_table(site_file.parent).name != proposal.path.name:
        what = f"its table is {settings.table!r}, not {proposal.path.name!r}"
        raise SiteError(f"{site_file}: {what} -> correct `table`")
    if has_mapping(text):
        if not replace:
            raise SiteError(
                f"{site_file}: has a [mapping] already -> --replace writes the new one in its place"
            )
        _write_for_owner(site_file.with_name(f"{site_file.name}.old"), text.encode())
    _write_for_owner(site_file, insert_mapping(text, render_mapping(proposal)).encode())
    load_settings(site_file, SiteSettings, SiteError)


def _write_for_owner(path: Path, content: bytes) -> None:
    """Write a private file for whom its folder belongs to: what root writes, the engine's user reads."""
    write_atomically(path, content, private=True)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _derive_name(folder: Path) -> str:
    """The folder's name as a plan may hold it: as people write it where that is a name."""
    written = folder.resolve().name
    try:
        return tidy_name(written)
    except ValueError:
        plain = unicodedata.normalize("NFKD", written).encode("ascii", "ignore").decode()
        return _NO_NAME.sub("-", plain).strip("-.+")[:_LONGEST_NAME] or "hospital"


def _find_name(source: Path, folder: Path) -> str:
    """The table's name below the folder; a table elsewhere is copied beside site.toml."""
    try:
        return source.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return source.name


def _is_other(path: Path, source: Path | None) -> bool:
    return source is None or path.resolve() != source.resolve()


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
