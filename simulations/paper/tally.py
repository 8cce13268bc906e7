"""How many of the printed numbers were reproduced, in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from common.cohort.schema import TABLE_ONE
from simulations.paper.against_print import ComparedCell, Verdict
from simulations.paper.printed_values import CellName, Claim

_CONTINUOUS = frozenset(variable.label for variable in TABLE_ONE if variable.kind == "continuous")

_CLAIMS: Mapping[str, Callable[[Claim], bool]] = {
    "computed over the sites": lambda claim: claim is Claim.COMPUTED,
    "by construction": lambda claim: claim is Claim.INPUT,
    "not reproducible, because the paper does not print what it takes": lambda claim: not claim.checked,
}


@dataclass(frozen=True)
class Tally:
    """The verdicts on the numbers of one kind; the limits of an interval count as one number.

    Attributes
    ----------
    kind : str
        The kind in words, e.g. "p-values of means".
    reproduced, errata, finer, wrong, not_reproducible : int
        How many numbers have each verdict.
    """

    kind: str
    reproduced: int
    errata: int
    finer: int
    wrong: int
    not_reproducible: int

    def __str__(self) -> str:
        """E.g. "4/5 + 1 erratum p-values of means"."""
        if self.not_reproducible:
            return f"{self.not_reproducible} {self.kind}"
        total = self.reproduced + self.errata + self.finer + self.wrong
        notes = [f"{self.errata} {'erratum' if self.errata == 1 else 'errata'}"] if self.errata else []
        notes += [f"{self.finer} finer than rhe"] if self.finer else []
        notes += [f"{self.wrong} WRONG"] if self.wrong else []
        return " + ".join([f"{self.reproduced}/{total}", *notes]) + f" {self.kind}"


def summarize_cells(cells: Sequence[ComparedCell]) -> tuple[str, ...]:
    """One line for each table and claim: computed, by construction, or not reproducible."""
    lines = []
    for table in (1, 2, 3):
        for claimed, belongs in _CLAIMS.items():
            chosen = [c for c in cells if c.printed.name.table == table and belongs(c.printed.claim)]
            if chosen:
                lines.append(
                    f"Table {table}, {claimed}: " + ", ".join(str(tally) for tally in tally_cells(chosen))
                )
    return tuple(lines)


def tally_cells(cells: Iterable[ComparedCell]) -> tuple[Tally, ...]:
    """The verdicts on each kind of number, in the order of the cells."""
    kinds: dict[str, dict[CellName, list[Verdict]]] = {}
    for cell in cells:
        kind, number = _classify(cell.printed.name, cell.printed.claim)
        kinds.setdefault(kind, {}).setdefault(number, []).append(cell.verdict)
    return tuple(_count_verdicts(kind, list(numbers.values())) for kind, numbers in kinds.items())


def _count_verdicts(kind: str, numbers: Sequence[Sequence[Verdict]]) -> Tally:
    wrong = sum(any(verdict.wrong for verdict in number) for number in numbers)
    unknown = sum(Verdict.NOT_REPRODUCIBLE in number for number in numbers)
    errata = sum(
        Verdict.ERRATUM in number and not any(verdict.wrong for verdict in number) for number in numbers
    )
    finer = sum(
        Verdict.FINER in number and Verdict.ERRATUM not in number and not any(v.wrong for v in number)
        for number in numbers
    )
    return Tally(kind, len(numbers) - wrong - unknown - errata - finer, errata, finer, wrong, unknown)


def _classify(name: CellName, claim: Claim) -> tuple[str, CellName]:
    """The kind of number that a cell belongs to, and the number of which it is a part."""
    return {1: _classify_table_one, 2: _classify_table_two, 3: _classify_table_three}[name.table](name, claim)


def _classify_table_one(name: CellName, claim: Claim) -> tuple[str, CellName]:
    group, _, cell = name.cell.partition("_")
    if name.cell == "p":
        continuous = "p-values of medians" if claim is Claim.RANKS else "p-values of means"
        return continuous if name.row in _CONTINUOUS else "categorical p-values", name
    if cell in {"count", "percent"}:
        return "counts" if cell == "count" else "percentages", name
    kind = "means with SDs" if cell in {"mean", "sd"} else "medians with IQRs"
    return kind, _name_part(name, group)


def _classify_table_two(name: CellName, claim: Claim) -> tuple[str, CellName]:
    model, _, _ = name.cell.partition("_")
    of = "continuous variables" if name.row in _CONTINUOUS else "binary variables and location"
    whose = "" if model == "multivariable" else f" of {of}"
    limits = " with both limits and p" if claim.checked else ""
    return f"{model} odds ratios{whose}{limits}", _name_part(name, model)


def _classify_table_three(name: CellName, claim: Claim) -> tuple[str, CellName]:
    if claim is Claim.INPUT:
        return "AUCs (each model's number of rightly ranked pairs is the nearest to its printed AUC)", name
    if name.cell in {"auc_low", "auc_high"}:
        return "AUC intervals (limits to 0.001, because the AUC is rounded)", _name_part(name, "interval")
    return "metrics of 36 confusion matrices", name


def _name_part(name: CellName, number: str) -> CellName:
    return CellName(name.table, name.row, name.level, name.cohort, number)
