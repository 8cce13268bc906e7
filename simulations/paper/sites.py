"""The four sites' folders: each has a cohort table and settings, and no image."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from client.membership.site import MARKER, SITE_FILE
from common.runtime.storage import write_atomically

_TABLE = "cohort.csv"
_SITE = """# Written by rhe-simulate paper-tables: no patient of this folder exists.
name = "{name}"
table = "{table}"
synthetic = true

[policy]
profiles = ["replication"]
"""


def write_sites(tables: dict[str, pd.DataFrame], out: Path) -> dict[str, Path]:
    """Write one folder for each site and return them by the site's name.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    folders = {}
    for site, table in tables.items():
        folder = out / site
        write_atomically(folder / _TABLE, table.to_csv(index=False, lineterminator="\n").encode())
        marker = {"made_by": "rhe-simulate paper-tables", "patients": len(table)}
        write_atomically(folder / MARKER, (json.dumps(marker, indent=2) + "\n").encode())
        write_atomically(folder / SITE_FILE, _SITE.format(name=site, table=_TABLE).encode())
        folders[site] = folder
    return folders
