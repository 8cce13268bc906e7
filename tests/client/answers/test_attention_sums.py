"""What a site adds to means of attention maps does not tell, by another network's, what it alone adds."""

from __future__ import annotations

import numpy as np
import pytest
from sites.mapped import make_mapped_site, open_mapped
from sites.plans import NETWORK, plan_of

from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader

ATTENTION, LESION = 0, 1
FIRST, SECOND = 0, 1


@pytest.fixture
def plan():
    return plan_of(
        dict.fromkeys("abcd", "train"),
        NETWORK,
        NETWORK | {"name": "second"},
        profile="standard",
        explanation={"mean_maps": True},
        arms={"local_models": False},
    )


def sum_over(plan, folder, *, explained):
    (site,) = open_mapped(plan, {"d": make_mapped_site(1)}, folder).values()
    if not explained:
        (kept,) = folder.rglob("second/federated.npz")
        kept.unlink()
    header = RequestHeader(operation=Operation.ATTENTION, plan_hash=plan.digest(), site="")
    asked = np.ones((4, 2, 2), dtype=np.bool_)
    asked[:, :, SECOND] = explained
    return [site.answer(header, {"asked": asked}).counts[f"positive/{row}/map"] for row in (FIRST, SECOND)]


def test_every_network_explained_here_has_the_same_lesions(plan, tmp_path):
    first, second = sum_over(plan, tmp_path, explained=True)

    assert first[ATTENTION].any()
    assert first[LESION].any()
    np.testing.assert_array_equal(first[LESION], second[LESION])


def test_where_a_network_was_not_explained_no_lesions_are_added_to_another_s(plan, tmp_path):
    """The lesions of two networks' sums would differ by this site's: who chooses where to ask reads them."""
    first, second = sum_over(plan, tmp_path, explained=False)

    assert first[ATTENTION].any()
    assert not first[LESION].any()
    assert not second.any()
