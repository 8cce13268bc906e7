"""The Flower bundle that travels to every site: two thin modules, nothing else.

Coordinator and hospitals run the rhe that each has installed; the bundle holds only the two modules that
Flower loads by name. It is written file by file from this list, so no other file of a folder gets in.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from common.errors import StorageError
from common.runtime.storage import write_atomically

MODULES = ("client.app", "server.app")


def write_bundle(folder: Path) -> Path:
    """Write the bundle's files for ``flwr run`` into the folder, and return the folder.

    Raises
    ------
    StorageError
        If a module cannot be found or the folder cannot be written.
    """
    files = [module.replace(".", "/") + ".py" for module in MODULES]
    write_atomically(folder / "pyproject.toml", _format_project(files).encode())
    for module, file in zip(MODULES, files, strict=True):
        write_atomically(folder / file, _read_source(module))
    return folder


def _format_project(files: list[str]) -> str:
    return f"""\
[project]
name = "rhe"
version = "{version("rhe")}"
license = "Apache-2.0"
dependencies = ["flwr=={version("flwr")}"]

[tool.flwr.app]
publisher = "rhe"
fab-include = {json.dumps(files)}

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"

[tool.flwr.app.config]
job = ""
"""


def _read_source(module: str) -> bytes:
    package, _, name = module.partition(".")
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / f"{name}.py"
        if path.is_file():
            return path.read_bytes()
    raise StorageError(f"the installed rhe has no {module} -> install it again")
