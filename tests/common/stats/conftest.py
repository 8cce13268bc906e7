"""Frozen numbers of other programs, and the ways to spread patients over sites."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

REFERENCE = Path(__file__).parents[2] / "reference"


@pytest.fixture(scope="session")
def reference():
    """`reference("roc/roc.csv")`: what another program computed, by name."""

    def read(path):
        with (REFERENCE / path).open(newline="") as file:
            return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}

    return read


@pytest.fixture(scope="session")
def rows():
    """`rows("roc/asah.csv")`: the rows of a data set, as text."""

    def read(path):
        with (REFERENCE / path).open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def federations():
    """`federations(labels)`: row numbers by site, for 1, 2, 3 and 7 sites.

    Patients are permuted; with three sites and more one site is empty, with seven one has one class only.
    """

    def spread(labels):
        order = np.random.default_rng(7).permutation(len(labels))
        yield [order]
        yield np.array_split(order, 2)
        yield [*np.array_split(order, 2), order[:0]]
        ones = order[np.asarray(labels)[order] == 1]
        lonely, rest = ones[:2], np.setdiff1d(order, ones[:2])
        yield [lonely, order[:0], *np.array_split(np.random.default_rng(8).permutation(rest), 5)]

    return spread
