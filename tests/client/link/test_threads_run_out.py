"""Where the system gives no thread to a link, its calls go one after the other, and it says so once."""

from __future__ import annotations

import threading

import pytest

from client.link.side_by_side import SideBySide


@pytest.fixture
def limit(monkeypatch):
    """How many threads may still be started; counts down."""
    left, start = [0], threading.Thread.start

    def start_within(thread):
        if left[0] == 0:
            # As CPython says it where pthread_create gives EAGAIN
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_within)
    return left


@pytest.mark.parametrize("threads", [0, 1, 3, 100])
def test_all_is_done_in_order_however_few_threads_there_are(limit, threads, caplog):
    limit[0] = threads
    beside = SideBySide(4)

    assert list(beside.map_in_order(lambda item: item**2, range(20))) == [item**2 for item in range(20)]

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (threads < 20)
    assert all("ulimit -u" in text and "it goes on" in text for text in said)


def test_it_says_so_again_once_there_were_threads_in_between(limit, caplog):
    beside = SideBySide(2)
    for limit[0] in (0, 1, 0, 0):
        assert beside.begin(lambda: 7).result() == 7
    assert len(caplog.records) == 2


def test_a_failure_without_a_thread_is_the_work_s_own(limit):
    def fail():
        raise LookupError("no such object")

    beside = SideBySide(1)
    for _ in range(3):
        # Its place is free again each time
        with pytest.raises(LookupError, match="no such object"):
            beside.begin(fail).result()
