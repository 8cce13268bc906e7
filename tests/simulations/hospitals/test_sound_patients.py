"""Simulated patients are sound: the checks of scans and masks refuse nobody and ask nobody to look."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import Level
from common.imaging.grid import Grid
from common.imaging.hounsfield import require_hounsfield
from common.imaging.masks.lesion_checks import check_lesion, check_volumes
from common.imaging.masks.mask import Mask
from common.imaging.masks.mask_grid import measure_volumes
from common.imaging.preprocess import locate_crops
from common.imaging.recipe import Recipe
from common.imaging.scan import Scan
from simulations.hospitals.centres import lesion_of
from simulations.hospitals.patients import CohortRequest, draw_cohort
from simulations.phantom.anatomy import build_head
from simulations.phantom.images import scan_patient
from simulations.phantom.scanners import scanner_of
from simulations.study_request import Signal


@pytest.mark.parametrize("centre", [1, 2, 3])
def test_no_simulated_patient_is_refused_or_to_be_looked_at(centre):
    """Of 700 patients, 4 were to be looked at (specks of an IVH) and none refused."""
    scanner = scanner_of(centre)
    head = build_head(scanner, centre, tilted=scanner.tilted_share > 0, atrophy=centre - 1)
    cohort = [one for one in draw_cohort(CohortRequest(centre, 6, 3, Signal.DEMO)) if not one.excluded]
    for number, patient in enumerate(cohort[:3]):
        for image in scan_patient(head, lesion_of(patient), scanner, seed=number):
            scan = require_hounsfield(Scan(Path("ct"), image.hu, image.geometry))
            measured = measure_volumes(image.labels, image.geometry)
            check_volumes(Path("mask"), measured)
            notes = (*scan.notes, *check_lesion(Path("mask"), image.labels, scan))
            assert [note for note in notes if note.level is Level.LOOK] == []
            mask = Mask(Path("mask"), image.labels, measured)
            assert locate_crops(mask, Grid(image.geometry, (1.0, 1.0, 5.0)), Recipe()).rectangle.count[0] == 1
