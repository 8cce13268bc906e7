"""The registry of released cohorts: no two differ in one to nine patients."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites.patients import a_case

from client.release.registry import ReleaseRegistry, digest_row
from common.cohort.outcome import Volumes
from common.errors import PolicyError, SmallNumberError, StorageError
from common.stats.minima import SIMULATION, STANDARD

FORTY = tuple(f"{number:02d}" for number in range(40))
NEW = tuple(f"new-{number:02d}" for number in range(40))


def is_too_close(registry, definition, rows):
    (close,) = registry.find_too_close([(definition, rows)])
    return close


@pytest.fixture
def registry(tmp_path):
    registry = ReleaseRegistry(tmp_path / "state" / "released.json", 200, STANDARD)
    registry.remember("rHE, whole", FORTY)
    return registry


@pytest.mark.parametrize("difference", range(12))
@pytest.mark.parametrize("definition", ["rHE, whole", "cHE, test"])
def test_up_to_nine_patients_more_less_or_exchanged_are_too_close(registry, difference, definition):
    more = (*FORTY, *NEW[:difference])
    fewer = FORTY[difference:]
    exchanged = (*FORTY[difference:], *NEW[:difference])

    for cohort in (more, fewer, exchanged):
        assert is_too_close(registry, definition, cohort) is (1 <= difference <= 9)


def test_ten_more_do_not_excuse_one_fewer(registry):
    assert is_too_close(registry, "rHE, whole", (*FORTY[1:], *NEW[:10]))
    assert is_too_close(registry, "rHE, whole", (*FORTY[10:], NEW[0]))


def test_the_same_patients_pass_again_in_any_order_and_take_no_room(tmp_path):
    registry = ReleaseRegistry(tmp_path / "released.json", 1, STANDARD)
    registry.remember("rHE, whole", FORTY)
    registry.remember("rHE, whole", FORTY[::-1])

    assert not is_too_close(registry, "rHE, whole", FORTY[::-1])


def test_a_new_state_of_the_data_needs_ten_changed_patients(registry):
    changed = {n: (*FORTY[n:], *(f"{row} changed" for row in FORTY[:n])) for n in (9, 10)}

    assert is_too_close(registry, "rHE, whole", changed[9])
    assert not is_too_close(registry, "rHE, whole", changed[10])


def test_every_earlier_cohort_counts(registry):
    registry.remember("rHE, test", FORTY[:20])

    assert is_too_close(registry, "rHE, train", FORTY[:21])
    assert not is_too_close(registry, "rHE, train", FORTY[20:])


def test_one_minimum_of_a_simulation_lets_one_patient_pass(tmp_path):
    registry = ReleaseRegistry(tmp_path / "released.json", 200, SIMULATION)
    registry.remember("rHE, whole", FORTY)

    assert not is_too_close(registry, "rHE, whole", FORTY[1:])


def test_nobody_is_never_too_close_and_is_not_remembered(tmp_path):
    registry = ReleaseRegistry(tmp_path / "released.json", 1, STANDARD)
    registry.remember("rHE, test", ())

    assert not is_too_close(registry, "rHE, test", ())
    assert not registry.path.exists()


def test_no_more_cohorts_than_the_plan_allows(tmp_path):
    registry = ReleaseRegistry(tmp_path / "released.json", 2, STANDARD)
    registry.remember("a", FORTY[:10])
    assert not is_too_close(registry, "b", FORTY[10:20])
    registry.remember("b", FORTY[10:20])

    assert not is_too_close(registry, "a", FORTY[:10])
    with pytest.raises(PolicyError, match="of 2 cohorts were released, cohort.maximum_releases is 2"):
        is_too_close(registry, "c", FORTY[20:30])


def test_another_process_and_another_plan_s_maximum_find_what_was_released(registry):
    later = ReleaseRegistry(registry.path, 5, STANDARD)

    assert is_too_close(later, "rHE, whole", FORTY[1:])
    assert not is_too_close(later, "rHE, whole", FORTY)
    assert registry.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": 2, "released": []}',
        b'{"version": 1, "released": [{"definition": "x"}]}',
        b'{"version": 1, "released": [], "more": 1}',
    ],
)
def test_a_damaged_registry_releases_nothing_and_is_not_overwritten(registry, content):
    registry.path.write_bytes(content)

    for use in (partial(is_too_close, registry), registry.remember):
        with pytest.raises(StorageError, match="released.json: the registry of released cohorts is damaged"):
            use("rHE, whole", FORTY)
    assert registry.path.read_bytes() == content


def test_a_registry_that_was_cut_off_releases_nothing(registry):
    registry.path.write_bytes(registry.path.read_bytes()[:-20])

    with pytest.raises(StorageError, match="damaged"):
        is_too_close(registry, "rHE, whole", FORTY)


@given(st.sets(st.sampled_from(FORTY)), st.sets(st.sampled_from(FORTY)))
def test_whatever_is_let_pass_differs_by_none_or_ten_both_ways(tmp_path_factory, earlier, later):
    registry = ReleaseRegistry(tmp_path_factory.mktemp("registry") / "released.json", 9, STANDARD)
    registry.remember("a", sorted(earlier))

    passed = not is_too_close(registry, "b", sorted(later))

    apart = {len(earlier - later), len(later - earlier)}
    assert passed is (not later or not earlier or all(n == 0 or n >= 10 for n in apart))


# Digests

CASE = a_case("P1", grows=False, volumes_ml=(12.0, 3.0), age=60.0, sex="male", ivh=1.0)


def with_values(**values):
    return replace(CASE, patient=replace(CASE.patient, values={**CASE.patient.values, **values}))


@pytest.mark.parametrize(
    "changed",
    [
        replace(CASE, patient=replace(CASE.patient, identifier="P2")),
        with_values(age=60.000001),
        with_values(sex="female"),
        with_values(inr=1.0),
        replace(CASE, positive=True),
        replace(CASE, baseline=Volumes(12.0, 3.01)),
        replace(CASE, followup=Volumes(12.01, 3.0)),
        a_case("P1", volumes_ml=(12.0, 3.0), age=60.0, sex="male"),
    ],
)
def test_another_value_is_another_row(changed):
    assert digest_row(changed) != digest_row(CASE)


def test_what_statistics_do_not_see_leaves_the_row():
    same = a_case("P1", part="test", volumes_ml=(12.0, 3.0), ivh=1.0, sex="male", age=60.0)

    assert digest_row(replace(same, patient=replace(same.patient, row=77))) == digest_row(CASE)
    assert "P1" not in digest_row(CASE)


def test_a_cohort_too_close_is_not_released_whatever_was_made_of_the_guard_round(registry):
    with pytest.raises(SmallNumberError, match="too few patients more or less"):
        registry.remember("rHE, test", FORTY[1:])

    assert not is_too_close(registry, "rHE, whole", FORTY)


def test_parts_of_one_stage_are_held_against_each_other(tmp_path):
    """The whole less its first part would be nine patients; what is forbidden forbids nothing after it."""
    registry = ReleaseRegistry(tmp_path / "released.json", 10, STANDARD)

    close = registry.find_too_close([("a", FORTY[:31]), ("whole", FORTY), ("b", FORTY[:20])])

    assert close == (False, True, False)
