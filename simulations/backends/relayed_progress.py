"""Progress that one process makes and another shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.progress import Progress, TaskID

ShowCall = Callable[[str, TaskID, dict[str, Any]], None]
"""Takes what was called, of which task, and with which values."""


class RelayedProgress(Progress):
    """Shows nothing itself, and tells of every task.

    Parameters
    ----------
    show : callable
        Is told.
    """

    def __init__(self, show: ShowCall) -> None:
        super().__init__(disable=True)
        self._show = show

    def add_task(self, description: str, *arguments: Any, **values: Any) -> TaskID:
        """Begin a task."""
        task = super().add_task(description, *arguments, **values)
        begun = self._tasks[task]
        self._show("add_task", task, {"description": description, "total": begun.total})
        return task

    def update(self, task_id: TaskID, **values: Any) -> None:
        """Tell how far a task is."""
        super().update(task_id, **values)
        self._show("update", task_id, values)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Tell that a task went on."""
        super().advance(task_id, advance)
        self._show("advance", task_id, {"advance": advance})

    def remove_task(self, task_id: TaskID) -> None:
        """End a task."""
        super().remove_task(task_id)
        self._show("remove_task", task_id, {})


class ProgressMirror:
    """Shows what a `RelayedProgress` of another process tells.

    Parameters
    ----------
    progress : Progress
        Shows it.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[TaskID, TaskID] = {}

    def show(self, call: str, task: TaskID, values: dict[str, Any]) -> None:
        """Do the same with the task that stands here for the other's."""
        if call == "add_task":
            self._tasks[task] = self._progress.add_task(**values)
        elif call == "remove_task":
            self._progress.remove_task(self._tasks.pop(task))
        else:
            getattr(self._progress, call)(self._tasks[task], **values)
