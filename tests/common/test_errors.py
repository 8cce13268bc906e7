"""The table of exit codes in deploy/README.md is that of the classes of errors."""

from __future__ import annotations

import re
from pathlib import Path

from common.errors import RheError
from common.runtime.terminal import INTERRUPTED, TERMINATED, UNEXPECTED
from common.secagg.codes import SecAggError

GUIDE = Path(__file__).parents[2] / "deploy" / "README.md"


def test_the_guide_lists_every_exit_code_with_its_error_in_order():
    section = GUIDE.read_text(encoding="utf-8").split("## Exit codes\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| `?(\w*)`? *\|", section, re.MULTILINE)
    listed = [(int(code), error) for code, error in rows]
    # Without those that another test may have made
    kinds = (RheError, *(one for one in RheError.__subclasses__() if one.__module__.startswith("common.")))
    of_errors = [(kind.exit_code, kind.code) for kind in kinds]
    of_no_class = [(code, "") for code in (0, 2, UNEXPECTED, INTERRUPTED, TERMINATED)]

    assert SecAggError in kinds
    assert listed == sorted(of_errors + of_no_class)
