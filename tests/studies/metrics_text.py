"""A strict reader of Prometheus' text format, version 0.0.4: it refuses what a scraper would stumble over."""

from __future__ import annotations

import re
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (NaN|[+-]Inf|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_ESCAPED = {"\\": "\\", '"': '"', "n": "\n"}


def read_exposition(text: str) -> dict[str, tuple[str, dict[Labels, float]]]:
    """By name, each metric's type and its numbers by their labels.

    Raises
    ------
    ValueError
        With the first line against the format.
    """
    if text and not text.endswith("\n"):
        raise ValueError("the last line has no end")
    metrics: dict[str, tuple[str, dict[Labels, float]]] = {}
    helped = ""
    for line in text.splitlines():
        if found := re.fullmatch(rf"# HELP ({_NAME}) ((?:[^\\]|\\[\\n])+)", line):
            helped = found[1]
            if helped in metrics:
                raise ValueError(f"two groups of one name: {line}")
        elif found := re.fullmatch(rf"# TYPE ({_NAME}) (gauge|counter)", line):
            if found[1] != helped:
                raise ValueError(f"no help before the type: {line}")
            metrics[found[1]] = (found[2], {})
        else:
            _take_sample(line, helped, metrics)
    return metrics


def _take_sample(line: str, current: str, metrics: dict[str, tuple[str, dict[Labels, float]]]) -> None:
    found = _SAMPLE.fullmatch(line)
    if found is None or found[1] != current or current not in metrics:
        raise ValueError(f"no sample of the metric above it: {line}")
    labels = _read_labels(found[2] or "")
    if labels in metrics[current][1]:
        raise ValueError(f"twice the same sample: {line}")
    metrics[current][1][labels] = float(found[3])


def _read_labels(text: str) -> Labels:
    labels, rest = {}, text
    while rest:
        found = _LABEL.match(rest)
        if found is None or found[1] in labels:
            raise ValueError(f"no labels: {text}")
        labels[found[1]] = re.sub(r"\\(.)", lambda escaped: _ESCAPED[escaped[1]], found[2])
        rest = rest[found.end() :]
        if rest and not rest.startswith(","):
            raise ValueError(f"no labels: {text}")
        rest = rest.removeprefix(",")
    return tuple(sorted(labels.items()))
