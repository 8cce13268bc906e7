"""The same plan gives the same bytes, however many threads a machine's variables give to linear algebra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from studies.bits import run_study
from threadpoolctl import threadpool_limits

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The results of plans with one thread and with two, where the variables say three."""
    search = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": search} | dict.fromkeys(VARIABLES, "3")
    command = [sys.executable, "-m", "studies.bits", str(tmp_path_factory.mktemp("elsewhere")), "1", "2"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("threads", [1, 2])
def test_variables_that_set_threads_do_not_change_a_byte(elsewhere, tmp_path, threads):
    with threadpool_limits(1):
        here = run_study(tmp_path, threads)

    assert here == elsewhere[threads - 1]
