"""CONTRIBUTING's worked examples apply, keep the rules, pass, and touch as many files as it says.

Each recipe names a patch in docs/recipes. Above its first file, a patch may say how it is proved:
``Prove: pytest FILES -k EXPRESSION``; else the test files that it adds are run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.rules import ROOMS, breaches

ROOT = Path(__file__).parents[1]
PATCHES = sorted((ROOT / "docs" / "recipes").glob("*.patch"), key=lambda path: path.stem)
# A hook of git sets variables that would take git apply to the checkout instead of the copy.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
RUN = """
import sys, pytest
root, *arguments = sys.argv[1:]
status = pytest.main(arguments)
rooms = ("server", "client", "common", "simulations")
ours = [module for name, module in sys.modules.items() if name.split(".")[0] in rooms]
files = {getattr(module, "__file__", None) or root for module in ours}
strays = sorted(file for file in files if not file.startswith(root))
print(*strays, sep="\\n")
sys.exit(status or bool(strays) or not ours)
"""
"""Runs tests, and fails if a package comes from where rhe is installed instead of the copy."""


@dataclass(frozen=True)
class Recipe:
    """What CONTRIBUTING says under one heading."""

    title: str
    patch: str
    files: int


def recipes() -> list[Recipe]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = []
    for section in re.split(r"^### ", text.partition("\n## Recipes\n")[2], flags=re.MULTILINE)[1:]:
        (patch,) = re.findall(r"\(docs/recipes/([\w-]+)\.patch\)", section)
        (files,) = re.findall(r"touches (\d+) files today \(goal \d+\)", section)
        found.append(Recipe(section.partition("\n")[0], patch, int(files)))
    return found


def touched(patch: Path) -> list[str]:
    """The files that a patch adds or changes."""
    return re.findall(r"^diff --git a/\S+ b/(\S+)$", patch.read_text(encoding="utf-8"), re.MULTILINE)


def proof(patch: Path) -> tuple[list[str], str]:
    """Test files, and the expression that chooses among their tests."""
    preface = patch.read_text(encoding="utf-8").partition("diff --git ")[0]
    stated = re.search(r"^Prove: pytest (.+)$", preface, re.MULTILINE)
    if stated is None:
        text = patch.read_text(encoding="utf-8")
        files = re.findall(r"^--- /dev/null\n\+\+\+ b/(tests/\S+/test_\w+\.py)$", text, re.MULTILINE)
        return files, " or ".join(Path(name).stem for name in files)
    words = shlex.split(stated[1])
    return words[: words.index("-k")], words[words.index("-k") + 1]


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The project's files as they lie here, without what git ignores."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    target = tmp_path_factory.mktemp("copy")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    # What a file of that time and length was compiled to: else all are compiled anew
    for path in (path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("__pycache__")):
        if (target / path.relative_to(ROOT)).parent.is_dir():
            shutil.copytree(path, target / path.relative_to(ROOT))
    return target


@pytest.fixture(scope="module")
def patched(copy) -> Path:
    """The copy with every example; each was tried alone before. Neighbours may share lines of context."""
    for patch in PATCHES:
        run(copy, "git", "apply", "--check", str(patch))
    for patch in PATCHES:
        run(copy, "git", "apply", "-C1", str(patch))
    return copy


def test_every_recipe_has_an_example_and_every_example_a_recipe():
    assert sorted(recipe.patch for recipe in recipes()) == [patch.stem for patch in PATCHES]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_an_example_touches_as_many_files_as_its_recipe_says(patch):
    (recipe,) = [recipe for recipe in recipes() if recipe.patch == patch.stem]

    product = [name for name in touched(patch) if name.partition("/")[0] in ROOMS]
    assert len(product) == recipe.files


def test_the_examples_keep_the_rules_of_the_house(patched):
    changed = sorted({name for patch in PATCHES for name in touched(patch) if name.endswith(".py")})
    ruff = str(Path(sys.executable).with_name("ruff"))

    run(patched, ruff, "check", "--no-cache", *changed)
    run(patched, ruff, "format", "--no-cache", "--check", *changed)
    assert breaches(patched) == []


@pytest.mark.slow
def test_the_examples_pass_their_tests(patched):
    proofs = [proof(patch) for patch in PATCHES]
    files = sorted({name for named, _ in proofs for name in named})
    chosen = " or ".join(f"({expression})" for _, expression in proofs)
    assert all(files for files, _ in proofs)

    quiet = ["-q", "-p", "no:xdist", "-p", "no:randomly"]
    run(patched, sys.executable, "-c", RUN, str(patched), *quiet, *files, "-k", chosen)
