"""AUCs of trainings from several seeds as a CSV file: every number in full."""

from __future__ import annotations

from collections.abc import Iterable

from server.report.analysis_tables import CsvRow, flatten_estimate
from server.results.file import Results

_ENDS = ("", "_low", "_high", "_method", "_status")


def _write_seeds(results: Results) -> Iterable[CsvRow]:
    """One row for each training of a network with several, and each cohort."""
    yield (
        *("model", "arm", "trained_by", "cohort", "part", "relation", "positive", "negative"),
        *("training", "trained_as", "chosen", *(f"auc{end}" for end in _ENDS)),
        *("auc_error_bound", "auc_interval_bound", "lowest", "median", "highest", "sd"),
    )
    for spread in results.seed_spreads:
        whose = (spread.model, spread.arm, " + ".join(spread.training_sites))
        whom = (" + ".join(spread.cohort_sites), spread.part, spread.relation)
        over_all = (spread.lowest, spread.median, spread.highest, spread.sd)
        for number, one in enumerate(spread.trainings, 1):
            trained = (number, one.trained_as, one.chosen, *flatten_estimate(one.auc))
            bounds = (one.auc_error_bound, one.auc_interval_bound)
            yield (*whose, *whom, spread.positive, spread.negative, *trained, *bounds, *over_all)


SEED_TABLES = {"seeds": _write_seeds}
"""What writes the file's rows, by the file's name; the first row is the heading."""
