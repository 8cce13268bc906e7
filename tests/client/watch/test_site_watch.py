"""What an engine tells its watch, and what a file, a board, a viewer and metrics make of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.commands import run_command
from studies.metrics_text import read_exposition

from client.link.site_views import SiteViews, show_site
from client.watch.engine_view import EngineView
from client.watch.site_board import describe_site_state
from client.watch.site_metrics import list_site_metrics
from client.watch.site_state import STATE_NAME, WATCH_FOLDER, read_site_state
from client.watch.site_status import find_site_status
from client.watch.site_watch import SiteSources, SiteWatch
from common.errors import MemoryShortageError, SiteError, StorageError
from common.messages.headers import ReplyHeader, RequestHeader
from common.messages.protocol import Reply, encode_reply
from common.runtime.storage import is_taken
from common.runtime.watch import state_file
from common.runtime.watch.exposition import write_exposition
from common.runtime.watch.plain_times import read_moment, write_moment
from common.secagg.wire.frames import MessageKind, pack
from common.secagg.wire.messages import Close, Closed

HASH = "f" * 64


def a_header(operation="newton", **fields):
    return RequestHeader.model_validate({"operation": operation, "plan_hash": HASH, "site": "a", **fields})


def keep(watch, folder, left=None, progress=None):
    sources = SiteSources(folder, progress or Progress(disable=True), lambda _: left or {})
    return watch.keep("a", ("A study", HASH), sources)


def told_by(watch):
    """The lines without their times."""
    return [line.partition(" ")[2] for line in watch.read().lines]


def test_what_is_computed_is_told_until_it_is_answered(tmp_path):
    watch = SiteWatch()
    seen = []

    def answer(message):
        watch.see_question(
            a_header("train", model="m", arm="federated", round=3, procedure="training m federated")
        )
        seen.append(watch.read())
        return message

    with keep(watch, tmp_path):
        assert watch.watch_answer(answer)(b"x") == b"x"
        after = watch.read()

    assert seen[0].computing.what == "training of m, federated, round 3"
    assert seen[0].heard
    assert (after.computing.what, after.answered, after.phase) == ("", 1, "training m federated")
    assert [line.partition(": done")[0] for line in told_by(watch)] == [
        "a: the engine is ready for the study A study",
        "asked: training m federated",
        "training of m, federated, round 3",
    ]


FULL = "CUDA out of memory -> free the GPU"


@pytest.mark.parametrize("is_hidden", [False, True])
def test_a_training_that_failed_is_not_told_as_done(tmp_path, is_hidden):
    watch = SiteWatch()
    request = SimpleNamespace(header=a_header("train", model="m", arm="federated", round=3))

    def train(*_):
        raise MemoryShortageError(FULL)

    def answer(message):
        if is_hidden:
            with pytest.raises(MemoryShortageError):
                watch.watch_sum(train)(request, True)
        else:
            watch.see_question(request.header)
            watch.see_failure(FULL)
        return message

    with keep(watch, tmp_path):
        watch.watch_answer(answer)(b"x")
        watch.watch_answer(lambda _: watch.see_question(request.header))(b"x")

    failed, done = (line for line in told_by(watch) if line.startswith("training of m"))
    assert failed.startswith("training of m, federated, round 3: no result after ")
    assert failed.endswith(f" s: {FULL}")
    assert done.startswith("training of m, federated, round 3: done in ")


def test_each_procedure_has_one_line_though_their_questions_come_in_turns(tmp_path):
    watch = SiteWatch()
    with keep(watch, tmp_path):
        for _ in range(70):
            for procedure in ("regression", "cohort"):
                header = a_header(procedure=procedure)
                watch.watch_answer(lambda _, header=header: watch.see_question(header))(b"")

    assert told_by(watch)[1:] == ["asked: regression", "asked: cohort"]
    assert watch.read().answered == 140


def test_a_message_that_nobody_signed_is_no_sign_of_the_coordinator(tmp_path):
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch.watch_answer(lambda message: message)(b"whatever")

        assert (watch.read().heard, watch.read().answered) == ("", 0)


def test_epochs_are_counted_and_patients_are_not(tmp_path):
    progress = Progress(disable=True)
    watch = SiteWatch()
    with keep(watch, tmp_path, progress=progress):
        task = progress.add_task("a: m alone", total=40)
        progress.update(task, completed=12)
        watch.see_question(a_header("train-local", model="m", arm="local-a"))
        training = watch.read().computing
        watch.see_question(a_header("prepare"))
        preparing = watch.read().computing

    assert (training.part, training.done, training.of) == ("epoch", 12, 40)
    assert (preparing.part, preparing.done, preparing.of) == ("percent", 30, 100)


def test_what_is_watched_costs_a_file_a_second_however_much_is_asked(tmp_path, monkeypatch):
    """A write takes about 1.4 ms of processor: less than 0.2 % of it, whatever a round does."""
    written, looked = [], []
    monkeypatch.setattr(
        state_file, "write_atomically", lambda path, content, **_: written.append(len(content))
    )
    # No second passes here
    monkeypatch.setattr(state_file, "_PERIOD_S", 3600.0)
    monkeypatch.setattr("shutil.disk_usage", lambda path: looked.append(path) or SimpleNamespace(free=1))
    watch = SiteWatch()

    with keep(watch, tmp_path):
        for number in range(2000):
            header = a_header(procedure=f"regression {number % 7}")
            watch.watch_answer(lambda _, header=header: watch.see_question(header))(b"")

    # At the beginning and at the end
    assert len(written) == len(looked) == 2
    assert max(written) < 20_000


def test_what_has_left_today_is_as_the_ledger_counts_it(tmp_path):
    watch = SiteWatch()
    with keep(watch, tmp_path, left={"statistics": 63, "model update": 8}):
        state = watch.read()

    facts = {fact.label: fact.value for fact in describe_site_state(state).facts}
    assert facts["left today (UTC)"] == "8 model update, 63 statistics"
    read = read_exposition(write_exposition(list_site_metrics(state)))
    assert read["rhe_answers_left_today"][1][("kind", "statistics"), ("site", "a")] == 63


def close_session(phase="statistics:0", status="opened", kind=MessageKind.CLOSED):
    """A message that closes a session, with the engine's answer of a kind."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    close = Close(hdr=HASH, phase=phase, status=status, result=HASH)
    sealed = pack(kind, Closed(hdr=HASH, site=1).body(), key)
    reply = Reply(ReplyHeader(site="a"), sealed=np.frombuffer(sealed, dtype=np.uint8))
    return pack(MessageKind.CLOSE, close.body(), key), encode_reply(reply)


def test_a_hospital_learns_that_the_study_asks_nothing_more_also_after_a_restart(tmp_path):
    message, reply = close_session()
    for _ in range(2):
        watch = SiteWatch()
        with keep(watch, tmp_path):
            watch.watch_answer(lambda _: reply)(message)
            watch.watch_answer(lambda _: reply)(message)
            during = describe_site_state(watch.read())
    after = find_site_status(tmp_path, tmp_path).write_lines()[0]

    assert re.fullmatch(
        r"all questions of this study were answered \(\d\d:\d\d\): Ctrl-C may end this site; should the "
        r"coordinator go on with --resume, start it again",
        during.condition,
    )
    assert "not running; all questions of this study were answered (" in after
    # By the engine before it
    assert told_by(watch)[1:] == []

    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch.watch_answer(lambda _: watch.see_question(a_header()))(b"")
        resumed = describe_site_state(watch.read())
    assert resumed.condition == "waits for the coordinator's next question"


@pytest.mark.parametrize(
    "other", [{"phase": "training:0:0"}, {"status": "lost"}, {"kind": MessageKind.REFUSAL}]
)
def test_what_closes_a_training_or_was_refused_ends_no_study(tmp_path, other):
    message, reply = close_session(**other)
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch.watch_answer(lambda _: reply)(message)

        assert watch.read().closed == ""


def test_minutes_without_a_question_are_explained_unless_the_line_is_cut(tmp_path):
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch.watch_answer(lambda _: watch.see_question(a_header()))(b"")
        state = watch.read()
    answered = read_moment(state.answered_at)

    def condition(after, connection=""):
        return describe_site_state(state, connection=connection, now=answered + after).condition

    assert condition(100) == condition(285, "not connected: x") == "waits for the coordinator's next question"
    assert condition(285) == (
        "waits for the coordinator's next question (none for 4 min 45 s: another hospital may be at work or "
        "away; the coordinator sees which)"
    )
    # Its own long work is no quiet of the others
    state.heard = write_moment(answered - 3600)
    assert condition(100) == "waits for the coordinator's next question"


def test_a_round_is_told_with_how_many_there_are(tmp_path):
    watch = SiteWatch()
    sources = SiteSources(tmp_path, Progress(disable=True), lambda _: {}, rounds=20)
    with watch.keep("a", ("A study", HASH), sources):
        watch.see_question(a_header("train", model="m", arm="federated", round=9))

        assert watch.read().computing.what == "training of m, federated, round 9 of 20"


def test_an_engine_that_was_killed_before_this_start_has_one_line_and_not_its_old_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("client.watch.engine_view._PERIOD_S", 0.0)
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch.see_question(a_header("train", model="m", arm="federated", round=3))
        watch._file.write()
        killed = (tmp_path / WATCH_FOLDER / STATE_NAME).read_bytes()
    (tmp_path / WATCH_FOLDER / STATE_NAME).write_bytes(killed)
    monkeypatch.setattr("client.watch.engine_view.time.time", lambda: time.mktime((2099, 1, 1) + (0,) * 6))
    view = EngineView()

    (line,) = view.look(tmp_path)

    assert re.fullmatch(
        r"earlier: killed at .* or a little later during training of m, federated, round 3; it goes on from "
        r"there",
        line,
    )
    assert view.look(tmp_path) == []
    assert view.state.lines == ()


def test_only_one_engine_keeps_the_file(tmp_path):
    with keep(SiteWatch(), tmp_path), pytest.raises(StorageError), keep(SiteWatch(), tmp_path):
        pass


def test_whoever_started_the_site_reads_each_line_once_and_those_of_the_next_engine(tmp_path, monkeypatch):
    monkeypatch.setattr("client.watch.engine_view._PERIOD_S", 0.0)
    view = EngineView()
    assert view.look(tmp_path) == []
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch._file.write()
        first = view.look(tmp_path)
        again = view.look(tmp_path)
        watch._say("wrong \x1b[2J\nletters" + "x" * 1000)
        watch._file.write()
        (second,) = view.look(tmp_path)
    monkeypatch.setattr("os.getpid", lambda: 7)
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch._file.write()
        third = view.look(tmp_path)

    assert [line.partition(" ")[2] for line in first] == ["a: the engine is ready for the study A study"]
    assert again == []
    assert second.isprintable()
    assert len(second) == 300
    assert len(third) == 1


def test_a_file_that_the_engine_s_user_spoilt_stops_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr("client.watch.engine_view._PERIOD_S", 0.0)
    (tmp_path / WATCH_FOLDER).mkdir()
    view = EngineView()
    for content in ("", "{}", '{"version": 1}', '{"version": 1, "lines": 3, "computing": {}}'):
        (tmp_path / WATCH_FOLDER / STATE_NAME).write_text(content)

        assert view.look(tmp_path) == []


def test_a_full_disk_is_told_once_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("client.watch.engine_view._PERIOD_S", 0.0)
    free = iter([10**9, 4_096, 4_096, 10**9, 0])
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=next(free)))
    view = EngineView()

    told = [view.look(tmp_path) for _ in range(5)]

    assert [len(lines) for lines in told] == [0, 1, 0, 0, 1]
    assert told[1][0].startswith(f"{tmp_path}: the disk is full (4.1 kB free) -> free some space here")


def test_status_tells_what_it_is_at_and_afterwards_when_it_ended(tmp_path):
    watch = SiteWatch()
    with keep(watch, tmp_path):
        watch.see_question(a_header("train", model="m", arm="federated", round=3))
        watch._file.write()
        running = find_site_status(tmp_path, tmp_path)
    ended = find_site_status(tmp_path, tmp_path)

    assert running.is_running
    assert running.write_lines()[0].endswith(" s: training of m, federated, round 3")
    assert "not running, ended at " in ended.write_lines()[0]
    assert json.loads(ended.write_json())["is_running"] is False


def test_an_engine_that_was_killed_has_written_no_end(tmp_path):
    with keep(SiteWatch(), tmp_path):
        content = (tmp_path / WATCH_FOLDER / STATE_NAME).read_bytes()
    (tmp_path / WATCH_FOLDER / STATE_NAME).write_bytes(content)

    assert "not running, killed at " in find_site_status(tmp_path, tmp_path).write_lines()[0]


def test_a_site_where_no_engine_has_run_is_told(tmp_path):
    for state in (tmp_path / "gone", tmp_path):
        with pytest.raises(SiteError, match="no engine has run here"):
            find_site_status(tmp_path, state)


def test_a_signal_ends_it_at_once_and_the_file_says_so(tmp_path):
    code = f"""
import sys, threading
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from types import SimpleNamespace
from rich.progress import Progress
from client.watch.site_watch import SiteSources, SiteWatch
watch = SiteWatch()
sources = SiteSources(Path(sys.argv[1]), Progress(disable=True), lambda _: {{}})
with watch.keep("a", ("A study", "f" * 64), sources):
    watch.end_on_signals()
    print("ready", flush=True)
    threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM

    assert read_site_state(tmp_path).ended
    assert not is_taken(tmp_path / WATCH_FOLDER)


def test_the_command_prints_words_or_one_object_and_finds_the_state(tmp_path):
    with keep(SiteWatch(), tmp_path / ".rhe"):
        pass

    words = run_command("rhe-client", "status", tmp_path)
    told = run_command("rhe-client", "status", "--state", tmp_path / ".rhe", "--json", tmp_path)

    assert words.stdout.startswith("a, study A study: not running, ended at ")
    assert json.loads(told.stdout)["site"] == "a"


def test_status_loads_nothing_that_would_make_it_slow():
    heavy = ("numpy", "pydantic", "rich.live", "flwr", "torch", "cryptography", "http.server", "pandas")
    code = (
        "import sys, client.cli, client.watch.site_status; "
        "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_a_page_is_refused_where_the_link_is_another_user():
    with pytest.raises(SiteError, match="rhe-client status says the same"), show_site(SiteViews(port=0)):
        pass


def test_a_site_is_shown_as_lines_a_page_and_metrics(tmp_path, capsys):
    metrics = tmp_path / "rhe.prom"
    with show_site(SiteViews(0, metrics, same_user=True)) as shown:
        shown.say("center1: connected")
        shown.view.connection = "connected to x"
        shown.refresh()

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("to watch on this computer: http://127.0.0.1:")
    assert lines[1:] == ["center1: connected"]
    read = read_exposition(metrics.read_text())
    assert list(read["rhe_link_connected"][1].values()) == [1.0]
