"""Simulated second readings: other margins of the same lesion, and markers that are mostly the same."""

import numpy as np
import pytest
from rich.progress import Progress

from client.cohort.check import check_site
from common.cohort.repeated_readings import MARKERS, READINGS, column_of_reading
from common.cohort.table import read_table
from common.imaging.masks.mask import MaskLabels, read_mask
from common.imaging.reader import read_scan
from simulations.hospitals.centres import CentresRequest, make_centres
from simulations.hospitals.patients import CohortRequest, draw_cohort
from simulations.hospitals.second_readings import (
    HABITS,
    choose_patients_read_again,
    read_again,
    read_markers_again,
)
from simulations.phantom.anatomy import build_head
from simulations.phantom.scanners import scanner_of
from simulations.study_request import ImageFormat, Signal

LABELS = MaskLabels((1,), (2,))


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    out = tmp_path_factory.mktemp("centres")
    (folder,) = make_centres(
        out, CentresRequest((6,), 5, Signal.DEMO, ImageFormat.NIFTI), Progress(disable=True)
    )
    return folder


def overlap(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_half_of_the_patients_are_read_again_and_the_folder_is_in_order(centre):
    patients = read_table(centre / "cohort.csv").patients

    assert sum(set(one.repeated_masks) == {"intra", "inter"} for one in patients) == 3
    assert sum(not one.repeated_masks for one in patients) == len(patients) - 3
    checked = check_site(centre, Progress(disable=True), pixels=True)
    assert not [one for one in checked.findings if "second" in str(one)]


def test_masks_overlap_as_two_readers_do_and_no_reading_is_another(centre):
    for patient in read_table(centre / "cohort.csv").patients:
        if not patient.repeated_masks:
            continue
        scan = read_scan(patient.baseline_ct)
        first = read_mask(patient.baseline_mask, scan, LABELS).voxels
        again = {name: read_mask(path, scan, LABELS).voxels for name, path in patient.repeated_masks.items()}
        for found in again.values():
            assert 0.8 < overlap(first > 0, found > 0) < 0.995
            assert set(np.unique(found)) == set(np.unique(first))
        assert not np.array_equal(again["intra"], again["inter"])


def test_a_second_reader_differs_more_than_a_second_session():
    labels = np.zeros((5, 60, 60), dtype=np.uint8)
    labels[1:4, 20:40, 20:40] = 1
    geometry = build_head(scanner_of(2), 0, tilted=False, atrophy=0).geometry
    overlaps = {
        reading: np.mean(
            [
                overlap(labels > 0, read_again(labels, geometry, habit, np.random.default_rng(seed)) > 0)
                for seed in range(20)
            ]
        )
        for reading, habit in HABITS.items()
    }

    assert overlaps["inter"] < overlaps["intra"] < 1


def test_readings_of_markers_agree_as_readers_do():
    patients = draw_cohort(CohortRequest(1, 600, 7, Signal.PAPER))
    shares = {name: np.mean([one.shows(name) for one in patients]) for name in MARKERS}
    rows = [read_markers_again(one, shares, seed) for seed, one in enumerate(patients)]

    for reading in READINGS:
        for name in MARKERS:
            first = np.array([one.shows(name) for one in patients], dtype=int)
            again = np.array([row[column_of_reading(name, reading)] for row in rows])
            agreed, chance = (first == again).mean(), first.mean() * again.mean()
            chance += (1 - first.mean()) * (1 - again.mean())
            kappa = (agreed - chance) / (1 - chance)
            assert {"intra": 0.85, "inter": 0.7}[reading] < kappa < 1
            assert abs(again.mean() - first.mean()) < 0.05


def test_only_patients_of_the_study_are_read_again():
    patients = draw_cohort(CohortRequest(1, 20, 7, Signal.PAPER))
    excluded = {one.identifier for one in patients if one.excluded}

    again = choose_patients_read_again(patients)

    assert len(again) == 10
    assert not again & excluded
