"""How many patients each part of each site will have, from its number of patients and of outcomes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.cohort.split import Fractions, Split, draw_split
from common.errors import PlanError
from common.plan.matrix import SPLITS, Part, TablePart
from common.plan.study import StudyPlan
from common.runtime.name_patterns import read_name
from common.types import Counts, Flags

_PATTERN = re.compile(r"(?P<positive>\d+)/(?P<patients>\d+)")
_MOST = 100_000
_HOW = "write SITE=WITH/ALL, e.g. center1=118/271: 118 of 271 included patients have the outcome"


@dataclass(frozen=True)
class ExpectedPatients:
    """The included patients of one site, without names.

    Attributes
    ----------
    site : str
        The site.
    counted : int array, shape (parts, 2)
        Its patients in each of `SPLITS`, without and with the outcome.
    """

    site: str
    counted: Counts

    def count(self, part: Part | TablePart) -> tuple[int, int]:
        """Patients of a part without and with the outcome."""
        negative, positive = self.counted[self._find_rows(part)].sum(axis=0).tolist()
        return int(negative), int(positive)

    def list_labels(self, part: Part | TablePart) -> Flags:
        """The outcomes of a part's patients, shape (n,), those without it first."""
        return np.repeat(np.array([False, True]), self.count(part))

    def name_members(self, part: Part | TablePart) -> frozenset[str]:
        """Invented names of a part's patients, the same in every part that they are in."""
        rows = self._find_rows(part)
        return frozenset(
            f"{row}/{outcome}/{number}"
            for row in rows
            for outcome in (0, 1)
            for number in range(int(self.counted[row, outcome]))
        )

    def _find_rows(self, part: Part | TablePart) -> list[int]:
        """Rows of the table that make up a part; "training" is everybody who is not tested."""
        if part == "whole":
            return list(range(len(SPLITS)))
        if part == "training":
            return [SPLITS.index("train"), SPLITS.index("validation")]
        return [SPLITS.index(part)]


def expect_patients(plan: StudyPlan, numbers: Sequence[str]) -> dict[str, ExpectedPatients]:
    """The parts of each site of the plan, by its name.

    Parameters
    ----------
    plan : StudyPlan
        It says how patients are divided.
    numbers : sequence of str
        ``SITE=WITH/ALL``, once for each site of the plan.

    Raises
    ------
    PlanError
        If one cannot be read, or a site is missing, unknown or named twice.
    """
    expected: dict[str, ExpectedPatients] = {}
    for written in numbers:
        site, _, text = written.partition("=")
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise PlanError(f"--patients {written!r} -> {_HOW}")
        site = find_planned_site(plan, "--patients", site, expected)
        positive, patients = int(match["positive"]), int(match["patients"])
        if not positive <= patients <= _MOST:
            raise PlanError(f"--patients {written!r}: {positive} of {patients} patients -> {_HOW}")
        expected[site] = divide_patients(plan, site, positive, patients)
    if missing := sorted(set(plan.site_names) - expected.keys()):
        raise PlanError(f"--patients is missing for {', '.join(missing)} -> {_HOW}")
    return dict(sorted(expected.items()))


def find_planned_site(plan: StudyPlan, option: str, written: str, known: Mapping[str, object]) -> str:
    """The name of a site as the plan derives it from what somebody wrote.

    Raises
    ------
    PlanError
        If the plan has no such site, or it was named before.
    """
    site = read_name(option, written, PlanError)
    if site not in plan.site_names:
        raise PlanError(f"{option} {written}: the plan has no such site; it has {', '.join(plan.site_names)}")
    if site in known:
        raise PlanError(f"{option} names {site} twice -> name each site once")
    return site


def divide_patients(plan: StudyPlan, site: str, positive: int, patients: int) -> ExpectedPatients:
    """The site's parts as the plan divides so many patients; an external site tests all of them."""
    names = [str(number) for number in range(patients)]
    positives = [number < positive for number in range(patients)]
    split = Split((), (), tuple(names))
    if site in plan.training_sites:
        fractions = Fractions(plan.cohort.training_fraction, plan.cohort.validation_fraction)
        split = draw_split(names, positives, fractions, plan.seed)
    rows = (split.train, split.validation, split.test)
    counted = [[sum(positives[int(name)] == outcome for name in row) for outcome in (0, 1)] for row in rows]
    return ExpectedPatients(site, np.array(counted, dtype=np.int64))
