"""What is shown: times at a glance, plain lines, and a few lines at the bottom of a terminal."""

from __future__ import annotations

import io
import itertools
import logging
import re
import sys

import pytest
from rich.console import Console

from common.runtime.watch.board import Board, Fact, ShownBar, ShownParty
from common.runtime.watch.plain_times import read_moment, tell_clock, tell_length, tell_size, write_moment
from common.runtime.watch.terminal_view import draw_board, show_live

BOARD = Board(
    title="A study",
    condition="paused, waiting for b since 14:03",
    tone="waiting",
    bars=(ShownBar("steps", 3, 9, "about 2 min left"), ShownBar("not known", 0, 0)),
    parties=(
        ShownParty("a", "answered 2 s ago: train m", "good"),
        ShownParty("bb", "cannot be reached", "waiting"),
    ),
    facts=(Fact("disk free", "3.4 GB"),),
    lines=tuple(f"12:00:0{number} line {number}" for number in range(9)),
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (600, "10 min"),
        (3599, "1 h"),
        (47 * 3600 + 59 * 60, "47 h 59 min"),
        (15 * 86_400, "15 d"),
    ],
)
def test_a_length_has_at_most_two_units(seconds, words):
    assert tell_length(seconds) == words


def test_a_size_is_never_a_thousand_of_its_unit():
    assert [tell_size(size) for size in (0, 999, 999_949, 999_950, 2.5e15)] == [
        "0 B",
        "999 B",
        "999.9 kB",
        "1.0 MB",
        "2500.0 TB",
    ]


def test_a_moment_of_another_day_has_its_date():
    now = read_moment("2026-11-29T12:00:00+00:00")

    assert len(tell_clock(write_moment(now - 60), now)) == len("14:03")
    assert tell_clock(write_moment(now - 3 * 86_400), now).startswith("2026-11-2")
    assert tell_clock("", now) == "an unknown time"


def test_plain_lines_hold_everything_and_the_last_of_what_happened():
    assert BOARD.write_text(most_lines=2) == [
        "A study: paused, waiting for b since 14:03",
        "  steps 3 of 9; about 2 min left",
        "  not known",
        "  a   answered 2 s ago: train m",
        "  bb  cannot be reached",
        "  disk free: 3.4 GB",
        "  | 12:00:07 line 7",
        "  | 12:00:08 line 8",
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_of_the_live_block_is_wider_than_the_terminal_and_it_stays_small(width):
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, color_system=None)

    for part in draw_board(BOARD, width):
        console.print(part)

    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 7


def test_lines_stay_above_the_block_and_the_block_goes_at_the_end():
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)

    with show_live(lambda: BOARD, console, is_followed=False) as live:
        live.refresh()
        live.say("12:00:09 [not markup] 50 %")
        live.refresh()

    assert "12:00:09 [not markup] 50 %\n" in screen.getvalue()
    assert "A study: paused" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")  # the last thing written erases the block


def test_what_goes_to_the_same_terminal_stands_above_the_block(monkeypatch):
    screen, errors = io.StringIO(), io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(errors, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr", errors)
    monkeypatch.setattr("sys.__stderr__", errors)
    handler = logging.StreamHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])

    with show_live(lambda: BOARD, console, is_followed=False):
        sys.stderr.write("a library warns\n")
        logging.getLogger("other").warning("a log line")

    assert "a library warns\n" in screen.getvalue()
    assert "a log line\n" in screen.getvalue()
    assert errors.getvalue() == ""
    assert handler.stream is errors


def test_a_file_of_errors_stays_a_file(monkeypatch):
    screen, errors = io.StringIO(), io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr("sys.stderr", errors)

    with show_live(lambda: BOARD, console, is_followed=False):
        sys.stderr.write("a library warns\n")

    assert errors.getvalue() == "a library warns\n"


def test_a_thread_draws_it_and_lines_that_come_meanwhile_leave_no_part_of_it_behind(monkeypatch):
    monkeypatch.setattr("common.runtime.watch.terminal_view._PERIOD_S", 0.001)
    screen = io.StringIO()
    console = Console(file=screen, width=80, height=40, force_terminal=True, color_system=None)
    heights = itertools.cycle((1, 9, 3))

    def describe():
        return Board("A study", "running", "busy", bars=(ShownBar("steps", 1, 2),) * next(heights))

    with show_live(describe, console) as live:
        for number in range(100):
            live.say(f"line {number}")

    assert show_screen(screen.getvalue()) == [f"line {number}" for number in range(100)]


def show_screen(written):
    """What a terminal shows of the few orders that are used: lines up, erase a line, return."""
    lines, row = [""], 0
    for order, text in re.findall(r"\x1b\[(\d*[A-Za-z])|([^\x1b]+)", written.replace("\x1b[?25", "\x1b[")):
        if order == "1A":
            row -= 1
        elif order == "2K":
            lines[row] = ""
        for letter in text:
            if letter == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif letter != "\r":
                lines[row] += letter
    return [line.rstrip() for line in lines if line.strip()]
