"""Whether models carry over, as a CSV file: every number in full, with the words that follow from it."""

from __future__ import annotations

from collections.abc import Iterable

from server.report.analysis_tables import CsvRow, flatten_estimate
from server.report.verdicts import judge_cell
from server.report.views import is_carried_over
from server.results.evaluation import InternalDifference
from server.results.file import Results

_ENDS = ("", "_low", "_high", "_method", "_status")


def _write_carry_over(results: Results) -> Iterable[CsvRow]:
    """One row for each model at centres new to it and each internal test that it is compared with, if any."""
    yield (
        *(
            "model",
            "arm",
            "trained_by",
            "cohort",
            "verdict",
            "discrimination",
            "against_home",
            "risks",
            "use",
        ),
        *("home", *(f"difference{end}" for end in _ENDS), "difference_bound"),
        *("threshold", "net_benefit", "net_benefit_low", "net_benefit_high", "treat_all"),
        *(f"gain_over_treat_all{end}" for end in _ENDS),
    )
    for cell in results.evaluation:
        if is_carried_over(cell):
            judged = judge_cell(cell, results.study.threshold)
            answers = (judged.ranking, judged.loss, judged.risks, judged.benefit)
            named = (cell.model, cell.arm, " + ".join(cell.training_sites), " + ".join(cell.cohort_sites))
            point = judged.point
            benefit = (
                ("",) * 5
                if point is None
                else (point.threshold, point.model, point.low, point.high, point.treat_all)
            )
            for home in [_flatten_home(test) for test in cell.from_internal] or [("",) * 7]:
                yield (
                    *(*named, judged.title, *(answer.words for answer in answers)),
                    *(*home, *benefit, *flatten_estimate(judged.gain)),
                )


def _flatten_home(test: InternalDifference) -> CsvRow:
    """The internal test that a model is compared with, and the difference."""
    return (" + ".join(test.cohort_sites), *flatten_estimate(test.difference), test.difference_bound)


CARRY_OVER_TABLES = {"carry_over": _write_carry_over}
"""What writes the file's rows, by the file's name; the first row is the heading."""
