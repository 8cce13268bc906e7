import gc
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from house.threads import describe_thread, find_threads_left

# Reading the test modules makes millions of objects that stay: going through them takes longer than reading.
gc.disable()

# Two workers share the cores, and a numerical reference is computed with as many threads as what it judges.
os.environ["OMP_NUM_THREADS"] = "1"


def _do_not_wait(_file: int) -> None:
    """In the place of fsync: no test cuts the power, and a disk takes milliseconds."""


os.fsync = _do_not_wait

# Tests' folders lie in memory where there is some: a disk takes milliseconds to put a file in another's place
# or to empty a folder, which tests do tens of thousands of times.
_memory = Path("/dev/shm")  # noqa: S108 - pytest makes a private folder in it
if _memory.is_dir() and os.access(_memory, os.W_OK) and shutil.disk_usage(_memory).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_memory))

# An example's time is the machine's: beside other work the same one takes ten times as long.
hypothesis.settings.register_profile("rhe", deadline=None, max_examples=50)
hypothesis.settings.load_profile("rhe")

# What the tests expect of files that are to be shown, whoever starts them.
_umask = 0o022

# The worker's own threads; later those, too, for which a module has failed.
_threads_before = set(threading.enumerate())

# A shell that runs the suite in the background makes it ignore Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests: at the end a worker would wait for the other's.

    Among them those come first whose time limit is the longest. What stands first in the random order stays
    first among equals; the tests of a module stay together.
    """
    limits: dict[pytest.Module | None, float] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            limit = item.get_closest_marker("timeout")
            module = item.getparent(pytest.Module)
            limits[module] = max(limits.get(module, 0.0), float(limit.args[0]) if limit else 0.0)
    items.sort(key=lambda item: -limits.get(item.getparent(pytest.Module), -1.0))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage again, but not among what was there before the first test.

    The process that deals the tests out comes here, too; it has no end of a collection.
    """
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _each_test_has_the_umask_of_the_first() -> Iterator[None]:
    """A command that closes its process to others closes the worker that calls it, too."""
    os.umask(_umask)
    yield
    os.umask(_umask)


@pytest.fixture(scope="module", autouse=True)
def _who_keeps_a_log_ends_with_its_module() -> Iterator[None]:
    """Nobody waits for it after its child: at the worker's end it would be told as one that still runs."""
    yield
    processes = sys.modules.get("common.runtime.processes")
    for kept in processes._logs if processes else ():
        kept.wait(10.0)


@pytest.fixture(scope="module", autouse=True)
def _no_thread_outlives_its_module() -> Iterator[None]:
    """A thread that runs on draws from `random`, logs and answers beneath the tests of another module."""
    yield
    left = find_threads_left(_threads_before)
    _threads_before.update(left)
    if left:
        pytest.fail(f"threads outlive this module: {', '.join(map(describe_thread, left))}", pytrace=False)
