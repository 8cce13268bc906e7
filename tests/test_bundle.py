"""What travels to every site: two modules of code, whatever lies in the folder from which it is sent."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from common.runtime.processes import flower_environment
from server.process.bundle import MODULES, write_bundle

ROOT = Path(__file__).parents[1]


def build(folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("flwr")), "build", "--app", str(folder)],
        cwd=home,
        env={**os.environ, **flower_environment(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> zipfile.ZipFile:
    home = tmp_path_factory.mktemp("home")
    folder = write_bundle(tmp_path_factory.mktemp("build") / "bundle")
    (folder / "patients.csv").write_text("patient\nsecret\n")
    (folder / "notes.md").write_text("secret")
    (folder / "client" / "extra.py").write_text("secret = 1")
    (folder / "data.json").write_text("{}")
    done = build(folder, home)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(home.glob("*.fab"))) as opened:
        yield opened


def test_the_bundle_holds_the_two_modules_and_its_own_description(bundle):
    assert sorted(bundle.namelist()) == [".info/CONTENT", "client/app.py", "pyproject.toml", "server/app.py"]


def test_the_modules_are_those_that_are_installed(bundle):
    for module in MODULES:
        name = module.replace(".", "/") + ".py"
        assert bundle.read(name) == (ROOT / name).read_bytes()


def test_the_run_configuration_names_no_path(bundle):
    project = tomllib.loads(bundle.read("pyproject.toml").decode())
    assert project["tool"]["flwr"]["app"]["config"] == {"job": ""}


def test_the_working_folder_itself_cannot_be_sent(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "flwr" not in project["tool"]


def test_the_packages_have_no_init_files_that_would_hide_the_installed_code():
    for package in ("client", "server", "common"):
        assert not (ROOT / package / "__init__.py").exists()


def test_no_other_distribution_owns_our_packages():
    """A stranger's `client` or `server` in site-packages would be mixed with ours."""
    for package in ("client", "server", "common", "simulations"):
        found = [Path(folder) / package for folder in sys.path if (Path(folder) / package).is_dir()]
        outside = [path for path in found if ROOT not in path.resolve().parents]
        assert outside == []
