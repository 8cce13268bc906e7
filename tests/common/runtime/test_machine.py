"""How many threads linear algebra takes: what is said inside, what was before afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg  # noqa: F401 - loaded only within a test, its library would keep a number of its own
from threadpoolctl import threadpool_info, threadpool_limits

from common.runtime.machine import bind_threads

PROGRAM = """
import json
import sys
from importlib import import_module
from threadpoolctl import threadpool_info
from common.runtime.machine import bind_threads
import numpy
with bind_threads(2):
    pass
if sys.argv[1:]:
    import_module(sys.argv[1])
with bind_threads(2):
    pools = threadpool_info()
print(json.dumps(sorted((pool["filepath"].split("/")[-2], pool["num_threads"]) for pool in pools)))
"""


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize("before", [1, 3])
def test_inside_the_number_is_the_given_one_and_afterwards_as_before(before):
    with threadpool_limits(before):
        with bind_threads(2):
            assert threads() == {2}
            with bind_threads(1):
                assert threads() == {1}
            assert threads() == {2}
        assert threads() == {before}
        with pytest.raises(ZeroDivisionError), bind_threads(2):
            raise ZeroDivisionError
        assert threads() == {before}


def test_a_product_has_the_bits_of_the_number_of_threads_and_not_of_the_machine():
    random = np.random.default_rng(0)
    left, right = random.normal(size=(96, 400)), random.normal(size=(400, 120))
    bits = []
    for machine in (1, 2, 3):
        with threadpool_limits(machine), bind_threads(2):
            bits.append((left @ right).tobytes())

    assert len(set(bits)) == 1


@pytest.mark.parametrize(
    ("variable", "later"),
    [
        ("OMP_NUM_THREADS", {}),
        ("OPENBLAS_NUM_THREADS", {"sklearn.utils._openmp_helpers": "scikit_learn.libs"}),
    ],
)
def test_every_library_is_bound_whatever_a_variable_says_and_one_that_comes_later_too(variable, later):
    environment = os.environ | {variable: "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *later], env=environment, check=True, capture_output=True, text=True
    )

    assert json.loads(done.stdout) == [
        [name, 2] for name in sorted(["numpy.libs", "scipy.libs", *later.values()])
    ]
