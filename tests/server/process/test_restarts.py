"""A study goes on by itself when its SuperLink was started again."""

from __future__ import annotations

import pytest

from common.errors import SmallNumberError
from server.process import restarts
from server.process.restarts import SuperLinkError, outlast_superlink


@pytest.fixture(autouse=True)
def in_haste(monkeypatch):
    monkeypatch.setattr(restarts, "_POLL_S", 1e-3)


def losing(times, seen):
    def work(begun):
        seen.append(begun)
        if begun < times:
            raise SuperLinkError("the SuperLink does not answer")

    return work


def test_it_is_waited_for_and_the_study_goes_on(caplog):
    caplog.set_level("INFO")
    seen, looks = [], iter([False, False, True])
    outlast_superlink(losing(1, seen), lambda: next(looks), 60)
    assert seen == [0, 1]
    assert "paused, waiting for the SuperLink since " in caplog.text
    assert "(the SuperLink does not answer)" in caplog.text
    assert "the SuperLink is back after " in caplog.text


@pytest.mark.parametrize(("is_back", "patience_s"), [(True, 0), (False, 0.01)])
def test_without_patience_or_in_vain_the_run_ends(is_back, patience_s):
    seen = []
    with pytest.raises(SuperLinkError):
        outlast_superlink(losing(9, seen), lambda: is_back, patience_s)
    assert seen == [0]


def test_one_that_is_lost_again_and_again_ends_the_run():
    seen = []
    with pytest.raises(SuperLinkError):
        outlast_superlink(losing(99, seen), lambda: True, 60)
    assert len(seen) == 6


def test_any_other_failure_ends_the_run_at_once():
    def work(_):
        raise SmallNumberError("3 patients")

    with pytest.raises(SmallNumberError):
        outlast_superlink(work, lambda: True, 60)
