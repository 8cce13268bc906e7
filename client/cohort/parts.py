"""Which part of the cohort each patient is in: as the table's column `split` says, else drawn by the plan."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from client.cohort.cases import PreparedCase
from common.cohort.patient import Patient
from common.cohort.split import FEWEST_TRAINING, Fractions, Split, SplitPart, adopt_split, draw_split
from common.errors import Finding, Level
from common.plan.matrix import Part, TablePart
from common.plan.study import StudyPlan
from common.seeds import derive_seed

_log = logging.getLogger(__name__)

COLUMN = "split"


def assign_parts(
    plan: StudyPlan,
    site: str,
    patients: Sequence[Patient],
    positives: Sequence[bool],
    own_seed: int | None = None,
) -> dict[str, SplitPart]:
    """The part of each patient by identifier; at an external site everybody is tested.

    The parts depend on the table's column or, without it, on identifiers and outcomes alone.

    Parameters
    ----------
    plan : StudyPlan
        Says who trains, and how a cohort is divided.
    site : str
        The site's name.
    patients : sequence of Patient
        Those who are studied.
    positives : sequence of bool
        Whether the plan's endpoint was reached, in the same order.
    own_seed : int, optional
        With which the site draws; by default the plan's seed, with which anybody can draw the same.
    """
    identifiers = [patient.identifier for patient in patients]
    if plan.site(site).role == "external":
        return dict.fromkeys(identifiers, "test")
    seed = plan.seed if own_seed is None else own_seed
    split = _split_patients(plan, site, patients, positives, seed)
    return {identifier: split.part_of(identifier) for identifier in identifiers}


def _split_patients(
    plan: StudyPlan, site: str, patients: Sequence[Patient], positives: Sequence[bool], seed: int
) -> Split:
    identifiers = [patient.identifier for patient in patients]
    parts = _read_parts(patients)
    if parts and len(parts) == len(patients):
        _log.info("split site=%s by=table patients=%d", site, len(parts))
        return adopt_split(identifiers, positives, parts)
    _log.info("split site=%s by=plan patients=%d", site, len(patients))
    fractions = Fractions(plan.cohort.training_fraction, plan.cohort.validation_fraction)
    return draw_split(identifiers, positives, fractions, derive_seed(seed, site, "split"))


def _read_parts(patients: Sequence[Patient]) -> list[SplitPart]:
    levels = (patient.level(COLUMN) for patient in patients)
    return [cast("SplitPart", level) for level in levels if level is not None]


def find_split_problems(
    plan: StudyPlan, site: str, table: str, patients: Sequence[Patient]
) -> Iterator[Finding]:
    """Fatal findings on a column `split` with which a training site cannot be divided.

    Parameters
    ----------
    plan : StudyPlan
    site, table : str
        The site's name and its table's file.
    patients : sequence of Patient
        Those who can be used.
    """
    parts = _read_parts(patients)
    if plan.site(site).role == "external" or not parts:
        return
    blank = [patient.row for patient in patients if patient.level(COLUMN) is None]
    if blank:
        more = f" and in {len(blank) - 1} more rows" if len(blank) > 1 else ""
        yield Finding(
            f"{table}, row {blank[0]}, column {COLUMN!r}",
            f"blank here{more}, but filled for {len(parts)} patients",
            "write the part of every patient, or of none: then the plan divides them",
        )
    validating = [patient.row for patient in patients if patient.level(COLUMN) == "validation"]
    if validating and not plan.cohort.validation_fraction:
        yield Finding(
            f"{table}, row {validating[0]}, column {COLUMN!r}",
            f"{len(validating)} patients are in the part validation, which the plan does not have "
            "(validation_fraction = 0)",
            "write train or test",
        )


def note_split(plan: StudyPlan, site: str, table: str, patients: Sequence[Patient]) -> Iterator[Finding]:
    """What the site should know about its column `split`; nothing if the column is blank.

    Parameters are those of `find_split_problems`.
    """
    counts = Counter(_read_parts(patients))
    where = f"{table}, column {COLUMN!r}"
    if not counts:
        return
    if plan.site(site).role == "external":
        what = "is not used: at an external site every patient is tested"
        yield Finding(where, what, level=Level.KNOW)
        return
    shown = ", ".join(f"{counts[part]} {part}" for part in ("train", "validation", "test"))
    what = f"divides the patients ({shown}); the plan's random split is not used"
    yield Finding(where, what, level=Level.KNOW)
    if plan.cohort.validation_fraction and not counts["validation"]:
        what = (
            "has no validation patients: this site does not help to choose the round (if none does: the last)"
        )
        yield Finding(where, what, level=Level.KNOW)


def note_short_parts(
    plan: StudyPlan, site: str, table: str, parts: Mapping[str, SplitPart], outcomes: Mapping[str, bool]
) -> Iterator[Finding]:
    """What a training site should know of a part that lacks an outcome, or is too small to train networks.

    Parameters
    ----------
    plan : StudyPlan
        Says who trains, and whether patients choose the round.
    site, table : str
        The site's name and its table's file.
    parts : mapping of str to SplitPart
        The part of each patient, by identifier.
    outcomes : mapping of str to bool
        Whether the plan's endpoint was reached, by identifier.
    """
    if plan.site(site).role == "external":
        return
    trainers = [part for part in parts.values() if part == "train"]
    if plan.networks and parts and len(trainers) < FEWEST_TRAINING:
        what = f"fewer than {FEWEST_TRAINING} patients are in the part train"
        yield Finding(table, what, "networks are trained without this site", Level.KNOW)
    wanted: list[SplitPart] = ["train", "test"]
    if "validation" in parts.values():
        wanted.append("validation")
    for part in wanted:
        found = {outcomes[identifier] for identifier, other in parts.items() if other == part}
        for outcome in sorted(set(outcomes.values()) - found, reverse=True):
            event = plan.cohort.outcome.noun
            what = f"the part {part} has no patient {'with' if outcome else 'without'} {event}"
            remedy = "this site's part is left out of what needs both outcomes, and counts in sums over sites"
            yield Finding(table, what, remedy, Level.KNOW)


def cases_of(cases: Sequence[PreparedCase], part: Part | TablePart) -> tuple[PreparedCase, ...]:
    """The patients of a part of the cohort; "training" means every patient outside the test set."""
    return tuple(case for case in cases if is_in(case, part))


def is_in(case: PreparedCase, part: Part | TablePart) -> bool:
    """Whether the patient is in a part of the cohort; "training" means every patient outside the test set."""
    if part == "training":
        return case.part != "test"
    return part in {"whole", case.part}
