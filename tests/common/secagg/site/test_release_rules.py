import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.secagg.codes import SecAggError
from common.secagg.site.history import Begun, Burned, Ended, History, Release, Waived
from common.secagg.site.release_rules import check_sets, choose_set, is_allowed, sites_of
from common.secagg.wire.messages import bitmap_of

ALL = bitmap_of((1, 2, 3, 4, 5, 6))


def test_first_set_and_the_same_again_are_allowed():
    check_sets([], ALL, frozenset(), 0)
    check_sets([ALL, ALL], ALL, frozenset(), 0)


@pytest.mark.parametrize(("missing", "colluders", "allowed"), [(1, 0, False), (2, 0, True), (2, 1, False)])
def test_second_set_differs_in_two_honest_sites(missing, colluders, allowed):
    fewer = bitmap_of(tuple(range(1, 7 - missing)))

    assert is_allowed([ALL], fewer, frozenset(), colluders) is allowed


def test_third_set_is_refused_and_the_first_comes_back():
    second, third = bitmap_of((1, 2, 3, 4)), bitmap_of((3, 4, 5, 6))

    with pytest.raises(SecAggError) as refused:
        check_sets([ALL, second], third, frozenset(), 0)
    check_sets([ALL, second], ALL, frozenset(), 0)

    assert refused.value.code == "E_SET_CHANGE"


def test_waived_site_comes_and_goes():
    check_sets([ALL], bitmap_of((1, 2, 3, 4, 5)), frozenset({6}), 0)
    check_sets([bitmap_of((1, 2, 3, 4, 5))], ALL, frozenset({6}), 0)
    with pytest.raises(SecAggError):
        check_sets([ALL], bitmap_of((1, 2, 3, 4)), frozenset({6}), 0)


@given(st.sets(st.integers(1, 7), min_size=2), st.data())
def test_sums_that_are_allowed_isolate_no_site(first, data):
    """No linear combination of the sums over at most two allowed sets is one site's vector."""
    second = data.draw(st.sets(st.integers(1, 7), min_size=2))
    members = [bitmap_of(frozenset(first)), bitmap_of(frozenset(second))]
    if not is_allowed(members[:1], members[1], frozenset(), 0):
        return
    rows = np.array([[one >> site & 1 for site in range(1, 8)] for one in members], float)
    for site in range(7):
        one = np.eye(7)[site]
        assert np.linalg.matrix_rank([*rows, one]) > np.linalg.matrix_rank(rows)


@given(st.sets(st.integers(1, 8), min_size=4), st.sets(st.integers(1, 8)), st.integers(0, 2))
def test_chosen_set_is_allowed_and_ready(earlier, ready, colluders):
    known, there = [bitmap_of(frozenset(earlier))], bitmap_of(frozenset(ready))
    every = [
        bitmap_of(sites) for size in range(4, 9) for sites in itertools.combinations(sorted(ready), size)
    ]
    allowed = [one for one in every if is_allowed(known, one, frozenset(), colluders)]
    if allowed:
        chosen = choose_set(known, there, frozenset(), (4, colluders))
        assert chosen in allowed
        assert chosen.bit_count() == max(one.bit_count() for one in allowed)
    else:
        with pytest.raises(SecAggError, match="fewer sites|no set is allowed"):
            choose_set(known, there, frozenset(), (4, colluders))


def test_site_that_comes_back_under_a_waiver_is_in_the_set():
    assert choose_set([bitmap_of((1, 2, 3))], bitmap_of((1, 2, 3, 4)), frozenset({4}), (3, 0)) == bitmap_of(
        (1, 2, 3, 4)
    )


def test_sites_of_is_the_inverse_of_bitmap():
    assert sites_of(bitmap_of((7, 1, 3))) == (1, 3, 7)


def entry(model):
    return model.model_dump(mode="json")


def test_history_is_what_the_ledger_says():
    history, digest = History(), "ab" * 32
    release = Release(
        phase="p",
        hdr=digest,
        step=0,
        vectors=("v",),
        definitions=("cd" * 32,),
        model="0" * 64,
        input="1" * 64,
        set=6,
    )
    waived = Waived(waiver="2" * 64, kind="snapshot", phase="any", absent=(), definition="cd" * 32)
    history.notice(entry(Begun(phase="p", round=4, hdr=digest)))
    history.notice(entry(release))
    history.notice(
        entry(Ended(phase="p", hdr=digest, status="opened", result="3" * 64, proved=True, weight=9))
    )
    history.notice(entry(Ended(phase="p", hdr="9" * 64, status="opened", result="4" * 64)))
    history.notice(entry(Burned()))

    assert history.find_begun("p").round == 4
    assert history.find_release(digest) == release
    assert history.list_sets("p") == (6,)
    assert history.list_sets("q") == ()
    assert history.count_releases("p") == 1
    assert history.list_results("p") == {history.find_result("p")} == {"3" * 64}
    assert history.list_results("q") == frozenset()
    assert (history.find_weight("p"), history.find_weight("q")) == (9, None)
    assert history.list_model_sets("v", "0" * 64) == {6}
    assert history.find_input_release("p", "v", "1" * 64) == release
    assert history.find_definition_release("cd" * 32) == release
    assert history.is_burned

    history.notice(entry(waived))
    history.notice(entry(waived.model_copy(update={"kind": "restored"})))

    assert history.find_definition_release("cd" * 32) is None
    assert history.has_waiver("2" * 64)
    assert not history.is_burned
