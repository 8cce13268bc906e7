"""What the sums of attention maps tell of few patients, the coordinator and whoever subtracts: nothing."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
from sites.mapped import make_mapped_site, open_mapped, plan_mapped

from common.messages.catalogue import Operation
from common.plan.mapped_cohorts import OUTCOMES
from common.program.attention_means import average_attention
from common.program.names import MEAN_ATTENTION
from common.stats import mean_map
from common.stats.minima import STANDARD
from server.procedures import carry_out
from tests.reading.received import ReadExchange


def read_study(sites, folder):
    """A standard study over so many hospitals, with cells in which few patients of one have something."""
    names = "abcde"[:sites]
    roles = {name: "external" if sites > 3 and name == names[-1] else "train" for name in names}
    plan = plan_mapped(roles)
    made = {name: make_mapped_site(seed, empty=0.8) for seed, name in enumerate(names)}
    line = ReadExchange(plan, open_mapped(plan, made, folder))
    carry_out(line, MEAN_ATTENTION, average_attention(plan))
    return made, line


def find_cells_of_few(made, line):
    """The cells that rest on few patients, in a sum or in what remains of it without others' parts."""
    ((_, _, sums),) = [one for one in line.received if one[0].operation is Operation.ATTENTION]
    found = 0
    for sites, opened in sums.sums.items():
        for number, outcome in enumerate(OUTCOMES):
            total = opened.counts[f"{outcome}/0/map"]
            own = {site: _count_behind(made[site], bool(number)) for site in sites}
            parts = {site: sums.of((site,)).counts[f"{outcome}/0/map"] for site in sites}
            for known in chain.from_iterable(combinations(sites, size) for size in range(len(sites))):
                remains = total - sum(parts[site] for site in known)
                behind = sum(own[site] * (parts[site] > 0) for site in sites if site not in known)
                assert ((remains > 0) == (behind > 0)).all()
                found += int(((behind > 0) & (behind < STANDARD.cell)).sum())
    return found


def _count_behind(site, positive):
    """How many of a hospital's tested patients have something in each cell."""
    cases, maps = site
    tested = [case for case in cases if case.part == "test" and case.positive == positive]
    return sum((maps[case.patient.identifier] > 0).astype(int) for case in tested)


@pytest.mark.parametrize("sites", [2, 3, 5])
def test_no_cell_rests_on_few_patients_whoever_subtracts_what(sites, tmp_path):
    made, line = read_study(sites, tmp_path)

    hidden = [_count_behind(one, positive) for one in made.values() for positive in (False, True)]

    assert any(((behind > 0) & (behind < STANDARD.cell)).any() for behind in hidden)
    assert find_cells_of_few(made, line) == 0


def test_without_the_rule_the_reader_finds_them(tmp_path, monkeypatch):
    def add_all(maps, fewest):
        return mean_map.local_mean_map(maps, min(fewest, 1))

    monkeypatch.setattr("client.answers.attention_sums.local_mean_map", add_all)

    assert find_cells_of_few(*read_study(3, tmp_path)) > 0


@pytest.mark.parametrize("sites", [3, 5])
def test_what_is_counted_before_tells_no_number_of_few_patients(sites, tmp_path):
    _, line = read_study(sites, tmp_path)

    (_, _, counted), *_ = line.received
    classes = np.concatenate(
        [sums.counts[f"{outcome}/classes"] for sums in counted.sums.values() for outcome in OUTCOMES]
    )
    assert set(np.unique(classes[classes < STANDARD.cell])) == {0}
