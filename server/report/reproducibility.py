"""How well readings agree, and how many radiomics features are reproducible (the paper's Fig. 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.cohort.repeated_readings import READINGS, Reader, place_of_reading
from common.plan.sections import ALL_READERS, ALL_SESSIONS, ReadingCriterion
from server.report.drawing import Picture
from server.report.icc_strips import IccPanel, draw_icc_strips
from server.report.printed import (
    NOT_APPLICABLE,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
    enter_estimate,
)
from server.report.reading_titles import title_comparison, title_criterion, title_reader
from server.report.subject import Subject
from server.report.words import format_count, join_words
from server.results.readings import FeatureFilter, FeatureIcc, ReadingAgreement, Reproducibility

_KINDS = {"volume": "Volumes (intraclass correlation)", "marker": "NCCT markers (Cohen's kappa)"}
_PAPERS = tuple((reading,) for reading in READINGS)
_FLEISS = "NCCT markers (Cohen's kappa; of three or more readings, Fleiss' kappa)"


@dataclass(frozen=True)
class ReproducibilityChapter:
    """The chapter "Reproducibility".

    Attributes
    ----------
    readers : str
        Whether centres share their readers, and what follows from it, in words.
    agreement : PrintedTable or None
        The agreement of readings; None if the study did not compute it.
    filters : PrintedTable or None
        How many features are reproducible, arm by arm; None if the plan has no such filter.
    figure : Picture or None
        Intraclass correlations of the first arm that has any; None if none has.
    figure_arm : str
        That arm in words; empty if it is the only one.
    """

    readers: str
    agreement: PrintedTable | None
    filters: PrintedTable | None
    figure: Picture | None
    figure_arm: str


def build_reproducibility(subject: Subject) -> ReproducibilityChapter | None:
    """The chapter, or None if the study has no repeated readings."""
    record = subject.results.reproducibility
    if record is None:
        return None
    drawn = next((filtered for filtered in record.filters if filtered.readings), None)
    return ReproducibilityChapter(
        readers=_describe_readers(record),
        agreement=_build_agreement_table(record) if record.agreements else None,
        filters=_build_filter_table(record) if record.filters else None,
        figure=None if drawn is None else _draw_strips(drawn, record.readers),
        figure_arm="" if drawn is None or len(record.filters) == 1 else name_filter_arm(drawn),
    )


def _describe_readers(record: Reproducibility) -> str:
    if record.same_readers:
        return "The same persons read at all centres, so their readings are judged together."
    return (
        "Each centre has readers of its own: volumes of several centres are compared by ICC(1,1), which "
        "needs no reader twice, and features must be reproducible at each centre by itself."
    )


def name_filter_arm(filtered: FeatureFilter) -> str:
    """The arm in few words."""
    _, _, left = filtered.arm.partition("-without-")
    return f"Federated without {left}" if left else "Federated"


def _build_agreement_table(record: Reproducibility) -> PrintedTable:
    notes = Footnotes()
    agreements = record.agreements
    groups, suggested = (
        _list_compared(agreements, suggested=False),
        _list_compared(agreements, suggested=True),
    )
    papers = all(group[0] == "first" and group[1:] in _PAPERS for group in groups)
    of_whom = "with the first reading" if papers else "of readings with each other"
    return PrintedTable(
        caption=(
            f"Agreement {of_whom}, with 95% confidence intervals (the paper's Fig. 3). A "
            "computed suggestion is a program's, made of CT and mask by the paper's definitions; it is "
            "compared with readers and never stands in their place."
        ),
        stub=("Reading of", ""),
        groups=(
            ColumnGroup(
                "Repeated reading" if papers else "Compared readings",
                tuple(title_comparison(group, record.readers) for group in groups),
            ),
            ColumnGroup(
                "Computed suggestion against",
                tuple(title_reader(place_of_reading(reader)[0], record.readers) for (reader,) in suggested),
            ),
        ),
        lines=tuple(_build_agreement_lines(agreements, notes)),
        footnotes=notes.list_texts(),
    )


def _list_compared(
    agreements: Sequence[ReadingAgreement], *, suggested: bool
) -> tuple[tuple[Reader, ...], ...]:
    """What is compared with each other, or with a suggestion, in the order of the results."""
    return tuple(dict.fromkeys(one.compared for one in agreements if (one.kind == "suggestion") is suggested))


def _build_agreement_lines(agreements: Sequence[ReadingAgreement], notes: Footnotes) -> Iterator[TableLine]:
    by_place: dict[tuple[str, str, tuple[Reader, ...]], ReadingAgreement]
    by_place = {(agreement.kind, agreement.name, agreement.compared): agreement for agreement in agreements}
    groups, suggested = (
        _list_compared(agreements, suggested=False),
        _list_compared(agreements, suggested=True),
    )
    several = any(len(group) > 2 for group in groups)
    for kind, heading in (_KINDS | ({"marker": _FLEISS} if several else {})).items():
        names = dict.fromkeys(
            (agreement.name, agreement.label) for agreement in agreements if agreement.kind == kind
        )
        yield TableLine(heading)
        for name, label in names:
            places: list[tuple[str, str, tuple[Reader, ...]]] = [(kind, name, group) for group in groups]
            places += [("suggestion", name, group) for group in suggested]
            entries = (_enter_agreement(by_place.get(place), notes) for place in places)
            yield TableLine(label, tuple(entries), parent=heading)


def _enter_agreement(agreement: ReadingAgreement | None, notes: Footnotes) -> TableEntry:
    if agreement is None:
        return NOT_APPLICABLE
    entry = enter_estimate(agreement.agreement, notes)
    other_form = (
        f"{agreement.method}." if agreement.kind == "volume" and agreement.agreement.value is not None else ""
    )
    below = f"n = {format_count(agreement.used)}" if agreement.used else ""
    marks = ",".join(filter(None, (entry.mark, notes.mark(other_form))))
    return TableEntry(entry.text, marks, below, entry.absent)


def _build_filter_table(record: Reproducibility) -> PrintedTable:
    notes = Footnotes()
    filters, first = record.filters, record.filters[0]
    bound = "" if first.judged == "value" else "the lower 95% bound of "
    readings = _list_criteria(filters)
    return PrintedTable(
        caption=(
            f"Radiomics features with {bound}an {first.form} above {first.threshold:.2f} in repeated "
            "readings of training patients. Only features reproducible in every reading went on to the LASSO."
        ),
        stub=("Models", ""),
        groups=(
            *(
                ColumnGroup(title_criterion(name, record.readers), ("Patients", "Features"))
                for name in readings
            ),
            ColumnGroup("Every reading", ("Features",)),
        ),
        lines=tuple(
            TableLine(
                name_filter_arm(filtered),
                (
                    *(entry for name in readings for entry in _enter_reading(filtered, name)),
                    _enter_retained(filtered, notes),
                ),
            )
            for filtered in filters
        ),
        footnotes=notes.list_texts(),
    )


def _list_criteria(filters: Sequence[FeatureFilter]) -> list[ReadingCriterion]:
    """In which readings features were judged: one reading after the other, then several together."""
    named = {reading.reading for filtered in filters for reading in filtered.readings}
    together = [name for name in (ALL_SESSIONS, ALL_READERS) if name in named]
    return [*sorted(named.difference(together), key=place_of_reading), *together]


def choose_judged_value(filtered: FeatureFilter, feature: FeatureIcc) -> float | None:
    """The value that is compared with the threshold; an ICC of exactly 1 without bounds counts as 1."""
    if filtered.judged == "value" or feature.icc is None:
        return feature.icc
    return feature.low if feature.low is not None else (1.0 if feature.icc == 1 else None)


def find_lowest(filtered: FeatureFilter, reading: ReadingCriterion) -> tuple[tuple[str, float], ...]:
    """Each feature with its judged value in one reading: the lowest of the centres if judged apart."""
    values: dict[str, list[float | None]] = {}
    for group in filtered.readings:
        for feature in group.features if group.reading == reading else ():
            values.setdefault(feature.name, []).append(choose_judged_value(filtered, feature))
    return tuple(
        (name, min(value for value in judged if value is not None))
        for name, judged in values.items()
        if None not in judged
    )


def _enter_reading(filtered: FeatureFilter, reading: ReadingCriterion) -> tuple[TableEntry, TableEntry]:
    groups = [group for group in filtered.readings if group.reading == reading]
    if not groups:
        return NOT_APPLICABLE, NOT_APPLICABLE
    patients = " + ".join(format_count(group.used) for group in groups)
    above = sum(value > filtered.threshold for _, value in find_lowest(filtered, reading))
    return TableEntry(patients), TableEntry(f"{above} of {len(groups[0].features)}")


def _enter_retained(filtered: FeatureFilter, notes: Footnotes) -> TableEntry:
    if filtered.standing.kind != "ok":
        return enter_absent(filtered.standing, notes)
    left_out = f"Not judged at {join_words(filtered.left_out)}." if filtered.left_out else ""
    return TableEntry(
        f"{len(filtered.retained)} of {len(filtered.readings[0].features)}", notes.mark(left_out)
    )


def _draw_strips(filtered: FeatureFilter, names: Sequence[str]) -> Picture:
    panels = []
    for reading in _list_criteria([filtered]):
        values = find_lowest(filtered, reading)
        if values:
            panels.append(IccPanel(title_criterion(reading, names), values))
    axis = filtered.form if filtered.judged == "value" else f"Lower 95% bound of {filtered.form}"
    above = [sum(value > filtered.threshold for _, value in panel.values) for panel in panels]
    shown = "; ".join(
        f"{panel.title}: {number} of {len(panel.values)}" for panel, number in zip(panels, above, strict=True)
    )
    return draw_icc_strips(
        panels,
        filtered.threshold,
        axis,
        f"A dot for each feature at its {axis}; above {filtered.threshold:.2f}: {shown}",
    )
