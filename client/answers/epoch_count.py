"""How many epochs of a round are done, for whoever watches the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from common.training.epoch_state import EpochMemory, EpochState


@dataclass(frozen=True)
class CountedEpochs:
    """A memory of epochs that also tells of each one's end; implements `EpochMemory`.

    Attributes
    ----------
    memory : EpochMemory
        What keeps them.
    tell : callable
        Called at the end of each epoch but the last.
    """

    memory: EpochMemory
    tell: Callable[[], None]

    @property
    def start(self) -> EpochState | None:
        """Where the training was when its process ended; None if it begins."""
        return self.memory.start

    def keep(self, collect: Callable[[], EpochState]) -> None:
        """Keep what `collect` gives, or do not: an epoch has ended."""
        self.tell()
        self.memory.keep(collect)


@contextmanager
def count_epochs(
    memory: EpochMemory | None, progress: Progress | None, what: str, epochs: int
) -> Iterator[EpochMemory | None]:
    """A context in which a training with this memory shows its epochs; it yields the memory for it.

    Parameters
    ----------
    memory : EpochMemory or None
        None: nothing is kept of the training, and nothing shown.
    progress : Progress or None
        Shows it; None: nobody watches.
    what : str
        Which training.
    epochs : int
        How many it has.
    """
    if memory is None or progress is None:
        yield memory
        return
    done = 0 if memory.start is None else len(memory.start.losses)
    task = progress.add_task(what, total=epochs, completed=done)
    try:
        yield CountedEpochs(memory, lambda: progress.advance(task))
    finally:
        progress.remove_task(task)
