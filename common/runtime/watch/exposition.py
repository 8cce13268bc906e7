"""Numbers for a hospital's monitoring, in the text format that Prometheus reads."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of the format, as an HTTP answer names it."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class Sample:
    """One number.

    Attributes
    ----------
    value : float
        In the unit that the metric's name ends with.
    labels : mapping of str to str
        Which of several it is.
    """

    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True)
class MetricFamily:
    """Numbers of one kind.

    Attributes
    ----------
    name : str
        In Prometheus' convention: ``rhe_``, what, unit; a counter ends with ``_total``.
    about : str
        What it is, in one line.
    samples : tuple of Sample
        None: nothing is known of it now.
    kind : {"gauge", "counter"}
        Whether it can fall.
    """

    name: str
    about: str
    samples: tuple[Sample, ...]
    kind: Literal["gauge", "counter"] = "gauge"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name!r} is no name of a {self.kind}")


def gauge_of(name: str, about: str, value: float | None, /, **labels: str) -> MetricFamily:
    """A metric with one number, or with none where it is not known."""
    return MetricFamily(name, about, () if value is None else (Sample(value, labels),))


def write_exposition(metrics: Iterable[MetricFamily]) -> str:
    """All metrics that have numbers, each with its help and its type."""
    return "".join(f"{line}\n" for metric in metrics if metric.samples for line in _write_metric(metric))


def _write_metric(metric: MetricFamily) -> Iterator[str]:
    about = metric.about.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {metric.name} {about}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for sample in metric.samples:
        labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in sample.labels.items())
        yield (
            f"{metric.name}{{{labels}}} {_write_number(sample.value)}"
            if labels
            else (f"{metric.name} {_write_number(sample.value)}")
        )


def _write_number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
