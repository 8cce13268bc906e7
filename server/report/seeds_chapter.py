"""How far AUCs spread between trainings of the same network from several seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from server.report.cohorts import CohortKey, Role, keep_largest, key_of
from server.report.drawing import Picture
from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_auc,
)
from server.report.seed_strips import SeedStrip, StripGroup, draw_seed_strips
from server.report.seed_words import RepeatedModel, list_seed_sentences, map_spreads
from server.report.subject import Subject
from server.report.words import format_number, name_arm, name_standing
from server.results.seed_spread import SeedSpread

_SUFFIX: Mapping[Role, str] = {"internal": "", "external": " (external)"}
_SHOWN = tuple(_SUFFIX)
_MOST_DRAWN = 24
"""Most groups of one figure."""


@dataclass(frozen=True)
class RepeatedGroup:
    """The networks with several trainings that one arm has and one cohort judges.

    Attributes
    ----------
    title : str
        On whose patients they were trained and are judged, in words.
    leading : bool
        Whether the arm represents its models beside others.
    networks : tuple of RepeatedModel
        At least one, in the order of the models.
    sentences : tuple of str
        How far each one's AUC spreads, and whether differences between models are larger.
    """

    title: str
    leading: bool
    networks: tuple[RepeatedModel, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class SeedsChapter:
    """The chapter "Seeds".

    Attributes
    ----------
    table, others : PrintedTable or None
        The AUCs: of arms that represent their models, and of other arms; None where there are none.
    figure : Picture or None
        The AUCs of the first table as dots; None where there are none.
    groups : tuple of RepeatedGroup
        All groups, those of the first table first.
    """

    table: PrintedTable | None
    others: PrintedTable | None
    figure: Picture | None
    groups: tuple[RepeatedGroup, ...]


def build_seeds(subject: Subject) -> SeedsChapter | None:
    """The chapter; None if every network was trained once."""
    groups = sorted(_list_groups(subject), key=lambda group: not group.leading)
    leading = [group for group in groups if group.leading]
    others = [group for group in groups if not group.leading]
    if not groups:
        return None
    return SeedsChapter(
        _build_table(subject, leading) if leading else None,
        _build_table(subject, others) if others else None,
        _draw_figure(subject, (leading or others)[:_MOST_DRAWN]),
        tuple(groups),
    )


def _list_groups(subject: Subject) -> Iterator[RepeatedGroup]:
    """Of each arm the internal test, then the external one: cohorts that no larger one contains."""
    found: dict[tuple[str, Role, CohortKey], list[RepeatedModel]] = {}
    spreads = map_spreads(subject)
    for model in subject.models:
        for arm in model.arms:
            for role in _SHOWN:
                cells = [c for c in model.cells if c.arm == arm and subject.centres.role_of(c) == role]
                for cell in keep_largest(cells):
                    spread = spreads.get((model.name, arm, key_of(cell)))
                    if spread is not None:
                        one = RepeatedModel(cell, spread)
                        found.setdefault((arm, role, key_of(cell)), []).append(one)
    arms = list(subject.arm_styles)
    for key in sorted(found, key=lambda key: (arms.index(key[0]), _SHOWN.index(key[1]), key[2])):
        networks = found[key]
        cell = networks[0].cell
        yield RepeatedGroup(
            f"{name_arm(cell)} \N{RIGHTWARDS ARROW} {subject.centres.name_cohort(cell)}{_SUFFIX[key[1]]}",
            any(one.cell.arm in subject.find_model(one.cell.model).leading for one in networks),
            tuple(networks),
            tuple(list_seed_sentences(subject, networks)),
        )


def _build_table(subject: Subject, groups: Sequence[RepeatedGroup]) -> PrintedTable:
    notes = Footnotes()
    lines: list[TableLine] = []
    for group in groups:
        lines.append(TableLine(group.title))
        lines += [_build_line(subject, one, notes) for one in group.networks]
    return PrintedTable(
        caption=(
            "AUC of each training on the same patients; of the first, which stands in every other table, "
            "with its 95% confidence interval. SD: standard deviation over the trainings."
        ),
        stub=("Network", ""),
        groups=(
            ColumnGroup("", ("First training (95% CI)", "Further trainings")),
            ColumnGroup("All trainings", ("Lowest", "Median", "Highest", "SD")),
        ),
        lines=tuple(lines),
        footnotes=notes.list_texts(),
    )


def _build_line(subject: Subject, one: RepeatedModel, notes: Footnotes) -> TableLine:
    spread = one.spread
    first, *others = spread.trainings
    summary = (spread.lowest, spread.median, spread.highest, spread.sd)
    bounds = (first.auc_error_bound, first.auc_interval_bound)
    return TableLine(
        one.cell.model,
        (
            enter_auc(first.auc, subject.results.study.interval, notes, bounds),
            TableEntry(
                "; ".join(
                    name_standing(training.auc.standing)
                    if training.auc.value is None
                    else format_number(training.auc.value)
                    for training in others
                ),
                notes.mark_all(*_list_reasons(spread)),
            ),
            *(NOT_APPLICABLE if value is None else TableEntry(format_number(value)) for value in summary),
        ),
        parent="",
    )


def _list_reasons(spread: SeedSpread) -> Iterator[str]:
    """Why further trainings have no AUC, a sentence a training."""
    for training in spread.trainings[1:]:
        if training.auc.value is None:
            yield f"{training.trained_as}: {training.auc.standing.reason}."


def _draw_figure(subject: Subject, groups: Sequence[RepeatedGroup]) -> Picture | None:
    drawn = [
        StripGroup(
            group.title,
            tuple(
                SeedStrip(one.cell.model, subject.model_styles[one.cell.model].colour, one.spread)
                for one in group.networks
                if one.spread.values
            ),
        )
        for group in groups
    ]
    drawn = [group for group in drawn if group.strips]
    if not drawn:
        return None
    return draw_seed_strips(
        drawn, "AUC of each training of each network: the first as a diamond, the others as rings"
    )
