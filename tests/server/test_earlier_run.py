"""What a resumed run says of the one before it; of one that was killed: `watch/test_study_watch.py`."""

from __future__ import annotations

import json
import re

from common.runtime.watch.state_file import STATE_VERSION
from server.earlier_run import describe_earlier_run
from server.watch.study_state import STATE_FILE, RunState


def test_a_finished_study_that_is_resumed_says_what_is_done_again(tmp_path):
    """It asked all sites again without a word, and the report got another date."""
    ended = RunState(condition="finished", run=1, ended="2026-11-30T04:12:00+00:00", ending="with results")
    state = {"version": STATE_VERSION, **ended.write_json()}
    (tmp_path / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")

    told = describe_earlier_run(tmp_path)

    assert re.match(r"this study was finished .*\d\d:\d\d.*: its results are in ", told)
    assert f"rhe-server report {tmp_path / 'results.json'} only writes the page anew" in told
    assert "\n" not in told
