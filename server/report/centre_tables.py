"""How one model's AUC differs between centres, and which centre is left out for which reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.stats.estimate import Estimate
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
from server.report.words import explain_standing, format_bounds, format_number, join_words
from server.results.comparison import CentreAuc, CentreHeterogeneity

_TWO = "Of two centres: P of their difference."
_AT_THE_EDGE = (
    "An AUC of 0 or 1 has no variance by DeLong. Interval and P add the squares of the distances between "
    "each AUC and its limit (Zou and Donner 2008); its own limit is Newcombe's (2006, method 5)."
)


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
    """

    pairs: PrintedTable | None
    means: PrintedTable | None
    values: PrintedTable | None
    left_out: tuple[str, ...]


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
                *(_enter_centre(subject, centre, notes, named=bool(common)) for centre in pair),
                _enter_difference(record.difference, notes),
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
        groups=(ColumnGroup("", (*headings, "Difference (95% CI)", "P")),),
        lines=lines,
        footnotes=notes.list_texts(),
    )


def _count_tests(number: int) -> str:
    if number == 1:
        return "P is of one test."
    return f"P is of each model alone, not adjusted for the {number} models tested."


def _enter_centre(subject: Subject, centre: CentreAuc, notes: Footnotes, *, named: bool) -> TableEntry:
    entry = enter_auc(centre.auc, subject.results.study.interval, notes)
    return entry if named else TableEntry(entry.text, entry.mark, centre.site, entry.absent)


def _enter_difference(difference: Estimate | None, notes: Footnotes) -> TableEntry:
    if difference is None:
        return NOT_APPLICABLE
    entry = enter_estimate(difference, notes)
    mark = notes.mark(_AT_THE_EDGE) if "Newcombe" in difference.method else ""
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
    left_out = f"left out: {record.sites_excluded}" if record.sites_excluded else ""
    of_two = notes.mark(_TWO) if record.p_value is not None and record.q is None else ""
    return (
        TableEntry(str(record.sites), below=left_out),
        enter_estimate(record.auc, notes),
        predicted,
        TableEntry(format_number(record.q, 2)),
        enter_p_value(record.p_value, of_two),
        NOT_APPLICABLE if record.i_squared is None else TableEntry(f"{record.i_squared * 100:.0f}%"),
        TableEntry(format_number(record.tau_squared)),
    )


def _build_values(subject: Subject, records: Sequence[CentreHeterogeneity]) -> PrintedTable:
    """Models down, centres across."""
    notes = Footnotes()
    sites = tuple(centre.site for centre in records[0].centres)
    return PrintedTable(
        caption="AUC with its 95% confidence interval at each centre.",
        stub=("Model", ""),
        groups=(ColumnGroup("", sites),),
        lines=tuple(
            TableLine(
                _name(subject, record),
                tuple(_enter_centre(subject, centre, notes, named=True) for centre in record.centres),
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
