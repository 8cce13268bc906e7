"""Command-line applications that end with one clear message and an exit code, never a traceback."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias

import click
import typer
from typer.core import TyperArgument

from common.errors import DeclinedError, RheError, StorageError
from common.runtime.log_keeper import KEPT_VARIABLE
from common.runtime.log_lines import TimedFormatter
from common.runtime.storage import write_atomically

if TYPE_CHECKING:
    from rich.progress import Progress

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
TERMINATED = 143
"""Exit code after SIGTERM."""
UNEXPECTED = 70
"""Exit code after an error of the program itself."""
_WORDY = ("httpx", "httpcore", "alembic")
"""Libraries that write a line for each call; their warnings and errors are shown."""


OutFile: TypeAlias = Annotated[
    Path | None, typer.Option("--out", help="Write a file; by default to the terminal.")
]
"""Where a command writes a document."""


def _show_version(is_asked: bool) -> None:  # noqa: FBT001 - so typer calls it
    """Print the version of the installed package, and end.

    Raises
    ------
    Exit
        If it is asked for.
    """
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"rhe {version('rhe')}")
        raise typer.Exit


class _ExplainedArgument(TyperArgument):
    """An argument whose explanation `--help` shows: typer stores it first, and click 8.5 then empties it."""

    def __init__(self, *, help: str | None = None, **settings: Any) -> None:  # noqa: A002 - typer's name
        super().__init__(help=help, **settings)
        self.help = help


typer.main.TyperArgument = _ExplainedArgument  # type: ignore[attr-defined]  # typer makes each of it


class Terminal(typer.Typer):
    """A command-line application that reports every failure in one message.

    Parameters
    ----------
    name : str
        The program's name, for messages.
    about : str
        What the program is for.
    after_interrupt : str
        What a user should know after Ctrl-C.
    """

    def __init__(self, name: str, about: str, after_interrupt: str) -> None:
        super().__init__(
            name=name,
            help=about,
            no_args_is_help=True,
            suggest_commands=False,  # click suggests them
            pretty_exceptions_enable=False,
        )
        self.callback()(_answer_first)
        self._name = name
        self._after_interrupt = after_interrupt

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line and exit."""
        signal.signal(signal.SIGTERM, _terminate)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A path may hold bytes that are no text; the line that names it is printed all the same
            sys.stdout.reconfigure(errors="backslashreplace")
        # A person sees progress bars and messages; a log file gets every event.
        level = logging.WARNING if sys.stderr.isatty() else logging.INFO
        logging.basicConfig(level=level, handlers=[_make_handler()])
        for library in _WORDY:
            logging.getLogger(library).setLevel(logging.WARNING)
        sys.exit(self._run(*args, **kwargs))

    def _run(self, *args: Any, **kwargs: Any) -> int:
        try:
            exit_code = int(super().__call__(*args, **{**kwargs, "standalone_mode": False}) or 0)
        except click.ClickException as failure:
            failure.show()
            return failure.exit_code
        except (KeyboardInterrupt, click.Abort):
            exit_code = INTERRUPTED
        except RheError as failure:
            return self._fail(f"{failure}  [{failure.code}]", failure.exit_code)
        except OSError as failure:
            return self._fail(f"{failure}  [{StorageError.code}]", StorageError.exit_code)
        except Exception as failure:  # noqa: BLE001 - the process' boundary: a bug, too, is reported in one line
            return self._fail(
                f"an error of the program itself ({type(failure).__name__}: {failure}) -> please report it "
                f"with {_keep_traceback()}, once you have seen that the file names no patient",
                UNEXPECTED,
            )
        if exit_code == INTERRUPTED:
            return self._fail(f"interrupted; {self._after_interrupt}", INTERRUPTED)
        return exit_code

    def _fail(self, message: str, exit_code: int) -> int:
        sys.stderr.write(f"{self._name}: {message}\n")
        return exit_code


def _answer_first(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print rhe's version.")
    ] = False,
) -> None:
    # The options of the program itself; no docstring, for it would take the place of what the program is for
    del version


def print_document(text: str, out: Path | None) -> None:
    """Write a whole document to a file, whose name is printed, or to standard output.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    if out is None:
        typer.echo(text, nl=False)
        return
    write_atomically(out, text.encode())
    typer.echo(out)


def _make_handler() -> logging.Handler:
    """Where records go: to standard error, with the time unless who reads there writes it."""
    handler = logging.StreamHandler()
    time = "" if KEPT_VARIABLE in os.environ else "%(asctime)s "
    handler.setFormatter(TimedFormatter(f"{time}%(levelname)s %(name)s %(message)s"))
    return handler


def insist_on_consent(question: str, *, aside: bool = False) -> None:
    """Ask on the terminal, and go on only after a yes; `aside` of what a program reads.

    Raises
    ------
    DeclinedError
        After a no, which is an answer and no interruption.
    """
    if not typer.confirm(question, err=aside):
        raise DeclinedError("you answered no -> nothing was changed")


def make_progress_bar() -> Progress:
    """A progress bar on the terminal; silent where there is no terminal."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that children are ended and no file is left incomplete.

    Raises
    ------
    SystemExit
        Always.
    """
    raise SystemExit(TERMINATED)


def _keep_traceback() -> Path:
    handle, name = tempfile.mkstemp(prefix="rhe-", suffix=".traceback")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(traceback.format_exc())
    return Path(name)
