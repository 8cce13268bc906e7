"""The table of exit codes in deploy/README.md is made from the classes of errors."""

from __future__ import annotations

import inspect
from pathlib import Path

from common.errors import RheError
from common.runtime.terminal import INTERRUPTED, TERMINATED, UNEXPECTED
from common.secagg.codes import SecAggError

GUIDE = Path(__file__).parents[2] / "deploy" / "README.md"
OF_NO_CLASS = {
    0: "done; of `check`: nothing is refused",
    2: "the command line is wrong",
    UNEXPECTED: "an error of the program itself; the message names a file to send with a report",
    INTERRUPTED: "interrupted by Ctrl-C",
    TERMINATED: "ended by SIGTERM",
}


def list_rows():
    """One row of the table for each exit code, in their order."""
    # Without those that another test may have made
    kinds = [RheError, *(kind for kind in RheError.__subclasses__() if kind.__module__.startswith("common."))]
    assert SecAggError in kinds
    rows = {kind.exit_code: f"| {kind.exit_code} | `{kind.code}` | {say_meaning(kind)} |" for kind in kinds}
    assert len(rows) == len(kinds)
    rows |= {code: f"| {code} | | {meaning} |" for code, meaning in OF_NO_CLASS.items()}
    return [rows[code] for code in sorted(rows)]


def say_meaning(kind):
    first = " ".join(inspect.getdoc(kind).split("\n\n")[0].split()).rstrip(".")
    return f"{first[0].lower()}{first[1:]}" if first[1].islower() or first[1] == " " else first


def test_the_guide_s_table_of_exit_codes_is_that_of_the_classes():
    section = GUIDE.read_text(encoding="utf-8").split("## Exit codes\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")][2:]
    assert table == list_rows(), "the table has to be:\n" + "\n".join(list_rows())
