from __future__ import annotations

import numpy as np
import pytest

from common.stats.contingency import MISSING, finish_contingency, local_contingency
from common.stats.contract import Summary, total
from common.stats.minima import REPLICATION


def of_table(table, missing=(0, 0)):
    return Summary(counts={"table": np.array(table), "missing": np.array(missing)})


def test_counts_by_hand():
    summary = local_contingency(np.array([0, 2, 2, MISSING, 1]), np.array([0, 1, 1, 1, 0]), 2, 3)

    assert summary.counts["table"].tolist() == [[1, 0], [1, 0], [0, 2]]
    assert summary.counts["missing"].tolist() == [0, 1]


def test_federated_equals_pooled(federations):
    random = np.random.default_rng(0)
    outcome = (random.random(300) < 0.4).astype(np.int64)
    location = random.integers(-1, 3, 300)
    pooled = finish_contingency(local_contingency(location, outcome, 2, 3))

    for sites in federations(outcome):
        parts = total(local_contingency(location[site], outcome[site], 2, 3) for site in sites)
        assert finish_contingency(parts) == pooled


def test_percentages_are_of_known_levels():
    result = finish_contingency(of_table([[30, 20], [70, 20]], (10, 0)))

    assert result.percentages == ((30.0, 50.0), (70.0, 50.0))
    assert (result.n_used, result.n_missing) == ((100, 40), (10, 0))
    assert result.status.ok


def test_small_cell_of_the_source_is_hidden_with_its_complements():
    # Table 1, fluid level, training: 3 of 271 and 2 of 118.
    table = [[268, 116], [3, 2]]

    result = finish_contingency(of_table(table))

    assert result.counts == ((None, None), (None, None))
    assert result.percentages == ((None, None), (None, None))
    assert result.status.kind == "suppressed"
    assert finish_contingency(of_table(table), REPLICATION).counts == ((268, 116), (3, 2))


def test_few_missing_values_cannot_be_worked_out():
    result = finish_contingency(of_table([[30, 20], [70, 20]], (2, 0)))

    hidden = [count is None for row in (*result.counts, result.n_missing) for count in row]
    assert sum(hidden) == 4
    assert (result.n_missing, result.n_used) == ((None, None), (None, None))
    assert result.percentages == ((None, None), (None, None))


def test_nobody():
    result = finish_contingency(of_table([[0, 0], [0, 0]]))

    assert str(result.status) == "undefined(no values)"
    assert result.percentages == ((None, None), (None, None))
    assert local_contingency(np.empty(0, dtype=int), np.empty(0, dtype=int), 2, 2).counts["table"].sum() == 0


@pytest.mark.parametrize("codes", [[0, 3], [-2, 0]])
def test_refuses_unknown_levels(codes):
    with pytest.raises(ValueError, match="levels"):
        local_contingency(np.array(codes), np.array([0, 1]), 2, 3)
