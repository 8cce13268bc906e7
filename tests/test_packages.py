"""The packages on the disk: what Python imports is ours, and Flower finds no app in the project."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_working_folder_itself_is_no_flower_app():
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
