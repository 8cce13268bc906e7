"""Repeated readings as CSV files: every number in full."""

from __future__ import annotations

from collections.abc import Iterable

from server.report.analysis_tables import CsvRow, flatten_estimate, format_status
from server.results.file import Results


def _write_agreement(results: Results) -> Iterable[CsvRow]:
    yield (
        *("kind", "name", "label", "reader", "sites", "used", "missing", "statistic", "value", "low", "high"),
        *("interval", "status", "readings", "null_error", "p"),
    )
    reproducibility = results.reproducibility
    for record in () if reproducibility is None else reproducibility.agreements:
        kind = "computed suggestion" if record.kind == "suggestion" else record.kind
        reading = (kind, record.name, record.label, record.reader, record.sites)
        value, low, high, method, standing = flatten_estimate(record.agreement)
        interval = "" if low is None else method
        numbers = (record.used, record.missing, record.method, value, low, high, interval, standing)
        yield (*reading, *numbers, " + ".join(record.compared), record.null_error, record.p)


def _write_feature_agreement(results: Results) -> Iterable[CsvRow]:
    yield ("arm", "reading", "sites", "used", "form", "feature", "icc", "low", "high", "retained", "status")
    reproducibility = results.reproducibility
    for filtered in () if reproducibility is None else reproducibility.filters:
        retained = set(filtered.retained)
        if not filtered.readings:
            yield (filtered.arm, *[""] * 9, format_status(filtered.standing))
        for group in filtered.readings:
            key = (filtered.arm, group.reading, " + ".join(group.sites), group.used, filtered.form)
            for feature in group.features:
                bounds = (feature.icc, feature.low, feature.high)
                yield (
                    *key,
                    feature.name,
                    *bounds,
                    int(feature.name in retained),
                    format_status(filtered.standing),
                )


READING_TABLES = {"agreement": _write_agreement, "feature_agreement": _write_feature_agreement}
"""What writes each file's rows, by the file's name; the first row is the heading."""
