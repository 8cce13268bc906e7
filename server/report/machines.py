"""The support vector machines that the study trained."""

from __future__ import annotations

from collections.abc import Iterator

from common.design import covariate_label
from server.records import SupportVectorMachine
from server.report.printed import BLANK, Entry, Footnotes, Group, Line, PrintedTable, absent_entry
from server.report.subject import Subject
from server.report.words import arm_label, count, number

_COLUMNS = (
    "Patients",
    "Covariates",
    "C",
    "\N{GREEK SMALL LETTER GAMMA}",
    "Cross-validation",
    "Fourier features",
    "Deviation from the exact",
)


def machines(subject: Subject) -> PrintedTable | None:
    """Models with their arms under them, if the study has machines."""
    found = subject.results.machines
    if not found:
        return None
    notes = Footnotes()
    return PrintedTable(
        caption="C and the kernel's width are chosen by cross-validation inside the training patients: by "
        "the AUC at one centre, by the mean log-likelihood over centres. Deviation: root mean square "
        "difference of the linear form's risks and the exact machine's.",
        stub=("Machine", "Trained"),
        groups=(Group("", _COLUMNS),),
        lines=tuple(_lines(found, notes)),
        footnotes=notes.lines(),
    )


def _lines(found: tuple[SupportVectorMachine, ...], notes: Footnotes) -> Iterator[Line]:
    for model in dict.fromkeys(machine.model for machine in found):
        yield Line(model)
        for machine in found:
            if machine.model == model:
                yield Line(arm_label(machine), _entries(machine, notes), parent=model)


def _entries(machine: SupportVectorMachine, notes: Footnotes) -> tuple[Entry, ...]:
    if machine.c is None or machine.gamma is None:
        absent = absent_entry(machine.standing, notes)
        return (Entry(count(machine.used)), absent, *[BLANK] * (len(_COLUMNS) - 2))
    kind = "AUC" if machine.kind == "local" else "log-likelihood"
    return (
        Entry(count(machine.used), below=f"missing: {count(machine.missing)}" if machine.missing else ""),
        Entry(str(len(machine.covariates)), notes.mark(_named(machine))),
        Entry(f"{machine.c:g}"),
        Entry(f"{machine.gamma:g}"),
        Entry(
            f"{kind} {number(machine.criterion)}",
            notes.mark(f"{machine.method[:1].upper()}{machine.method[1:]}."),
        ),
        Entry(str(machine.features)),
        Entry("no exact one exists") if machine.deviation is None else Entry(number(machine.deviation)),
    )


def _named(machine: SupportVectorMachine) -> str:
    return f"{', '.join(covariate_label(name) for name in machine.covariates)}."
