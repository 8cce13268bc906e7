"""Patients who were read twice, made by hand, and the statistics of their readings by other programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sites.patients import a_case

from client.cohort.cases import CaseReadings, PreparedCase
from common.cohort.outcome import Volumes
from common.cohort.repeated_readings import MARKERS, READINGS, Reading, column_of_reading
from common.cohort.split import SplitPart
from common.radiomics.features import FEATURES

SCALE = 10.0 ** (np.arange(len(FEATURES)) % 19 - 9)
"""Of the features: from 1e-9 to 1e9, as PyRadiomics' are."""
NOISY = np.arange(len(FEATURES)) % 3 == 0
"""Features on which readings hardly agree."""


def cases_read_twice(
    site: str,
    patients: int,
    seed: int,
    *,
    read: int,
    part: SplitPart = "train",
    readings: tuple[Reading, ...] = READINGS,
) -> tuple[PreparedCase, ...]:
    """Patients, the first `read` of them with all repeated readings; the outcome is a feature's sign."""
    random = np.random.default_rng([seed, *site.encode()])
    return tuple(
        _case(f"{site}-{n:02d}", random, part, readings if n < read else ()) for n in range(patients)
    )


def _case(
    identifier: str, random: np.random.Generator, part: SplitPart, readings: tuple[Reading, ...]
) -> PreparedCase:
    truth, volume_ml = random.normal(size=len(FEATURES)), float(random.uniform(5, 60))
    seen = {name: float(random.random() < 0.4) for name in MARKERS}
    values: dict[str, float] = dict(seen)
    repeated: dict[Reading, Volumes] = {}
    features: dict[Reading, np.ndarray] = {}
    for reading in readings:
        for name in MARKERS:
            values[column_of_reading(name, reading)] = float(seen[name] != (random.random() < 0.15))
        repeated[reading] = Volumes(volume_ml * float(random.uniform(0.9, 1.2)), 0.0)
        noise = np.where(NOISY, 2.0, 0.1) * random.normal(size=len(FEATURES))
        features[reading] = (5 + truth + noise) * SCALE
    suggested = {name: bool(random.random() < 0.5) for name in MARKERS}
    case = a_case(identifier, grows=bool(truth[1] > 0), part=part, volumes_ml=(volume_ml, 0.0), **values)
    return replace(
        case,
        features=(5 + truth) * SCALE,
        readings=CaseReadings(Volumes(volume_ml, 0.0) if readings else None, repeated, features, suggested),
    )


def icc_2_1(ratings: np.ndarray) -> float:
    """Shrout and Fleiss' ICC(2,1) of ratings (n, readers), by the definition of its mean squares."""
    n, k = ratings.shape
    grand = ratings.mean()
    rows, columns = ratings.mean(axis=1), ratings.mean(axis=0)
    between = k * ((rows - grand) ** 2).sum() / (n - 1)
    raters = n * ((columns - grand) ** 2).sum() / (k - 1)
    rest = ratings - rows[:, None] - columns[None] + grand
    error = (rest**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error + k * (raters - error) / n))


def icc_1_1(ratings: np.ndarray) -> float:
    """Shrout and Fleiss' ICC(1,1) of ratings (n, readers)."""
    n, k = ratings.shape
    rows = ratings.mean(axis=1)
    between = k * ((rows - ratings.mean()) ** 2).sum() / (n - 1)
    within = ((ratings - rows[:, None]) ** 2).sum() / (n * (k - 1))
    return float((between - within) / (between + (k - 1) * within))
