"""The SHA-256 of every file that an installation needs: ``python -m tests.house.pinned`` writes them anew.

``constraints.txt`` says which versions; the lists in ``deploy/pinned`` also say which files, for Linux on
x86-64 and CPython 3.11, so that ``pip install --require-hashes`` refuses any other. pip itself chooses them,
once with the index that is configured here and once with its own: torch's builds for CPU and CUDA differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

CONSTRAINTS = Path("constraints.txt")
WHEELS, SOURCES, CPU, CUDA = (
    Path("deploy/pinned") / name for name in ("wheels.txt", "sources.txt", "cpu.txt", "cuda.txt")
)

_MARK = " \\\n    --hash=sha256:"
_CONFIGURED: Mapping[str, str] = os.environ
_ELSEWHERE = frozenset(("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"))
_PIPS_OWN = {
    **{name: value for name, value in os.environ.items() if name not in _ELSEWHERE},
    "PIP_CONFIG_FILE": os.devnull,
}
_HEADINGS = {
    WHEELS: "What constraints.txt pins, without torch.",
    SOURCES: "What has no wheel: built after the wheels are installed, with --no-build-isolation.",
    CPU: "torch, built for the CPU alone; from an index that has this build.",
    CUDA: "torch, built for CUDA, and the libraries that it needs besides.",
}


@dataclass(frozen=True)
class PinnedFile:
    """A file of a release.

    Attributes
    ----------
    requirement : str
        ``name==version``; the version may end with a build's label, such as ``+cpu``.
    file : str
        The file's name.
    sha256 : str
        64 hexadecimal digits.
    """

    requirement: str
    file: str
    sha256: str

    @property
    def is_torch(self) -> bool:
        """Whether it is one of torch's builds."""
        return self.requirement.startswith("torch==")


def read_pins(text: str) -> dict[str, frozenset[str]]:
    """The hashes of each ``name==version`` in a list of requirements; none for a line without."""
    lines = text.replace("\\\n", " ").splitlines()
    words = [line.partition("#")[0].split() for line in lines]
    return {
        line[0]: frozenset(word.removeprefix("--hash=sha256:") for word in line[1:]) for line in words if line
    }


def write_pins(files: Iterable[PinnedFile], heading: str) -> str:
    """A list of requirements with the hashes of these files."""
    hashes: dict[str, set[str]] = defaultdict(set)
    for file in files:
        hashes[file.requirement].add(file.sha256)
    lines = [
        requirement + "".join(_MARK + digest for digest in sorted(hashes[requirement]))
        for requirement in sorted(hashes, key=str.lower)
    ]
    return "\n".join([f"# {heading}", "# Made by: python -m tests.house.pinned", *lines]) + "\n"


def choose_files(
    requirements: Iterable[str], environment: Mapping[str, str], *options: str
) -> list[PinnedFile]:
    """The files that pip would install, without installing them.

    Raises
    ------
    CalledProcessError
        If pip finds no such release.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        how = ["--no-build-isolation", "--prefer-binary", "--report", str(report), *options]
        subprocess.run([*pip, *how, *requirements], env=dict(environment), check=True)
        return [_describe_file(entry) for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]


def _describe_file(entry: Mapping[str, Mapping[str, str]]) -> PinnedFile:
    release, download = entry["metadata"], json.loads(json.dumps(entry["download_info"]))
    return PinnedFile(
        requirement=f"{release['name']}=={release['version']}",
        file=unquote(download["url"].rpartition("/")[2]),
        sha256=download["archive_info"]["hashes"]["sha256"],
    )


def renew_lists() -> None:
    """Write the lists anew.

    Raises
    ------
    ValueError
        If the index that is configured here has no build of torch for the CPU alone.
    """
    pins = list(read_pins(CONSTRAINTS.read_text(encoding="utf-8")))
    files = [file for index in (_CONFIGURED, _PIPS_OWN) for file in choose_files(pins, index, "--no-deps")]
    torch = [pin for pin in pins if pin.startswith("torch==")]
    needed = choose_files(torch, _PIPS_OWN, "--constraint", str(CONSTRAINTS))
    known = {file.requirement for file in files} - set(torch)
    lists = {
        WHEELS: [file for file in files if file.file.endswith(".whl") and not file.is_torch],
        SOURCES: [file for file in files if not file.file.endswith(".whl")],
        CPU: [file for file in files if file.is_torch and file.requirement not in torch],
        CUDA: [file for file in needed if file.requirement not in known],
    }
    if not lists[CPU]:
        raise ValueError(
            "the configured index has no build of torch for the CPU alone -> configure one that has"
        )
    for path, content in lists.items():
        path.write_text(write_pins(content, _HEADINGS[path]), encoding="utf-8")


if __name__ == "__main__":
    renew_lists()
