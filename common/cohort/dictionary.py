"""The data dictionary for hospitals, made from the schema.

`python -m common.cohort.dictionary` rewrites it.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from common.cohort.schema import VARIABLES, Variable

DOCUMENT = Path("docs/cohort-table.md")
BEGIN = "<!-- made from common/cohort/schema.py: begin -->\n"
END = "<!-- made from common/cohort/schema.py: end -->\n"


def render_dictionary() -> str:
    """Every column of the cohort table as Markdown, one table for each group."""
    sections = []
    for group, variables in groupby(VARIABLES, key=lambda variable: variable.group):
        sections += [
            f"### {group.capitalize() if group.islower() else group}\n",
            "| Column | Label | Holds | Column required | Meaning |",
            "|---|---|---|---|---|",
            *map(_render_line, variables),
            "",
        ]
    return "\n".join(sections)


def _render_line(variable: Variable) -> str:
    required = "yes" if variable.required else "no"
    return f"| `{variable.name}` | {variable.label} | {variable.allowed} | {required} | {variable.meaning} |"


def update_dictionary(document: str) -> str:
    """The document with a new part between the two markers.

    Raises
    ------
    ValueError
        If a marker is missing.
    """
    before, _, following = document.partition(BEGIN)
    _, end, after = following.partition(END)
    if not end:
        raise ValueError(f"the document lacks {BEGIN.strip()!r} or {END.strip()!r}")
    return f"{before}{BEGIN}\n{render_dictionary()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(update_dictionary(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
