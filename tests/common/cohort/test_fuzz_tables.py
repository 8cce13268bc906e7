"""A few of the files of `fuzz_tables`; its command reads 100,000 of each kind."""

from __future__ import annotations

import pytest

from tests.common.cohort.fuzz_tables import read_one


@pytest.mark.parametrize(("form", "number"), [("csv", 2000), ("xlsx", 300)])
def test_odd_tables_are_read_or_refused_and_soon(tmp_path, form, number):
    results = [read_one(form, seed, tmp_path) for seed in range(number)]

    assert 0.05 < sum(read for read, _ in results) / number < 0.95
    assert max(seconds for _, seconds in results) < 3
