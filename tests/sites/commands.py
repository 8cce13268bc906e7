"""The commands of hospital, coordinator and authority, run in this process as a terminal would run them."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from unittest import mock


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Attributes
    ----------
    returncode : int
        Its exit code.
    stdout, stderr : str
        What it wrote.
    """

    returncode: int
    stdout: str
    stderr: str


def run_command(program: str | Path, *arguments: str | Path, answer: str = "") -> Finished:
    """Run an installed program to its end; it reads the answer where it asks.

    A process of its own would import every library anew, which takes longer than what most commands do.

    Raises
    ------
    AssertionError
        If it returns instead of exiting.
    """
    (script,) = entry_points(group="console_scripts", name=str(program))
    output, errors = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with (
            redirect_stdout(output),
            redirect_stderr(errors),
            mock.patch.object(sys, "stdin", io.StringIO(answer)),
        ):
            script.load()([str(argument) for argument in arguments], prog_name=str(program))
    except SystemExit as end:
        return Finished(int(end.code or 0), output.getvalue(), errors.getvalue())
    finally:
        signal.signal(signal.SIGTERM, handler)
    raise AssertionError(f"{program} returned without an exit code")
