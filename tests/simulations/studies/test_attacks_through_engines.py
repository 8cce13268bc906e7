"""The attacks on secure aggregation once more, the way that messages go in a hospital."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
FILES = [f"common/secagg/test_attacks_{name}.py" for name in ("messages", "release", "session", "local")]


@pytest.mark.slow
def test_every_attack_ends_behind_flower_and_engine_as_at_the_machine(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "secagg.engines", "-p", "no:randomly"]
    # The worlds are counted, also of tests that passed
    command += ["-o", "tmp_path_retention_policy=all"]
    command += [f"--basetemp={tmp_path / 'worlds'}", *(str(TESTS / name) for name in FILES)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}

    done = subprocess.run(
        command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=False, timeout=280
    )

    assert done.returncode == 0, done.stdout[-3000:]
    # pytest keeps a folder a test; each has asked at least one engine
    assert sum(1 for _ in (tmp_path / "worlds").glob("*/**/engines/centre1")) > 70
