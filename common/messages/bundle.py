"""The inert bundle that a run carries because Flower wants one: a description, and no code.

Nobody executes it. Its hash names the release of rhe and of Flower: a link refuses a run with any other.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib.metadata import version

_DATE = (2024, 10, 1, 0, 0, 0)
"""A bundle is the same bytes whenever it is made; a ZIP file cannot leave out the date."""
_PROJECT = "pyproject.toml"


@cache
def make_bundle() -> bytes:
    """The bundle's bytes, a ZIP file; the same at every installation of one release of rhe and Flower."""
    project = _format_project().encode()
    listing = f"{_PROJECT},{hashlib.sha256(project).hexdigest()},{len(project) * 8}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in ((_PROJECT, project), (".info/CONTENT", listing.encode())):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = 3
            file.writestr(entry, content)
    return buffer.getvalue()


@cache
def bundle_digest() -> str:
    """SHA-256 of the bundle, hexadecimal: what Flower calls the hash of a run's bundle."""
    return hashlib.sha256(make_bundle()).hexdigest()


def _format_project() -> str:
    """Flower's format wants an app's name; there is none, so whoever tries to start the bundle fails."""
    return f"""\
[project]
name = "rhe"
version = "{version("rhe")}"
license = "Apache-2.0"
dependencies = ["flwr=={version("flwr")}"]

[tool.flwr.app]
publisher = "rhe"

[tool.flwr.app.components]
serverapp = "nothing:app"
clientapp = "nothing:app"

[tool.flwr.app.config]
"""
