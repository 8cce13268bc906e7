"""How a command that ran as a process ended, as an error of this process."""

from __future__ import annotations

from common.errors import CohortError, RheError
from common.runtime.terminal import INTERRUPTED, TERMINATED


def raise_ending(exit_code: int, message: str) -> None:
    """Raise, in this process, the error that ended another; nothing if it ended well.

    Raises
    ------
    RheError
        The subclass that has this exit code.
    KeyboardInterrupt
        If it was stopped.
    RuntimeError
        If an error of the program itself ended it.
    """
    if exit_code in (INTERRUPTED, TERMINATED):
        raise KeyboardInterrupt
    kinds = {kind.exit_code: kind for kind in RheError.__subclasses__() if kind is not CohortError}
    if exit_code in kinds:
        raise kinds[exit_code](message)
    if exit_code:
        raise RuntimeError(message)
