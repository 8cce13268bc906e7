"""Whatever a command does, its user gets one message and the right exit code."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from sites.commands import run_command

import client.cli
import server.cli
import server.provision.cli
import simulations.cli
from common.runtime.log_keeper import KEPT_VARIABLE

PROGRAM = """
import sys, time
from common.errors import PlanError, ScanError
from common.runtime.terminal import Terminal

app = Terminal("prog", "For tests.", "run it again")

@app.command()
def plan() -> None:
    raise PlanError("study.toml:3: seed: too large -> choose a smaller one")

@app.command()
def scan() -> None:
    raise ScanError("x.nii: truncated")

@app.command()
def bug() -> None:
    {}["x"]

@app.command()
def disk() -> None:
    raise OSError(28, "No space left on device")

@app.command()
def odd() -> None:
    print(chr(0xDCE9))
    raise ScanError(chr(0xDCE9) + ".nii: truncated")

@app.command()
def fine() -> None:
    print("done")

@app.command()
def note() -> None:
    import logging
    logging.getLogger("server").warning("left out site=b")

@app.command()
def wait() -> None:
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)

app()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("plan", 10, "prog: study.toml:3: seed: too large -> choose a smaller one  [E_PLAN]\n"),
        ("scan", 13, "prog: x.nii: truncated  [E_SCAN]\n"),
        ("disk", 21, "prog: [Errno 28] No space left on device  [E_STORAGE]\n"),
    ],
)
def test_a_refusal_is_one_message_and_its_exit_code(command, code, message):
    done = run(command)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", message)


def test_success_is_silent():
    done = run("fine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_name_that_is_no_text_is_printed_all_the_same():
    done = run("odd")
    assert (done.returncode, done.stdout) == (13, "\\udce9\n")
    assert done.stderr == "prog: \\udce9.nii: truncated  [E_SCAN]\n"


def test_a_bug_is_told_in_one_line_and_its_traceback_is_kept():
    done = run("bug")
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    path = Path(re.search(r"\S+\.traceback", done.stderr)[0])
    assert "names no patient" in done.stderr
    assert "KeyError: 'x'" in path.read_text()
    path.unlink()


def test_an_event_is_told_with_its_time_unless_a_log_adds_it(monkeypatch):
    time, _, event = run("note").stderr.partition(" ")
    assert datetime.fromisoformat(time).tzinfo is not None
    assert event == "WARNING server left out site=b\n"
    monkeypatch.setenv(KEPT_VARIABLE, "1")
    assert run("note").stderr == event


def test_a_wrong_option_is_explained():
    done = run("fine", "--no-such")
    assert done.returncode == 2
    assert "--no-such" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant_once():
    done = run("scam")
    assert done.returncode == 2
    assert done.stderr.count("'scan'") == 1
    assert "Did you mean" in done.stderr


@pytest.mark.parametrize("program", ["rhe-client", "rhe-server", "rhe-authority", "rhe-simulate"])
def test_every_program_tells_its_version_and_completes_what_is_typed(program, monkeypatch):
    done = run_command(program, "--version")
    assert (done.returncode, done.stdout) == (0, f"rhe {version('rhe')}\n")
    assert "--install-completion" in run_command(program, "--help").stdout


@pytest.mark.parametrize(
    "app", [client.cli.app, server.cli.app, server.provision.cli.app, simulations.cli.app]
)
def test_help_explains_every_argument_and_option(app):
    """Click 8.5 empties the explanations of arguments that typer hands it."""
    commands = [typer.main.get_command(app)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
    unexplained = [
        f"{command.name} {parameter.name}"
        for command in commands
        if not command.hidden
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]

    assert len(commands) > 3
    assert unexplained == []


def test_a_shell_completes_a_command():
    words = {"_PROG_COMPLETE": "complete_bash", "COMP_WORDS": "prog pl", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("app()", 'app(prog_name="prog")')],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | words,
    )
    assert done.stdout.split() == ["plan"]


@pytest.mark.parametrize("wanted", [True, False])
def test_no_color_is_heeded(wanted):
    """On a terminal, help is coloured unless NO_COLOR is set (no-color.org)."""
    reader, writer = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    environment = kept | {"TERM": "xterm-256color"} | ({} if wanted else {"NO_COLOR": "1"})
    subprocess.run([sys.executable, "-c", PROGRAM, "--help"], stdout=writer, check=False, env=environment)
    os.close(writer)
    shown = os.read(reader, 100_000).decode()
    os.close(reader)
    assert "For tests." in shown
    assert (re.search(r"\x1b\[[0-9;]*3[0-7]m", shown) is not None) is wanted


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_clean_up_and_exit(sent, code):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "waiting\n"
    os.kill(process.pid, sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == "cleaned\n"
    assert "Traceback" not in err
    if sent == signal.SIGINT:
        assert err.endswith("prog: interrupted; run it again\n")
