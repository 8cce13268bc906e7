"""`rhe-client start` as root with two real users: each has what is its own, and nothing of the other's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sites.passable import make_passable_folder

from tests.deployment.stage import find_hindrances

HINDRANCES = find_hindrances()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(HINDRANCES), reason=f"NOT RUN: {'; '.join(HINDRANCES)}"),
]


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    program = Path(__file__).with_name("real_users.py")
    tests = program.parents[1]
    with make_passable_folder() as work:
        done = subprocess.run(
            ["unshare", "--mount", sys.executable, program, work],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])},
        )
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert "uids" in told, told
    return told


def test_each_process_is_its_user_for_good(seen):
    assert seen["uids"] == {"engine": [4242] * 3, "link": [4243] * 3}
    assert seen["groups"] == {"engine": ["4242"], "link": ["4243"]}
    assert seen["owners"] == [[4242], [4243]]
    assert "users 4242 and 4243" in seen["said"]


def test_only_the_links_user_is_answered(seen):
    assert seen["link asks"] == "E_CONTEXT"
    assert "Permission denied" in seen["stranger asks"]
    assert "gave no answer" in seen["root asks"]
    assert (seen["room"], seen["socket"]) == ([4242, 4243, "0o750"], [4242, 4243, "0o660"])


def test_the_link_reads_nothing_of_the_engines_which_reads_its_own(seen):
    assert seen["link reads"] == []
    assert seen["engine reads link"] == []
    assert seen["engine cannot read"] == []
    assert seen["files"] > 5


def test_the_link_reaches_neither_the_engines_process_nor_the_supervisors(seen):
    assert seen["link attacks engine"] == []
    assert seen["link attacks supervisor"] == []
    assert seen["core"] == "0"


def test_a_coordinator_that_does_not_answer_is_told(seen):
    assert "a: not connected: " in seen["said"]
