import gc
import os
import signal

import pytest

# Reading the test modules makes millions of objects that stay: going through them takes longer than reading.
gc.disable()

# Two workers share the cores, and a numerical reference is computed with as many threads as what it judges.
os.environ["OMP_NUM_THREADS"] = "1"


def _do_not_wait(_file: int) -> None:
    """In the place of fsync: no test cuts the power, and a disk takes milliseconds."""


os.fsync = _do_not_wait

# A shell that runs the suite in the background makes it ignore Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests: at the end a worker would wait for the other's.

    What stands first in the random order stays first among them; the tests of a module stay together.
    """
    slow = {item.getparent(pytest.Module) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.getparent(pytest.Module) not in slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Collect garbage again, but not among what was there before the first test.

    The process that deals the tests out comes here, too; it has no end of a collection.
    """
    gc.freeze()
    gc.enable()
