"""Made studies whose networks were trained from several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from common.stats.estimate import Estimate, Status
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.seed_spread import SeedAuc, SeedSpread

FAIR = {"internal", "external"}


def add_spreads(results: Results, further: Mapping[str, Sequence[float | None]]) -> Results:
    """The study with further trainings of these networks, whose AUCs are the first one's plus each shift.

    A shift of None: the training has no AUC.
    """
    cells = [cell for cell in results.evaluation if cell.model in further and cell.relation in FAIR]
    spreads = tuple(_make_spread(cell, further[cell.model]) for cell in cells if cell.part != "train")
    return results.model_copy(update={"seed_spreads": spreads})


def _make_spread(cell: Cell, shifts: Sequence[float | None]) -> SeedSpread:
    value = cell.auc.value
    assert value is not None
    moved = [None if shift is None else value + shift for shift in shifts]
    values = [value, *(one for one in moved if one is not None)]
    return SeedSpread(
        model=cell.model,
        arm=cell.arm,
        kind=cell.kind,
        training_sites=cell.training_sites,
        cohort_sites=cell.cohort_sites,
        part=cell.part,
        relation=cell.relation,
        positive=cell.positive,
        negative=cell.negative,
        trainings=tuple(
            _make_auc(f"{cell.model}-seed-{number}" if number > 1 else cell.model, cell.auc, one)
            for number, one in enumerate((value, *moved), 1)
        ),
        lowest=min(values),
        median=statistics.median(values),
        highest=max(values),
        sd=statistics.stdev(values) if len(values) > 1 else None,
    )


def _make_auc(name: str, first: Estimate, value: float | None) -> SeedAuc:
    if value is None:
        auc = Estimate(None, method=first.method, standing=Status("undefined", "not trained: diverged"))
    else:
        auc = replace(first, value=value)
    return SeedAuc(trained_as=name, chosen=3, auc=auc, auc_error_bound=0.0, auc_interval_bound=0.0)
