import os
import signal
import time
from concurrent.futures import Future

import pytest
from flwr.app import Message, MessageType
from rich.progress import Progress
from sites.held import Held

from common.errors import CohortError, RheError
from common.messages.protocol import from_record, to_record
from simulations.backends.local_grid import ConcurrentGrid
from simulations.backends.relayed_progress import ProgressMirror, RelayedProgress
from simulations.backends.side_process import count_places, start_beside


@pytest.fixture(scope="module")
def shown():
    return Progress(disable=True)


@pytest.fixture(scope="module")
def process(shown):
    with start_beside({"held": Held}, shown) as (only,):
        yield only


def test_methods_are_carried_out_elsewhere_one_after_another(process):
    begun = [process.begin("note", word) for word in "abc"]

    assert [future.result()[-1] for future in begun] == ["a", "b", "c"]
    assert process.begin("note", "d").result()[-4:] == ("a", "b", "c", "d")


def test_what_is_logged_and_shown_there_is_logged_and_shown_here(process, shown, caplog):
    process.begin("tell").result()

    (record,) = [record for record in caplog.records if record.name == "rhe.held"]
    assert (record.levelname, record.getMessage()) == ("WARNING", "site=a works")
    assert record.process != os.getpid()
    (task,) = shown.tasks
    assert (task.description, task.total) == ("b: epochs", 2)


def test_an_error_comes_with_its_kind_and_findings_and_the_next_call_is_answered(process):
    with pytest.raises(CohortError, match="row 3: no age -> fill it in\nrow 4: no mask") as told:
        process.begin("refuse").result()
    assert [finding.where for finding in told.value.findings] == ["row 3", "row 4"]
    assert process.begin("note", "d").result()[-1] == "d"


def test_the_end_interrupts_what_is_half_done_and_leaves_nothing(tmp_path, shown):
    with start_beside({"slow": Held}, shown) as (slow,):
        begun = slow.begin("write_half", tmp_path)
        deadline = time.monotonic() + 120
        while not (tmp_path / "half").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "half").exists()

    assert list(tmp_path.iterdir()) == []
    assert isinstance(begun.exception(), RheError)


def test_a_process_that_is_killed_is_told(shown):
    with start_beside({"center1": Held}, shown) as (killed,):
        killed.begin("note", "a").result()
        os.kill(killed.number, signal.SIGKILL)

        with pytest.raises(RheError, match="the process of center1 was ended from outside.* --resume"):
            killed.begin("note", "b").result()


def test_progress_is_mirrored_task_by_task():
    shown = Progress(disable=True)
    shown.add_task("the coordinator's")
    mirror = ProgressMirror(shown)
    relayed = RelayedProgress(mirror.show)
    first, second = relayed.add_task("first", total=4), relayed.add_task("second", total=None)

    relayed.advance(first)
    relayed.update(second, total=9, completed=2)

    assert [(task.description, task.completed, task.total) for task in shown.tasks[1:]] == [
        ("first", 1, 4),
        ("second", 2, 9),
    ]
    relayed.remove_task(first)
    assert [task.description for task in shown.tasks] == ["the coordinator's", "second"]


def test_sites_of_a_concurrent_grid_are_asked_at_once_and_answer_as_they_are_done():
    asked: dict[str, Future[bytes]] = {"a": Future(), "b": Future()}
    bodies = {}

    def link(name):
        return lambda body: bodies.update({name: body}) or asked[name]

    grid = ConcurrentGrid({name: link(name) for name in asked})
    numbers = list(
        grid.push_messages(
            Message(to_record(body), node, MessageType.QUERY)
            for node, body in zip(grid.get_node_ids(), (b"1", b"2"), strict=True)
        )
    )
    assert bodies == {"a": b"1", "b": b"2"}

    asked["b"].set_result(b"b is first")
    (first,) = grid.pull_messages(numbers)
    asked["a"].set_result(b"then a")
    (second,) = grid.pull_messages(numbers)

    assert [from_record(reply.content) for reply in (first, second)] == [b"b is first", b"then a"]
    assert [reply.metadata.reply_to_message_id for reply in (first, second)] == numbers[::-1]
    assert list(grid.pull_messages(numbers)) == []


def test_a_failure_of_the_process_ends_a_concurrent_study():
    gone: Future[bytes] = Future()
    gone.set_exception(RheError("the process of a was ended"))
    grid = ConcurrentGrid({"a": lambda _: gone})
    (node,) = grid.get_node_ids()

    with pytest.raises(RheError, match="was ended"):
        grid.send_and_receive([Message(to_record(b"x"), node, MessageType.QUERY)])


@pytest.mark.parametrize(("cores", "threads", "places"), [(2, 1, 2), (2, 2, 1), (8, 3, 2), (1, 4, 1)])
def test_processes_have_the_cores_that_their_threads_take(monkeypatch, cores, threads, places):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)

    assert count_places(threads) == places
