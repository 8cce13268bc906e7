"""The reading test: whole standard studies, put into a solver that knows the program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from client.answers.patient_arrays import make_design_matrix
from common.messages.catalogue import Operation
from common.plan.design import design_of
from server.phases.cohort import describe_cohorts
from tests.reading.findings import COORDINATOR, find_out, find_rows
from tests.reading.hidden_cells import bound_hidden_cells
from tests.reading.received import PatientParts, find_others
from tests.reading.small_sets import find_singled_out, find_small_differences
from tests.reading.studies import Habit, fit_all, judge_all, open_study, plan_read
from tests.reading.whose_totals import find_known_parts, find_known_sites

SMALL = Habit(patients=60)
TRAITS = Habit(patients=72, both=(1,))
DESCRIBED = frozenset({Operation.COHORT})


def read_fits(sites, habit, folder, **left_out):
    """The study's Table 1 and regressions, and every number of them."""
    line = open_study(sites, habit, folder)
    fit_all(line)
    parts = PatientParts(line)
    return line, parts.homes, list(parts.read(**left_out))


@pytest.fixture(scope="module")
def of_three(tmp_path_factory):
    _, homes, arrays = read_fits(3, SMALL, tmp_path_factory.mktemp("three"), without=DESCRIBED)
    return homes, [array for array in arrays if array.operation is Operation.SETUP]


@pytest.mark.parametrize(("sites", "patients"), [(2, 48), (3, 36)])
def test_fits_single_nobody_out_where_no_value_is_missing(sites, patients, tmp_path):
    line, homes, arrays = read_fits(sites, Habit(patients), tmp_path)

    for reader in (COORDINATOR, *line.sites):
        found = find_out(line, homes, arrays, reader)
        assert found.numbers
        assert (found.values_of_few, found.values_apart, found.rows, found.singled_out) == (0, 0, (), ())
    assert {array.operation for array in arrays} >= {Operation.COHORT, Operation.SETUP, Operation.NEWTON}


def test_the_solver_finds_a_patient_whom_a_second_cohort_lacks(of_three):
    """Were the same regression answered without one patient, that patient's values would be its reading."""
    homes, setup = of_three
    without = [replace(array, parts=array.parts * (np.arange(len(homes)) != 7)) for array in setup]
    others = find_others(homes, (COORDINATOR,))

    assert not list(find_small_differences(setup, others))
    found = list(find_small_differences([*setup, *without], others))
    assert {each.patients for each in found} == {(7,)}
    assert find_singled_out((), found) == (7,)


@pytest.mark.parametrize(("lacking", "is_found"), [(4, True), (5, False)])
def test_the_solver_finds_four_whom_a_second_cohort_lacks(of_three, lacking, is_found):
    homes, setup = of_three
    left_out = [number for number in range(12) if number % 3 != 2][:lacking]
    kept = ~np.isin(np.arange(len(homes)), left_out)
    without = [replace(array, parts=array.parts * kept) for array in setup]

    found = find_small_differences([*setup, *without], find_others(homes, ("b",)))

    assert (tuple(left_out) in {each.patients for each in found}) is is_found


def test_a_patient_who_alone_has_two_traits_cannot_be_solved_for(tmp_path):
    """Every round told this patient's weight; now a model of both traits is not fitted at all."""
    line = open_study(3, TRAITS, tmp_path)
    fit_all(line)

    assert [find_rows(line, reader) for reader in (COORDINATOR, *line.sites)] == [()] * 4


def test_of_five_who_have_two_traits_the_hospital_of_four_solves_for_the_fifth(tmp_path):
    """What remains, and proves that the solver solves."""
    line = open_study(3, replace(TRAITS, both=(1, 4)), tmp_path)
    fit_all(line)

    assert find_rows(line) == find_rows(line, "c") == ()
    (row,) = find_rows(line, "b")
    truth = make_design_matrix(line.sites["a"].cases[:1], design_of(line.plan))[0, list(row.columns)]
    np.testing.assert_allclose(row.values, truth, atol=1e-6)


def test_one_missing_value_tells_the_patient_s_others(tmp_path):
    """What remains: models over patients with, and without it, differ in this patient."""
    line, homes, arrays = read_fits(3, replace(SMALL, unknown=1), tmp_path, without=DESCRIBED)

    singled_out = {
        reader: find_out(line, homes, arrays, reader).singled_out for reader in (COORDINATOR, *line.sites)
    }
    assert singled_out == {COORDINATOR: (0,), "a": (), "b": (0,), "c": (0,)}


@pytest.mark.parametrize(("sites", "of_a"), [(2, ("b",)), (3, ()), (5, ())])
def test_whose_totals_follow(sites, of_a):
    """Of two hospitals each knows the other's; the coordinator has judgements of each, as they are shown."""
    plan = plan_read(sites)

    assert find_known_sites(plan, "a", Operation.NEWTON) == of_a
    assert find_known_sites(plan, "a", Operation.EVALUATE) == of_a
    assert find_known_sites(plan, COORDINATOR, Operation.NEWTON) == ()
    assert find_known_sites(plan, COORDINATOR, Operation.EVALUATE) == plan.site_names
    assert {site for site, _ in find_known_parts(plan, "a")} == set(of_a)


@pytest.mark.parametrize("sites", [2, 3])
def test_no_hidden_cell_of_table_one_follows_from_the_shown_ones(sites, tmp_path):
    """What is known to be 0 is nobody's."""
    line = open_study(sites, Habit(36), tmp_path)

    cells = bound_hidden_cells(line, describe_cohorts(line), ["sah", "anticoagulation"])

    assert len(cells) > 10
    assert {cell.least for cell in cells if cell.least == cell.greatest} <= {0}


def test_the_integer_programs_find_a_cell_whose_complement_is_shown(tmp_path, monkeypatch):
    """Were only the small cells themselves hidden, they would follow."""
    monkeypatch.setattr(
        "common.stats.contingency.hide_cells", lambda table, minima: ~minima.may_release(table)
    )
    line = open_study(2, Habit(36), tmp_path)

    cells = bound_hidden_cells(line, describe_cohorts(line), ["sah", "anticoagulation"])

    assert any(0 < cell.least == cell.greatest < 5 for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("sites", [2, 3, 5])
def test_a_whole_study_singles_nobody_out(sites, tmp_path):
    line = open_study(sites, Habit(48), tmp_path)
    fit_all(line)
    judge_all(line)
    parts = PatientParts(line)
    arrays = list(parts.read())

    for reader in (COORDINATOR, *line.sites):
        found = find_out(line, parts.homes, arrays, reader)
        assert (found.singled_out, found.rows) == ((), ())
        assert found.counts_of_few
