"""What a run carries: nothing that anybody could execute, and the same wherever this release is installed."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version

from flwr.cli.config_utils import get_fab_config
from flwr.common.config import get_metadata_from_config, validate_config

from common.messages.bundle import bundle_digest, make_bundle


def test_it_holds_a_description_and_no_code():
    with zipfile.ZipFile(io.BytesIO(make_bundle())) as bundle:
        assert bundle.namelist() == ["pyproject.toml", ".info/CONTENT"]
        project = tomllib.loads(bundle.read("pyproject.toml").decode())
    assert project["tool"]["flwr"]["app"]["config"] == {}
    assert set(project["tool"]["flwr"]["app"]["components"].values()) == {"nothing:app"}


def test_flower_accepts_it_and_reads_this_release_from_it():
    config = get_fab_config(make_bundle())
    assert get_metadata_from_config(config) == ("rhe/rhe", version("rhe"))
    assert validate_config(config, check_module=False)[:2] == (True, [])


def test_its_hash_names_the_release_alone():
    """Flower's hash; the same in another process, on another day, under another user."""
    code = "import os; os.umask(0o77); import time; time.time = lambda: 0.0\n"
    code += "from common.messages.bundle import bundle_digest; print(bundle_digest())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TZ": "Asia/Shanghai", "LANG": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == bundle_digest() == hashlib.sha256(make_bundle()).hexdigest()
