from __future__ import annotations

from dataclasses import dataclass, field

from rich.progress import Progress

from client.answers.epoch_count import count_epochs


@dataclass
class Start:
    losses: tuple[float, ...]


@dataclass
class Memory:
    start: Start | None = None
    kept: list[object] = field(default_factory=list)

    def keep(self, collect):
        self.kept.append(collect)


def read_task(progress):
    return [(task.description, task.completed, task.total) for task in progress.tasks]


def test_each_epoch_is_counted_and_kept_and_the_count_goes_with_the_training():
    progress, memory = Progress(disable=True), Memory()

    with count_epochs(memory, progress, "a: m, round 3", 4) as counted:
        assert counted.start is None
        counted.keep("first")
        counted.keep("second")
        assert read_task(progress) == [("a: m, round 3", 2, 4)]

    assert memory.kept == ["first", "second"]
    assert read_task(progress) == []


def test_a_training_that_goes_on_counts_what_was_done_before():
    progress, start = Progress(disable=True), Start((0.5, 0.4))

    with count_epochs(Memory(start), progress, "a: m, round 3", 4) as counted:
        assert counted.start is start
        assert read_task(progress) == [("a: m, round 3", 2, 4)]


def test_where_nothing_is_kept_or_nobody_watches_the_training_is_as_it_was():
    memory = Memory()
    with (
        count_epochs(None, Progress(disable=True), "x", 1) as nothing,
        count_epochs(memory, None, "x", 2) as same,
    ):
        assert nothing is None
        assert same is memory
