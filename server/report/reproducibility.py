"""How far readers agree, and on which radiomics features: the paper's Fig. 3 and its ICC filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.cohort.readings import READINGS, Reader, Reading
from server.reading_records import FeatureFilter, FeatureIcc, ReadingAgreement, Reproducibility
from server.report.drawing import Picture
from server.report.icc_strips import IccPanel, icc_picture
from server.report.printed import (
    NOT_APPLICABLE,
    Entry,
    Footnotes,
    Group,
    Line,
    PrintedTable,
    absent_entry,
    measure_entry,
)
from server.report.subject import Subject
from server.report.words import count, join_words

_READINGS: dict[Reading, str] = {"intra": "Same reader, second session", "inter": "Second reader"}
_SUGGESTED: tuple[Reader, ...] = ("first", "inter")
_KINDS = {"volume": "Volumes (intraclass correlation)", "marker": "NCCT markers (Cohen's kappa)"}


@dataclass(frozen=True)
class ReadingsView:
    """The chapter.

    Attributes
    ----------
    readers : str
        Who read, as far as the plan tells.
    agreement : PrintedTable or None
        None if the study did not ask.
    filters : PrintedTable or None
        How many features are reproducible, arm by arm; None if none had to be.
    figure : Picture or None
        Of the first arm that has any.
    figure_arm : str
        Which.
    """

    readers: str
    agreement: PrintedTable | None
    filters: PrintedTable | None
    figure: Picture | None
    figure_arm: str


def reproducibility(subject: Subject) -> ReadingsView | None:
    """The chapter, if the study asked for repeated readings."""
    found = subject.results.reproducibility
    if found is None:
        return None
    drawn = next((one for one in found.filters if one.readings), None)
    return ReadingsView(
        readers=_readers(found),
        agreement=_agreement_table(found.agreements) if found.agreements else None,
        filters=_filter_table(found.filters) if found.filters else None,
        figure=None if drawn is None else _figure(drawn),
        figure_arm="" if drawn is None or len(found.filters) == 1 else arm_words(drawn),
    )


def _readers(found: Reproducibility) -> str:
    if found.same_readers:
        return "The same persons read at all centres, so their readings are judged together."
    return (
        "Each centre has readers of its own: volumes of several centres are compared by ICC(1,1), which "
        "needs no reader twice, and features must be reproducible at each centre by itself."
    )


def arm_words(one: FeatureFilter) -> str:
    """The arm in few words."""
    _, _, left = one.arm.partition("-without-")
    return f"Federated without {left}" if left else "Federated"


def _agreement_table(found: Sequence[ReadingAgreement]) -> PrintedTable:
    notes = Footnotes()
    return PrintedTable(
        caption=(
            "Agreement with the first reading, with 95% confidence intervals (the paper's Fig. 3). A "
            "computed suggestion is a program's, made of CT and mask by the paper's definitions; it is "
            "compared with readers and never stands in their place."
        ),
        stub=("Reading of", ""),
        groups=(
            Group("Repeated reading", tuple(_READINGS[reading] for reading in READINGS)),
            Group("Computed suggestion against", ("First reader", "Second reader")),
        ),
        lines=tuple(_agreement_lines(found, notes)),
        footnotes=notes.lines(),
    )


def _agreement_lines(found: Sequence[ReadingAgreement], notes: Footnotes) -> Iterator[Line]:
    by_place: dict[tuple[str, str, Reader], ReadingAgreement]
    by_place = {(one.kind, one.name, one.reader): one for one in found}
    for kind, heading in _KINDS.items():
        names = dict.fromkeys((one.name, one.label) for one in found if one.kind == kind)
        yield Line(heading)
        for name, label in names:
            places: list[tuple[str, str, Reader]] = [(kind, name, reading) for reading in READINGS]
            places += [("suggestion", name, reader) for reader in _SUGGESTED]
            entries = (_entry(by_place.get(place), notes) for place in places)
            yield Line(label, tuple(entries), parent=heading)


def _entry(one: ReadingAgreement | None, notes: Footnotes) -> Entry:
    if one is None:
        return NOT_APPLICABLE
    entry = measure_entry(one.agreement, notes)
    other_form = f"{one.method}." if one.kind == "volume" and one.agreement.value is not None else ""
    below = f"n = {count(one.used)}" if one.used else ""
    return Entry(entry.text, entry.mark or notes.mark(other_form), below, entry.absent)


def _filter_table(filters: Sequence[FeatureFilter]) -> PrintedTable:
    notes = Footnotes()
    first = filters[0]
    bound = "" if first.judged == "value" else "the lower 95% bound of "
    readings = [
        reading for reading in READINGS if any(r.reading == reading for f in filters for r in f.readings)
    ]
    return PrintedTable(
        caption=(
            f"Radiomics features with {bound}an {first.form} above {first.threshold:.2f} in repeated "
            "readings of training patients. Only features reproducible in every reading went on to the LASSO."
        ),
        stub=("Models", ""),
        groups=(
            *(Group(_READINGS[reading], ("Patients", "Features")) for reading in readings),
            Group("Every reading", ("Features",)),
        ),
        lines=tuple(
            Line(
                arm_words(one),
                (*(entry for name in readings for entry in _reading(one, name)), _retained(one, notes)),
            )
            for one in filters
        ),
        footnotes=notes.lines(),
    )


def judged_value(one: FeatureFilter, feature: FeatureIcc) -> float | None:
    """What the threshold is compared with: readings without any error have no bounds."""
    if one.judged == "value" or feature.icc is None:
        return feature.icc
    return feature.low if feature.low is not None else (1.0 if feature.icc == 1 else None)


def lowest(one: FeatureFilter, reading: Reading) -> tuple[tuple[str, float], ...]:
    """Each feature with what is judged of it in one reading: the least of the centres judged apart."""
    values: dict[str, list[float | None]] = {}
    for group in one.readings:
        for feature in group.features if group.reading == reading else ():
            values.setdefault(feature.name, []).append(judged_value(one, feature))
    return tuple(
        (name, min(value for value in found if value is not None))
        for name, found in values.items()
        if None not in found
    )


def _reading(one: FeatureFilter, reading: Reading) -> tuple[Entry, Entry]:
    groups = [group for group in one.readings if group.reading == reading]
    if not groups:
        return NOT_APPLICABLE, NOT_APPLICABLE
    patients = " + ".join(count(group.used) for group in groups)
    above = sum(value > one.threshold for _, value in lowest(one, reading))
    return Entry(patients), Entry(f"{above} of {len(groups[0].features)}")


def _retained(one: FeatureFilter, notes: Footnotes) -> Entry:
    if one.standing.kind != "ok":
        return absent_entry(one.standing, notes)
    left_out = f"Not judged at {join_words(one.left_out)}." if one.left_out else ""
    return Entry(f"{len(one.retained)} of {len(one.readings[0].features)}", notes.mark(left_out))


def _figure(one: FeatureFilter) -> Picture:
    panels = []
    for reading in READINGS:
        values = lowest(one, reading)
        if values:
            panels.append(IccPanel(_READINGS[reading], values))
    axis = one.form if one.judged == "value" else f"Lower 95% bound of {one.form}"
    shown = "; ".join(
        f"{panel.title}: {sum(value > one.threshold for _, value in panel.values)} of {len(panel.values)}"
        for panel in panels
    )
    return icc_picture(
        panels,
        one.threshold,
        axis,
        f"A dot for each feature at its {axis}; above {one.threshold:.2f}: {shown}",
    )
