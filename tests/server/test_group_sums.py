"""Answers of several sites become one sum a group, and one that cannot be added names its site."""

import numpy as np
import pytest

from common.errors import ExchangeError, UnknownSumError
from common.messages.catalogue import Operation
from common.messages.groups import SiteGroup
from common.stats.contract import Summary
from server.group_sums import sum_by_group

GROUPS = (SiteGroup(("a",), ("x",)), SiteGroup(("a", "b"), ("x", "y")))


def answer(*values, name="x/n"):
    return Summary({name: np.array(values), "y/n": np.array([7])})


def test_each_group_has_the_sum_of_its_parts():
    found = sum_by_group(Operation.COHORT, GROUPS, {"a": answer(1, 2), "b": answer(10, 20)})

    assert found.of(["a"]).counts["x/n"].tolist() == [1, 2]
    assert set(found.of(["a"]).counts) == {"x/n"}
    assert found.of(["b", "a"]).counts["x/n"].tolist() == [11, 22]
    assert found.of(["a", "b"]).counts["y/n"].tolist() == [14]
    with pytest.raises(UnknownSumError):
        found.of(["b"])


@pytest.mark.parametrize("other", [answer(1), answer(1, 2, name="x/m")])
def test_a_site_whose_answer_has_other_arrays_is_named(other):
    with pytest.raises(ExchangeError, match="^b: its answer to cohort has other arrays than that of a"):
        sum_by_group(Operation.COHORT, GROUPS, {"a": answer(1, 2), "b": other})
