"""Which column of a hospital's table holds which variable: a proposal with a confidence.

The heading says what a column may be, its values whether it can be; neither alone is enough. A column of a
later time is never proposed for a baseline variable. What is not sure is asked for and not written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from pathlib import Path

from client.cohort.mapping.candidates import Candidate, describe_cells, list_candidates
from client.cohort.mapping.data_dictionary import read_dictionary
from client.cohort.mapping.heading_words import (
    Heading,
    expand_abbreviations,
    fit_recipe,
    is_denial,
    parse_heading,
    speaks_of,
    states_time,
)
from client.cohort.mapping.layout_guess import LayoutGuess, guess_layout
from client.cohort.mapping.value_codes import ValueGuess, judge_values
from client.cohort.mapping.variable_recipes import NOT_AT_BASELINE, OPPOSED, RECIPES
from common.cohort.cell_rule import normalise_code
from common.cohort.sheet import refuse_file
from common.cohort.table_mapping import LongFormat
from common.cohort.variable import Variable

SURE = 0.8
"""Confidence from which a line is written; below, it is asked for."""
_SHOWN = 0.45
_MARGIN, _CERTAIN = 0.1, 0.99
_SERIAL = 0.95
_ABBREVIATED = 0.75
"""Weight of a heading that is one abbreviation and nothing else."""
_MEASURED = 0.7
"""Weight of a flag whose heading states a unit: it is a dose or a duration."""
_LATER = frozenset({"followup_ct", "followup_mask", "ct_to_followup_h"})


@dataclass(frozen=True)
class ProposedColumn:
    """A column that may hold a variable.

    Attributes
    ----------
    variable : Variable
        Of the study.
    heading, event : str
        Of the hospital's column.
    confidence : float
        From 0 to 1.
    values : mapping of str to str
        What its codes mean.
    unit : str
        Of its cells; empty if it is the variable's.
    example : str
        A few values.
    unlisted : tuple of str
        Codes of which nothing is known.
    doubts : tuple of str
        Why a person has to look.
    """

    variable: Variable
    heading: str
    event: str
    confidence: float
    values: Mapping[str, str] = field(default_factory=dict, hash=False)
    unit: str = ""
    example: str = ""
    unlisted: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def is_sure(self) -> bool:
        """Whether the line can be written without a question."""
        return self.confidence >= SURE


@dataclass(frozen=True)
class MappingProposal:
    """How a hospital's table may be read.

    Attributes
    ----------
    path : Path
        The table.
    layout : LayoutGuess
        Of the file.
    long : LongFormat or None
        How a long export is read.
    columns : tuple of ProposedColumn
        One for each variable that a column may hold, in the schema's order.
    missing : tuple of Variable
        Required variables that no column seems to hold.
    unused : tuple of str
        Headings that are none of the study's, as far as can be told.
    doubts : tuple of str
        What a person has to look at.
    """

    path: Path
    layout: LayoutGuess
    long: LongFormat | None
    columns: tuple[ProposedColumn, ...]
    missing: tuple[Variable, ...]
    unused: tuple[str, ...]
    doubts: tuple[str, ...]


def propose_mapping(
    path: Path, variables: Sequence[Variable], dictionary: Path | None = None
) -> MappingProposal:
    """The proposal for a table.

    Parameters
    ----------
    path : Path
        The table, as the hospital exported it.
    variables : sequence of Variable
        Of the study.
    dictionary : Path, optional
        REDCap's data dictionary.

    Raises
    ------
    CohortError
        If table or dictionary cannot be read.
    """
    if not path.exists():
        refuse_file(path, "no such file", "correct the path, or `table` in site.toml")
    layout = guess_layout(path)
    fields = {} if dictionary is None else read_dictionary(dictionary)
    patterns = [normalise_code(pattern) for pattern in layout.left_out]
    rows = [
        row
        for row in layout.sheet.rows
        if not any(
            fnmatchcase(normalise_code(next(cell for cell in row.cells if cell is not None)), one)
            for one in patterns
        )
    ]
    listed = list_candidates(layout.sheet, rows, fields)
    proposed = _assign(listed.columns, variables, comma=layout.decimal == ",")
    if listed.doubts:
        proposed = [replace(one, confidence=min(one.confidence, SURE - _MARGIN)) for one in proposed]
    used = {one.heading for one in proposed}
    held = {one.variable.name for one in proposed}
    return MappingProposal(
        path,
        layout,
        listed.long,
        tuple(proposed),
        tuple(one for one in variables if one.required and one.name not in held),
        tuple(dict.fromkeys(one.heading for one in listed.columns if one.heading not in used)),
        (*layout.doubts, *listed.doubts),
    )


def _assign(
    columns: Sequence[Candidate], variables: Sequence[Variable], *, comma: bool
) -> list[ProposedColumn]:
    """One column a variable and one variable a column, the surest first."""
    found = list[tuple[float, int, int, ValueGuess]]()
    for place, column in enumerate(columns):
        fits = [(score_heading(column, one), order) for order, one in enumerate(variables)]
        for score, order in (fit for fit in fits if fit[0] >= _SHOWN):
            guess = judge_values(
                variables[order], column.cells, unit=column.unit, choices=column.choices, comma=comma
            )
            if guess.weight > 0:
                found.append((score * guess.weight, order, place, guess))
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    taken, held, proposed = set[int](), dict[int, ProposedColumn](), dict[int, ProposedColumn]()
    for confidence, order, place, guess in found:
        column, rival = columns[place], held.get(order)
        if rival is not None and place not in taken and confidence > rival.confidence - _MARGIN:
            doubt = f"{column.heading!r}{f' at {column.event!r}' if column.event else ''} may be it as well"
            held[order] = replace(
                rival, confidence=min(rival.confidence, SURE - _MARGIN), doubts=(*rival.doubts, doubt)
            )
        if rival is not None or place in taken or confidence < _SHOWN:
            continue
        taken.add(place)
        held[order] = _make_column(variables[order], column, confidence, guess)
    proposed = dict(sorted(held.items()))
    return list(proposed.values())


def _make_column(
    variable: Variable, column: Candidate, confidence: float, guess: ValueGuess
) -> ProposedColumn:
    return ProposedColumn(
        variable,
        column.heading,
        column.event,
        round(min(confidence, _CERTAIN), 2),
        guess.values,
        guess.unit,
        describe_cells(column, hide=variable.kind in {"text", "path"}),
        guess.unlisted,
        guess.doubts,
    )


def score_heading(column: Candidate, variable: Variable) -> float:
    """How surely a column's heading speaks of a variable, from 0 to 1; 0 of another time's column."""
    later = variable.name in _LATER or variable.name.startswith("followup_")
    if column.event and not (column.is_followup and later):
        return 0.0
    barred = [one.text for one in column.parsed if _is_barred(one.text, variable)]
    if barred and not later and not any(_is_named(one, variable) for one in column.parsed):
        return 0.0
    return max(_score_text(one, column, variable, later=later) for one in column.parsed)


def _is_barred(text: str, variable: Variable) -> bool:
    """Whether a heading speaks of another time or person, or denies what the variable says."""
    if speaks_of(text, NOT_AT_BASELINE) or states_time(text):
        return True
    return variable.kind == "binary" and is_denial(text)


def _score_text(heading: Heading, column: Candidate, variable: Variable, *, later: bool) -> float:
    named = _score_name(heading.text, variable)
    if heading.unit and variable.kind in {"binary", "categorical"}:
        return _MEASURED * named
    if named == 1.0 and not (column.event and not later):
        return named
    if speaks_of(heading.text, OPPOSED.get(variable.name, frozenset())):
        return 0.0
    if later and speaks_of(heading.text, ("other_time", "other_person")):
        return 0.0
    recipes = list(RECIPES.get(variable.name, ()))
    if later and column.is_followup:
        # At the event of the follow-up the field's own name need not say so again
        recipes += [tuple(one for one in recipe if one != "followup") for recipe in recipes]
    fits = [(fit_recipe(heading.text, recipe), order) for order, recipe in enumerate(recipes)]
    best, order = max(fits, default=(0.0, 0), key=lambda fit: (fit[0], -fit[1]))
    if variable.name == "patient" and order == 1:
        best *= _SERIAL
    if variable.kind == "binary" and best < SURE:
        # Of flags alone: "alt" may be the German age, and is the liver's enzyme
        written_out = expand_abbreviations(heading.text)
        alone = _ABBREVIATED if " " not in heading.text else 1.0
        if written_out != heading.text and not speaks_of(
            written_out, OPPOSED.get(variable.name, frozenset())
        ):
            best = max(best, *(alone * fit_recipe(written_out, recipe) for recipe in recipes), 0.0)
    return max(best, named)


def _is_named(heading: Heading, variable: Variable) -> bool:
    return _score_name(heading.text, variable) == 1.0


def _score_name(text: str, variable: Variable) -> float:
    """1 if the heading is the variable's name or label; less where it only resembles them."""
    names = {parse_heading(variable.name).text, parse_heading(variable.label).text}
    if text in names:
        return 1.0
    near = max(SequenceMatcher(None, text, name).ratio() for name in names)
    return min(near, SURE) - _MARGIN if near >= 0.85 else 0.0
