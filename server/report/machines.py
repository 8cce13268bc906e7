"""The support vector machines that the study trained."""

from __future__ import annotations

from collections.abc import Iterator

from common.plan.design import covariate_label
from server.report.printed import (
    BLANK,
    ColumnGroup,
    Footnotes,
    PrintedTable,
    TableEntry,
    TableLine,
    enter_absent,
)
from server.report.subject import Subject
from server.report.words import format_count, format_number, name_arm
from server.results.training import SupportVectorMachine

_COLUMNS = (
    "Patients",
    "Covariates",
    "C",
    "\N{GREEK SMALL LETTER GAMMA}",
    "Cross-validation",
    "Fourier features",
    "Deviation from the exact",
)


def build_machine_table(subject: Subject) -> PrintedTable | None:
    """The machines with their arms under them, or None if the study has no machines."""
    machines = subject.results.machines
    if not machines:
        return None
    notes = Footnotes()
    return PrintedTable(
        caption="C and the kernel's width are chosen by cross-validation inside the training patients: by "
        "the AUC at one centre, by the mean log-likelihood over centres. Deviation: root mean square "
        "difference of the linear form's risks and the exact machine's.",
        stub=("Machine", "Trained"),
        groups=(ColumnGroup("", _COLUMNS),),
        lines=tuple(_build_lines(machines, notes)),
        footnotes=notes.list_texts(),
    )


def _build_lines(machines: tuple[SupportVectorMachine, ...], notes: Footnotes) -> Iterator[TableLine]:
    for model in dict.fromkeys(machine.model for machine in machines):
        yield TableLine(model)
        for machine in machines:
            if machine.model == model:
                yield TableLine(name_arm(machine), _enter_machine(machine, notes), parent=model)


def _enter_machine(machine: SupportVectorMachine, notes: Footnotes) -> tuple[TableEntry, ...]:
    if machine.c is None or machine.gamma is None:
        absent = enter_absent(machine.standing, notes)
        return (TableEntry(format_count(machine.used)), absent, *[BLANK] * (len(_COLUMNS) - 2))
    kind = "AUC" if machine.kind == "local" else "log-likelihood"
    return (
        TableEntry(
            format_count(machine.used),
            below=f"missing: {format_count(machine.missing)}" if machine.missing else "",
        ),
        TableEntry(str(len(machine.covariates)), notes.mark(_name_covariates(machine))),
        TableEntry(f"{machine.c:g}"),
        TableEntry(f"{machine.gamma:g}"),
        TableEntry(
            f"{kind} {format_number(machine.criterion)}",
            notes.mark(f"{machine.method[:1].upper()}{machine.method[1:]}{_describe_folds(machine)}."),
        ),
        TableEntry(str(machine.features)),
        TableEntry("no exact one exists")
        if machine.deviation is None
        else TableEntry(format_number(machine.deviation)),
    )


def _describe_folds(machine: SupportVectorMachine) -> str:
    if machine.folds is None:
        return ""
    why = f" ({machine.fold_reason})" if machine.fold_reason else ""
    return f"; cross-validated in {machine.folds} folds{why}"


def _name_covariates(machine: SupportVectorMachine) -> str:
    return f"{', '.join(covariate_label(name) for name in machine.covariates)}."
