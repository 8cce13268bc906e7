"""Several disturbed studies played at once, each as a process whose children end with it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from common.runtime.processes import end_with_starter
from tests.chaos.disturbed import Disturbed
from tests.chaos.fault_table import Row, format_row
from tests.chaos.own_mistakes import small_disks
from tests.chaos.own_session import stand_apart
from tests.chaos.small_study import read_outcome

Outcome: TypeAlias = dict[str, object]


def play_all(chosen: list[Disturbed], folder: Path, beside: int) -> list[Row]:
    """The rows of all studies, in their order, several of which are played at a time."""
    rows: dict[str, list[Row]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(beside, context, initializer=stand_apart) as pool, _ending_workers():
        begun = {pool.submit(play_apart, study, folder): study for study in chosen}
        undisturbed: dict[object, Future[Outcome]] = {}
        for study in chosen:
            if study.undisturbed not in undisturbed:
                place = folder / "undisturbed" / str(len(undisturbed))
                undisturbed[study.undisturbed] = pool.submit(run_undisturbed, study, place)
        for played in as_completed(begun):
            study = begun[played]
            rows[study.name] = list(_judge(*played.result(), undisturbed[study.undisturbed].result()))
            for row in rows[study.name]:
                print(format_row(row), flush=True)
    return [row for study in chosen for row in rows[study.name]]


@contextmanager
def _ending_workers() -> Iterator[None]:
    """A context whose processes end at once if somebody ends this one, with what they started."""
    try:
        yield
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise


def play_apart(study: Disturbed, folder: Path) -> tuple[list[Row], Outcome | None]:
    """The rows of one study and what it found, in a process of its own."""
    end_with_starter(signal.SIGTERM)
    with small_disks(folder / study.name, study.disks):
        return study.play(folder / study.name)


def run_undisturbed(study: Disturbed, folder: Path) -> Outcome:
    """The numbers and models of a study without its faults."""
    return read_outcome(study.plan.run_undisturbed(folder, study.names, study.burden_of_all))


def _judge(rows: list[Row], found: Outcome | None, undisturbed: Outcome) -> Iterator[Row]:
    """The rows with whether the study found the same; one that was stuck found nothing."""
    is_stuck = any(row.ended == "stuck" for row in rows)
    for row in rows:
        yield row if is_stuck else replace(row, same_bits=found == undisturbed)
