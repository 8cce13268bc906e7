"""Repeated readings as CSV files: every number in full."""

from __future__ import annotations

from collections.abc import Iterable

from server.report.analysis_tables import Row, measure_cells, status
from server.results import Results


def _agreement(results: Results) -> Iterable[Row]:
    yield (
        *("kind", "name", "label", "reader", "sites", "used", "missing", "statistic", "value", "low", "high"),
        *("interval", "status"),
    )
    found = results.reproducibility
    for one in () if found is None else found.agreements:
        what = (one.kind, one.name, one.label, one.reader, one.sites)
        value, low, high, method, standing = measure_cells(one.agreement)
        interval = "" if low is None else method
        yield (*what, one.used, one.missing, one.method, value, low, high, interval, standing)


def _feature_agreement(results: Results) -> Iterable[Row]:
    yield ("arm", "reading", "sites", "used", "form", "feature", "icc", "low", "high", "retained", "status")
    found = results.reproducibility
    for one in () if found is None else found.filters:
        retained = set(one.retained)
        if not one.readings:
            yield (one.arm, *[""] * 9, status(one.standing))
        for group in one.readings:
            of = (one.arm, group.reading, " + ".join(group.sites), group.used, one.form)
            for feature in group.features:
                bounds = (feature.icc, feature.low, feature.high)
                yield (*of, feature.name, *bounds, int(feature.name in retained), status(one.standing))


READINGS = {"agreement": _agreement, "feature_agreement": _feature_agreement}
"""By the file's name; the first row is the heading."""
