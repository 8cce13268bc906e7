"""How one model's AUC differs between centres, and which centre is left out for which reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.report.auc_words import bounds_of, describe_extreme_difference, format_bound
from server.report.centre_forests import CentreForest, build_forests
from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_auc,
    enter_estimate,
    enter_p_value,
)
from server.report.subject import Subject
from server.report.words import explain_standing, format_bounds, format_number, format_pair, join_words
from server.results.comparison import CentreAuc, CentreHeterogeneity

_TWO = "Of two centres: P of their difference."


@dataclass(frozen=True)
class CentresChapter:
    """The chapter "Differences between centres".

    Attributes
    ----------
    pairs : PrintedTable or None
        Models that two centres judge: both AUCs and their difference; None if there are none.
    means : PrintedTable or None
        Models that more centres judge: mean and heterogeneity; None if there are none.
    values : PrintedTable or None
        Every centre's AUC of the models in `means`; None if it was not recorded.
    left_out : tuple of str
        Which centres are left out of which models' rows, with the reason.
    forests : tuple of CentreForest
        AUC, intercept and slope of each model at each centre.
    """

    pairs: PrintedTable | None
    means: PrintedTable | None
    values: PrintedTable | None
    left_out: tuple[str, ...]
    forests: tuple[CentreForest, ...] = ()


def build_centres(subject: Subject) -> CentresChapter | None:
    """The chapter; None if the study did not compare centres."""
    records = subject.results.heterogeneity
    if not records:
        return None
    pairs = [record for record in records if record.difference is not None]
    more = [record for record in records if record.difference is None and _has_several(record)]
    recorded = [record for record in more if record.centres]
    return CentresChapter(
        _build_pairs(subject, pairs) if pairs else None,
        _build_means(subject, more) if more else None,
        _build_values(subject, recorded) if recorded else None,
        tuple(_list_left_out(subject, records)),
        build_forests(subject),
    )


def _has_several(record: CentreHeterogeneity) -> bool:
    """Whether several centres have an AUC of the model, used in its mean or not."""
    known = [centre for centre in record.centres if centre.auc.value is not None]
    return len(known) > 1 if record.centres else record.sites > 1


def _name(subject: Subject, record: CentreHeterogeneity) -> str:
    return subject.name_contender(record.model, record.arm)


def _build_pairs(subject: Subject, records: Sequence[CentreHeterogeneity]) -> PrintedTable:
    notes = Footnotes()
    compared = [tuple(centre for centre in record.centres if centre.standing.ok) for record in records]
    names = {tuple(centre.site for centre in pair) for pair in compared}
    common = next(iter(names)) if len(names) == 1 else ()
    headings = common or ("First centre", "Second centre")
    lines = tuple(
        TableLine(
            _name(subject, record),
            (
                *_enter_centres(subject, pair, notes, named=bool(common)),
                _enter_difference(record, notes),
                enter_p_value(record.p_value),
            ),
        )
        for record, pair in zip(records, compared, strict=True)
    )
    return PrintedTable(
        caption=(
            "AUC with its 95% confidence interval at each centre, and the first's minus the second's "
            f"(DeLong, unpaired). {_count_tests(len(records))}"
        ),
        stub=("Model", ""),
        groups=(*_head_centres(subject, headings), ColumnGroup("", ("Difference (95% CI)", "P"))),
        lines=lines,
        footnotes=notes.list_texts(),
    )


def _count_tests(number: int) -> str:
    if number == 1:
        return "P is of one test."
    return f"P is of each model alone, not adjusted for the {number} models tested."


def _enter_centre(subject: Subject, centre: CentreAuc, notes: Footnotes, *, named: bool) -> TableEntry:
    entry = enter_auc(centre.auc, subject.results.study.interval, notes, bounds_of(centre))
    return entry if named else TableEntry(entry.text, entry.mark, centre.site, entry.absent)


def _head_centres(subject: Subject, names: Sequence[str]) -> Iterator[ColumnGroup]:
    """The columns of each centre."""
    for name in names:
        yield ColumnGroup(name, ("AUC (95% CI)", f"{subject.event} / {subject.no_event}"))


def _enter_centres(
    subject: Subject, centres: Sequence[CentreAuc], notes: Footnotes, *, named: bool
) -> Iterator[TableEntry]:
    """Each centre's AUC, and its patients with and without expansion."""
    for centre in centres:
        yield _enter_centre(subject, centre, notes, named=named)
        hidden = centre.positive is None and centre.negative is None
        yield TableEntry(format_pair(centre.positive, centre.negative), absent=hidden)


def _enter_difference(record: CentreHeterogeneity, notes: Footnotes) -> TableEntry:
    difference, bound = record.difference, record.difference_bound
    if difference is None:
        return NOT_APPLICABLE
    entry = enter_estimate(difference, notes)
    binned = (
        f"Of the scores themselves, the difference lies within {format_bound(bound)} of the printed one."
        if bound
        else ""
    )
    mark = notes.mark_all(describe_extreme_difference(difference.method), binned)
    return TableEntry(entry.text, mark or entry.mark, absent=entry.absent)


def _build_means(subject: Subject, records: Sequence[CentreHeterogeneity]) -> PrintedTable:
    notes = Footnotes()
    return PrintedTable(
        caption=(
            "Random-effects mean over centres: on the logit scale, by DerSimonian and Laird, with the "
            "interval of Hartung and Knapp, never narrower than with known variances. The prediction "
            f"interval is for the AUC at a new centre. {_count_tests(len(records))}"
        ),
        stub=("Model", ""),
        groups=(
            ColumnGroup(
                "",
                (
                    "Centres",
                    "Mean AUC (95% CI)",
                    "95% prediction interval",
                    "Q",
                    "P",
                    "I\N{SUPERSCRIPT TWO}",
                    "\N{GREEK SMALL LETTER TAU}\N{SUPERSCRIPT TWO}",
                ),
            ),
        ),
        lines=tuple(TableLine(_name(subject, record), _enter_mean(record, notes)) for record in records),
        footnotes=notes.list_texts(),
    )


def _enter_mean(record: CentreHeterogeneity, notes: Footnotes) -> tuple[TableEntry, ...]:
    bounds = (record.prediction_low, record.prediction_high)
    predicted = (
        NOT_APPLICABLE
        if bounds[0] is None or bounds[1] is None
        else TableEntry(format_bounds(format_number(bounds[0]), format_number(bounds[1])))
    )
    mean = enter_estimate(record.auc, notes)
    left_out = f"left out: {record.sites_excluded}" if record.sites_excluded else ""
    of_two = notes.mark(_TWO) if record.p_value is not None and record.q is None else ""
    return (
        TableEntry(str(record.sites), below=left_out),
        TableEntry(mean.text, notes.mark(_describe_bins(record)) or mean.mark, absent=mean.absent),
        predicted,
        TableEntry(format_number(record.q, 2)),
        enter_p_value(record.p_value, of_two),
        NOT_APPLICABLE if record.i_squared is None else TableEntry(f"{record.i_squared * 100:.0f}%"),
        TableEntry(format_number(record.tau_squared)),
    )


def _describe_bins(record: CentreHeterogeneity) -> str:
    """A footnote on a mean of AUCs that the scores themselves may not have; else an empty string."""
    bounds = (bounds_of(centre) for centre in record.centres if centre.standing.ok)
    largest = max((error or 0.0 for error, _ in bounds), default=0.0)
    if record.auc.value is None or not largest:
        return ""
    return (
        "Of the AUCs of the scores' bins: at each centre, that of the scores themselves lies within "
        f"{format_bound(largest)}."
    )


def _build_values(subject: Subject, records: Sequence[CentreHeterogeneity]) -> PrintedTable:
    """Models down, centres across."""
    notes = Footnotes()
    sites = tuple(centre.site for centre in records[0].centres)
    return PrintedTable(
        caption="AUC with its 95% confidence interval at each centre.",
        stub=("Model", ""),
        groups=tuple(_head_centres(subject, sites)),
        lines=tuple(
            TableLine(
                _name(subject, record),
                tuple(_enter_centres(subject, record.centres, notes, named=True)),
            )
            for record in records
        ),
        footnotes=notes.list_texts(),
    )


def _list_left_out(subject: Subject, records: Sequence[CentreHeterogeneity]) -> Iterator[str]:
    """One sentence for each centre and reason, with the models."""
    models: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for centre in record.centres:
            if not centre.standing.ok:
                key = (centre.site, explain_standing(centre.standing))
                models.setdefault(key, []).append(_name(subject, record))
    for (site, reason), names in models.items():
        yield f"{site}, {reason}: {join_words(names)}."
