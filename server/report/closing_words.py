"""What a finished study found, where it lies and what of it may be shared: for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from server.report.carry_over import Direction, build_directions
from server.report.headline import choose_headline, list_findings
from server.report.reference_words import describe_reference
from server.report.subject import Subject, subject_of
from server.report.verdicts import judge_ranking
from server.report.words import explain_absence, format_number, format_pair, name_arm
from server.results.evaluation import Cell
from server.results.file import Results

_WIDTH = 80
_MOST_DIRECTIONS = 8
"""The page has all of them."""

FOLDER_PARTS: tuple[tuple[str, str], ...] = (
    ("report.html", "the report, in one file that a browser opens"),
    ("tables/", "its tables as CSV files"),
    ("results.json", "every number of the report, for programs"),
    ("pictures/", "attention maps of synthetic patients; results.json names them"),
    (
        "models/",
        (
            "FINISHED models with their cards: what other hospitals validate; what has no card there, as a "
            "training from a further seed, is no model to be used"
        ),
    ),
    ("checkpoints/", "UNFINISHED trainings, for --resume alone; no model to be used"),
    ("sa1/", "opened sums, for --resume alone; confidential"),
    ("journal.jsonl", "what each phase took: time, messages, bytes"),
    ("state.json", "where the run stands, for rhe-server status"),
)
"""What a study's folder holds, and what for."""

SHARING = (
    "May be shared by the study's agreement: report.html, tables/, results.json with pictures/, whose "
    "numbers reached the minima; models of models/, each by its card. Keep to yourself: sa1/ and "
    "checkpoints/, which hold what the report withholds."
)
"""What of a study's folder may be shown to others."""


def describe_ending(results: Results, folder: Path) -> Iterator[str]:
    """The lines that end a study: what was found, then where everything lies."""
    yield ""
    yield from list_found(results)
    yield ""
    yield f"In {folder}:"
    width = max(len(name) for name, _ in FOLDER_PARTS)
    for name, what in FOLDER_PARTS:
        if (folder / name).exists():
            yield f"  {name.ljust(width)}  {what}"
    yield from textwrap.wrap(SHARING, _WIDTH)


def list_found(results: Results) -> Iterator[str]:
    """The reference model's results at home and where it was carried over, with the words of the verdict."""
    subject = subject_of(results)
    yield from _wrap(f"{results.study.name}: what was found")
    if not subject.models:
        yield from _wrap("No model was judged; the report describes the patients.")
        return
    if origin := describe_reference(subject):
        yield from _wrap(origin)
    event = f"{subject.event} / {subject.no_event}"
    yield from _wrap(
        f"AUC with its 95 % interval, and the patients behind it ({event}); no interval is adjusted."
    )
    yield from _list_at_home(subject)
    directions = build_directions(subject)
    for direction in directions[:_MOST_DIRECTIONS]:
        yield from _describe_direction(direction)
    if len(directions) > _MOST_DIRECTIONS:
        yield from _wrap(f"{len(directions) - _MOST_DIRECTIONS} more directions are in the report.", "  ")


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _list_at_home(subject: Subject) -> Iterator[str]:
    """The reference model, or the first, on patients who did not train it, at centres that did."""
    model = subject.models[0]
    found = choose_headline(list_findings(model, subject.results.study.interval))
    for finding in found:
        if finding.cell.relation != "external":
            yield from _describe_cell(
                f"{model.title}, {name_arm(finding.cell)}, on {finding.cohort}",
                finding.cell,
                judge_ranking(finding.cell.auc).words,
            )


def _describe_direction(direction: Direction) -> Iterator[str]:
    """One direction, by the reference model; by the first that was judged where that one was not."""
    title = f"{direction.trained} -> {direction.tested}"
    if direction.answer is None:
        yield from _describe_cell(f"{direction.size.model}, {title}", direction.size, "")
        return
    judged = direction.answer.judged
    yield from _describe_cell(
        f"{direction.answer.model.title}, {title}", judged.cell, f"{judged.title}. {judged.sentence}"
    )


def _describe_cell(title: str, cell: Cell, words: str) -> Iterator[str]:
    yield ""
    yield from _wrap(title, "  ")
    yield from _wrap(f"{_write_auc(cell)}, {format_pair(cell.positive, cell.negative)}", "    ")
    if words:
        yield from _wrap(f"{words[:1].upper()}{words[1:]}", "    ")


def _write_auc(cell: Cell) -> str:
    auc = cell.auc
    if auc.value is None:
        return f"AUC {explain_absence(auc)}"
    if auc.low is None or auc.high is None:
        return f"AUC {format_number(auc.value)}, no interval"
    return f"AUC {format_number(auc.value)} ({format_number(auc.low)} to {format_number(auc.high)})"
