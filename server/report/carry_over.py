"""Does a model carry over to centres that had no part in it: one answer for each direction and model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.stats.estimate import Estimate
from server.report.auc_words import (
    bounds_of,
    describe_bounds,
    describe_other_interval,
    format_auc,
    format_bound,
)
from server.report.baselines import list_baselines
from server.report.cohorts import key_of
from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
    enter_p_value,
)
from server.report.seed_words import describe_spread
from server.report.subject import Subject, find_cell
from server.report.verdicts import CarriedOver, Judged, judge_cell
from server.report.views import ModelView, is_carried_over
from server.report.words import (
    explain_absence,
    format_bounds,
    format_interval,
    format_number,
    format_p_value,
    join_words,
    name_arm,
)
from server.results.comparison import Comparison
from server.results.evaluation import Cell

_KINDS = ("federated", "local", "pooled", "earlier")


@dataclass(frozen=True)
class AnsweredQuestion:
    """One of the four questions with its numbers.

    Attributes
    ----------
    question, numbers : str
        What is asked, and the numbers that answer it.
    judged : Judged
        The answer.
    chapter : str
        Name of the page's chapter that has more of it.
    """

    question: str
    judged: Judged
    numbers: str
    chapter: str


@dataclass(frozen=True)
class ReferenceAnswer:
    """The reference model's answer in one direction, with the models beside it.

    Attributes
    ----------
    judged : CarriedOver
        Its numbers and what they say.
    model : ModelView
        The model.
    questions : tuple of AnsweredQuestion
        Ranking, loss, risks and use.
    beside : tuple of str
        Paired comparisons on the same patients in words: with the best baseline, with local models.
    """

    judged: CarriedOver
    model: ModelView
    questions: tuple[AnsweredQuestion, ...]
    beside: tuple[str, ...]


@dataclass(frozen=True)
class Direction:
    """From the centres that trained to the centres that had no part in it.

    Attributes
    ----------
    trained, tested : str
        The arm, and the centres where it is judged, in words.
    leading : bool
        Whether its arm is of the kind that represents the models.
    size : Cell
        One of its results, for the number of patients.
    answer : ReferenceAnswer or None
        Of the reference model, or the first; None where it was not judged.
    table : PrintedTable
        Every model.
    """

    trained: str
    tested: str
    leading: bool
    size: Cell
    answer: ReferenceAnswer | None
    table: PrintedTable


def build_directions(subject: Subject) -> tuple[Direction, ...]:
    """Every direction: federations first, then those of more centres; none if no model was carried over."""
    carried = [cell for model in subject.models for cell in model.cells if is_carried_over(cell)]
    keys = list(dict.fromkeys((cell.kind, cell.arm, cell.cohort_sites) for cell in carried))
    keys.sort(key=lambda key: (_KINDS.index(key[0]), -len(key[2])))
    kind = keys[0][0] if keys else ""
    groups = ([cell for cell in carried if (cell.kind, cell.arm, cell.cohort_sites) == key] for key in keys)
    return tuple(_build_direction(subject, cells, leading=cells[0].kind == kind) for cells in groups)


def _build_direction(subject: Subject, cells: Sequence[Cell], *, leading: bool) -> Direction:
    first = cells[0]
    threshold = subject.results.study.threshold
    judged = {cell.model: judge_cell(cell, threshold) for cell in cells}
    reference = judged.get(subject.models[0].name)
    answer = None
    if reference is not None:
        answer = ReferenceAnswer(
            reference,
            subject.models[0],
            _list_questions(subject, reference),
            tuple(
                filter(
                    None, (*_list_beside(subject, reference.cell), describe_spread(subject, reference.cell))
                )
            ),
        )
    return Direction(
        trained=_name_trained(first),
        tested=join_words(first.cohort_sites),
        leading=leading,
        size=first,
        answer=answer,
        table=_build_table(subject, tuple(judged.values())),
    )


def _list_questions(subject: Subject, judged: CarriedOver) -> tuple[AnsweredQuestion, ...]:
    cell, calibration = judged.cell, judged.cell.calibration
    home = (
        f"{_describe(test.difference)} against {join_words(test.cohort_sites)}" for test in cell.from_internal
    )
    risks = (
        ""
        if calibration is None
        else f"intercept {_describe(calibration.intercept)}, slope {_describe(calibration.slope)}"
    )
    calls = f"sensitivity {_describe(cell.sensitivity)}, specificity {_describe(cell.specificity)}"
    auc = f"AUC {format_auc(cell, subject.results.study.interval)}"
    use = "; ".join(filter(None, (_describe_use(judged), calls)))
    return (
        AnsweredQuestion("Discrimination", judged.ranking, auc, "roc"),
        AnsweredQuestion("Against home", judged.loss, "; ".join(home), "matrix"),
        AnsweredQuestion("Risks", judged.risks, risks, "calibration"),
        AnsweredQuestion("Use", judged.benefit, use, "decision"),
    )


def _describe(estimate: Estimate) -> str:
    """A value with its interval in one line, or why there is none."""
    if estimate.value is None:
        return explain_absence(estimate)
    limits = format_interval(estimate)
    return f"{format_number(estimate.value)} ({limits})" if limits else format_number(estimate.value)


def _describe_use(judged: CarriedOver) -> str:
    point = judged.point
    if point is None:
        return ""
    limits = format_bounds(format_number(point.low), format_number(point.high))
    return (
        f"net benefit {format_number(point.model)} ({limits}), treating everybody "
        f"{format_number(point.treat_all)}, gain over that {_describe(judged.gain)}"
    )


def _name_trained(cell: Cell) -> str:
    """Who trained, as the start of an arrow."""
    if cell.kind == "earlier":
        return "an earlier study"
    sites = join_words(cell.training_sites)
    return {"federated": f"{sites}, federated", "pooled": f"{sites}, pooled"}.get(cell.kind, sites)


def _build_table(subject: Subject, judged: Sequence[CarriedOver]) -> PrintedTable:
    notes = Footnotes()
    given = [
        judge_cell(cell, subject.results.study.threshold)
        for model in subject.models
        for cell in model.cells
        if cell.relation == "given" and key_of(cell) == key_of(judged[0].cell)
    ]
    compared = _find_pairs(subject, judged[0].cell)
    adjusted = any(pair.p_adjusted is not None for pair in compared)
    return PrintedTable(
        caption=(
            "Every model on the same patients, 95% confidence intervals below. Reference minus this: paired "
            "(DeLong). Net benefit in true positives a patient; treating nobody is 0."
        ),
        stub=("Model", ""),
        groups=(
            ColumnGroup("", ("Answer",)),
            ColumnGroup("AUC", ("there", "minus home")),
            ColumnGroup("Calibration", ("Intercept", "Slope", "Risks")),
            ColumnGroup("At the frozen threshold", ("Sensitivity", "Specificity")),
            ColumnGroup("Net benefit there", ("of the model", "minus treat-all")),
            ColumnGroup("Reference minus this", ("AUC", "P, Holm" if adjusted else "P")),
        ),
        lines=tuple(_build_line(subject, one, compared, notes) for one in (*judged, *given)),
        footnotes=notes.list_texts(),
    )


def _build_line(
    subject: Subject, judged: CarriedOver, compared: Sequence[Comparison], notes: Footnotes
) -> TableLine:
    cell = judged.cell
    title = subject.find_model(cell.model).title
    given = cell.relation == "given"
    return TableLine(
        title,
        (
            TableEntry("given score", notes.mark(_GIVEN)) if given else TableEntry(judged.title),
            _enter_auc(subject, cell, notes),
            NOT_APPLICABLE if given else _enter_home(cell, notes),
            *_enter_calibration(judged, notes),
            _enter(cell.sensitivity, notes, notes.mark(_describe_threshold(subject, cell))),
            _enter(cell.specificity, notes),
            *_enter_benefit(judged, notes),
            *_enter_pair(subject, cell, compared, notes),
        ),
    )


_GIVEN = "It came with the hospitals' tables; on whom it was made is not known here."


def _enter(estimate: Estimate, notes: Footnotes, mark: str = "") -> TableEntry:
    """A value with its interval below it."""
    if estimate.value is None:
        return enter_absent(estimate.standing, notes)
    return TableEntry(format_number(estimate.value), mark, format_interval(estimate))


def _enter_auc(subject: Subject, cell: Cell, notes: Footnotes) -> TableEntry:
    texts = (
        describe_other_interval(cell.auc, subject.results.study.interval),
        describe_bounds(bounds_of(cell)),
    )
    return _enter(cell.auc, notes, notes.mark(" ".join(filter(None, texts))))


def _enter_home(cell: Cell, notes: Footnotes) -> TableEntry:
    """The AUC there minus that of held-out patients at home; of several tests, a footnote has the others."""
    if not cell.from_internal:
        return TableEntry("not compared", notes.mark(_NO_HOME), absent=True)
    first, *others = cell.from_internal
    texts = [f"Home: held-out patients of {join_words(first.cohort_sites)}."]
    for test in others:
        value = format_number(test.difference.value)
        texts.append(f"Of {join_words(test.cohort_sites)}: {value} ({format_interval(test.difference)}).")
    if first.difference_bound:
        texts.append(f"Of the scores themselves it lies within {format_bound(first.difference_bound)}.")
    return _enter(first.difference, notes, notes.mark(" ".join(texts)))


_NO_HOME = "There is no internal test of this model, or an earlier version made the file."


def _enter_calibration(judged: CarriedOver, notes: Footnotes) -> Iterator[TableEntry]:
    calibration = judged.cell.calibration
    if calibration is None:
        yield from (NOT_APPLICABLE, NOT_APPLICABLE)
    else:
        yield from (_enter(calibration.intercept, notes), _enter(calibration.slope, notes))
    yield TableEntry(judged.risks.words.removeprefix("risks "), strong=judged.risks.answer == "no")


def _enter_benefit(judged: CarriedOver, notes: Footnotes) -> Iterator[TableEntry]:
    point = judged.point
    if point is None:
        yield from (NOT_APPLICABLE, NOT_APPLICABLE)
        return
    limits = format_bounds(format_number(point.low), format_number(point.high))
    yield TableEntry(format_number(point.model), notes.mark(f"At {point.threshold:g}."), limits)
    yield _enter(judged.gain, notes)


def _describe_threshold(subject: Subject, cell: Cell) -> str:
    threshold = subject.results.study.threshold if cell.threshold is None else cell.threshold
    return f"Called positive {'up to' if cell.falling else 'from'} {threshold:g}."


def _find_pairs(subject: Subject, cell: Cell) -> list[Comparison]:
    """The reference's comparisons on the cell's patients, in the cell's arm."""
    reference = (subject.models[0].name, cell.arm)
    return [
        pair
        for table in subject.results.comparisons
        if key_of(table) == key_of(cell)
        for pair in table.pairs
        if (pair.first_model, pair.first_arm) == reference
    ]


def _enter_pair(
    subject: Subject, cell: Cell, compared: Sequence[Comparison], notes: Footnotes
) -> tuple[TableEntry, TableEntry]:
    if subject.is_reference(cell.model):
        return TableEntry("reference"), NOT_APPLICABLE
    pair = next(
        (one for one in compared if (one.second_model, one.second_arm) == (cell.model, cell.arm)), None
    )
    if pair is None:
        return NOT_APPLICABLE, NOT_APPLICABLE
    return _enter(pair.difference, notes), enter_p_value(_choose_p(pair))


def _choose_p(pair: Comparison) -> float | None:
    return pair.p_value if pair.p_adjusted is None else pair.p_adjusted


def _list_beside(subject: Subject, cell: Cell) -> Iterator[str]:
    """The reference against the best baseline and, where they are judged there, against local models."""
    pairs = _find_pairs(subject, cell)
    names = list_baselines(subject)
    baselines = [
        (other, pair)
        for pair in pairs
        if pair.second_model in names
        and (other := find_cell(subject, (pair.second_model, pair.second_arm), cell)) is not None
        and other.auc.value is not None
        and (pair.second_arm == cell.arm or other.kind in {"given", "earlier"})
    ]
    if baselines:
        best, pair = max(baselines, key=lambda found: found[0].auc.value or 0.0)
        yield _describe_pair(f"the best baseline, {subject.find_title(best.model)}", pair)
    for pair in pairs:
        if pair.second_model == cell.model and cell.kind == "federated":
            other = find_cell(subject, (pair.second_model, pair.second_arm), cell)
            if other is not None and other.kind == "local":
                yield _describe_pair(f"the local model of {name_arm(other)}", pair)


def _describe_pair(whom: str, pair: Comparison) -> str:
    difference = pair.difference
    if difference.value is None or difference.low is None or difference.high is None:
        return f"Against {whom}: not compared."
    word = "better than" if difference.low > 0 else "worse than" if difference.high < 0 else ""
    p = _choose_p(pair)
    known = "" if p is None else f", P {'' if p < 0.001 else '= '}{format_p_value(p)}"
    return (
        f"{'AUC not shown to differ from' if not word else f'AUC {word}'} that of {whom}: difference "
        f"{format_number(difference.value)} ({format_interval(difference)}{known})."
    )
