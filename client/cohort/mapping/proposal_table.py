"""A proposal for the hospital's eyes: a table on the terminal, or one JSON object. It stays at the site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from client.cohort.mapping.proposal import SURE, MappingProposal, ProposedColumn
from client.cohort.mapping.toml_text import render_mapping
from common.runtime.settings_file import Section

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 8


class ColumnProposal(Section):
    """One line of a proposal."""

    variable: str
    """Of the study."""
    heading: str
    """Of the hospital's column."""
    event: str
    """In a long export, where it is not the baseline's."""
    confidence: float
    """From 0 to 1."""
    sure: bool
    """Whether the line is written without a question."""
    values: dict[str, str]
    """What the codes mean."""
    unit: str
    """Of the cells; empty if it is the variable's."""
    example: str
    """A few values; of identifiers and paths their number alone."""
    doubts: tuple[str, ...]
    """Why a person has to look."""


class ProposalReport(Section):
    """A proposal for a table."""

    table: str
    """The file's name."""
    columns: tuple[ColumnProposal, ...]
    """By variable, in the schema's order."""
    missing: tuple[str, ...]
    """Required variables that no column seems to hold."""
    unused: tuple[str, ...]
    """Headings that are none of the study's, as far as can be told."""
    doubts: tuple[str, ...]
    """What a person has to look at."""
    mapping: str
    """What `--write` writes into site.toml."""


def report_proposal(proposal: MappingProposal) -> ProposalReport:
    """The proposal for programs."""
    return ProposalReport(
        table=proposal.path.name,
        columns=tuple(
            ColumnProposal(
                variable=one.variable.name,
                heading=one.heading,
                event=one.event,
                confidence=one.confidence,
                sure=one.is_sure,
                values=dict(one.values),
                unit=one.unit,
                example=one.example,
                doubts=one.doubts,
            )
            for one in proposal.columns
        ),
        missing=tuple(one.name for one in proposal.missing),
        unused=proposal.unused,
        doubts=proposal.doubts,
        mapping=render_mapping(proposal),
    )


def make_proposal_table(proposal: MappingProposal) -> Table:
    """The table for the terminal, what is not sure below."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"How {proposal.path.name} may be read")
    for name in ("variable", "your column", "sure", "how it is read", "examples", "look at this"):
        justify: Literal["left", "right"] = "right" if name == "sure" else "left"
        table.add_column(name, overflow="fold", no_wrap=name in {"variable", "sure"}, justify=justify)
    for one in sorted(proposal.columns, key=lambda one: not one.is_sure):
        event = f" at {one.event}" if one.event else ""
        sure = f"{one.confidence:.0%}" if one.is_sure else f"{one.confidence:.0%} ?"
        doubts = "; ".join(one.doubts) or ("" if one.is_sure else "is it the same?")
        row = (one.variable.name, one.heading + event, sure, _describe_reading(one), one.example, doubts)
        table.add_row(*map(Text, row), style=None if one.is_sure else "yellow")
    return table


def _describe_reading(column: ProposedColumn) -> str:
    unit = f"{column.unit} → {column.variable.unit}" if column.unit else ""
    codes = ", ".join(f"{code} = {meaning or 'unknown'}" for code, meaning in column.values.items())
    return "; ".join(filter(None, (unit, codes))) or "as it is"


def list_proposal_lines(proposal: MappingProposal) -> Iterator[str]:
    """What stands below the table: the layout, what is missing, and what is left alone."""
    layout = proposal.layout
    yield f"headings in row {layout.options.headings_row}; {layout.options.encoding}" + (
        f"; rows that are no patients: {', '.join(layout.left_out)}" if layout.left_out else ""
    )
    if proposal.long is not None:
        yield f"several rows a patient; the baseline's event is {proposal.long.baseline!r}"
    yield from (f"look at this: {doubt}" for doubt in proposal.doubts)
    size, asked = len(proposal.columns), sum(not one.is_sure for one in proposal.columns)
    others = "the other one is a comment" if asked == 1 else f"the other {asked} are comments"
    yield f"{size - asked} of {size} lines are sure (from {SURE:.0%})" + (
        f"; {others}, for you to decide" if asked else ""
    )
    if proposal.missing:
        yield f"no column for: {', '.join(one.name for one in proposal.missing)}"
    if proposal.unused:
        more = f" and {len(proposal.unused) - _SHOWN} more" if len(proposal.unused) > _SHOWN else ""
        yield f"none of the study's: {', '.join(proposal.unused[:_SHOWN])}{more}"
