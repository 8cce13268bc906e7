"""Simulated patients: first the outcome, then the variables given outcome and centre, then the growth.

Odd centres follow the paper's center 1 (its training and internal-testing cohorts), even ones its center 2.
Variables are independent within a group, as the paper prints no more, except where logic links them (a black
hole is a hypodensity, warfarin is an anticoagulant). Two approximations: a volume is limited to what the
location can hold, and IVH volumes are log-normal with the printed third quartile.

Every patient has a latent *roughness*, a standard normal shifted by the outcome: a rough lesion is drawn with
a lobulated margin and hypodense foci, a smooth lesion is homogeneous. With `paper` the shift is 0, so that
centres share only the printed differences; with `demo` all centres share a shift of 2.4 standard deviations,
with which an ideal reader of the images reaches an AUC of 0.955. Within each outcome, rougher lesions are
likelier to show markers of irregularity and heterogeneity; the frequencies stay as printed.

References
----------
Ning et al. (2025), Scientific Reports, Methods and Table 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from common.cohort.eligibility import CRITERIA
from common.cohort.outcome import OutcomeDefinition, Volumes
from common.cohort.repeated_readings import MARKERS
from common.seeds import generator
from simulations.hospitals.published import GroupDistributions, PaperCohort, read_groups
from simulations.study_request import Signal

TableValue = float | int | str
"""What a cell of a cohort table holds."""

SHIFT: Mapping[Signal, float] = {Signal.PAPER: 0.0, Signal.DEMO: 2.4}
"""Difference in mean roughness between growing and stable hematomas, in standard deviations."""

_ROUGH = {
    "irregular_shape": 0.9,
    "heterogeneous_density": 0.9,
    "hypodensity": 0.7,
    "swirl_sign": 0.7,
    "island_sign": 0.7,
    "blend_sign": 0.6,
    "satellite_sign": 0.4,
}
"""Correlation of each marker's propensity with roughness among patients of one outcome."""

_HISTORY = ("alcohol", "smoking", "diabetes", "hypertension", "antithrombotic", "anticoagulation")
_LARGEST_ML: Mapping[str, float] = {"lobar": 90.0, "deep": 75.0, "infratentorial": 30.0}
_SMALLEST_ML = 2.0
_SMALLEST_IVH_ML, _LARGEST_IVH_ML = 0.4, 14.0
_FEWEST_OF_A_CLASS = 3
_EXCLUDED_SHARE = 0.14
_WARFARIN_SHARE = 0.6
_RECURRENT_SHARE = 0.06


@dataclass(frozen=True)
class SimulatedPatient:
    """One row of a simulated cohort and what its images must show.

    Attributes
    ----------
    identifier : str
        E.g. "center1-0007".
    positive : bool
        Whether the hematoma reaches rHE.
    values : mapping of str to number or str
        The table's variables by name.
    baseline, followup : Volumes
        Volumes in ml that the images must show.
    roughness : float
        The latent variable that shows in texture and margin, in standard deviations.
    """

    identifier: str
    positive: bool
    values: Mapping[str, TableValue]
    baseline: Volumes
    followup: Volumes
    roughness: float

    def shows(self, sign: str) -> bool:
        """Whether a binary variable is present."""
        return self.values[sign] == 1

    @property
    def excluded(self) -> bool:
        """Whether one of the paper's criteria excludes the patient."""
        return any(criterion.excludes(float(self.values[criterion.variable])) for criterion in CRITERIA)


@dataclass(frozen=True)
class CohortRequest:
    """Which cohort to draw.

    Attributes
    ----------
    centre : int
        Counted from 1.
    patients : int
        Number of included patients; excluded ones come on top.
    seed : int
        The same seed gives the same cohort.
    signal : Signal
        What the patients carry that predicts growth.
    """

    centre: int
    patients: int
    seed: int
    signal: Signal


def draw_cohort(request: CohortRequest) -> tuple[SimulatedPatient, ...]:
    """A centre's patients in the order of admission, the excluded ones among them."""
    random = generator(request.seed, f"center{request.centre}", "cohort")
    positives = _count_positives(request)
    outcomes = [True] * positives + [False] * (request.patients - positives)
    roughness = np.concatenate(
        [
            _draw_even_normals(positives, random) + SHIFT[request.signal] / 2,
            _draw_even_normals(request.patients - positives, random) - SHIFT[request.signal] / 2,
        ]
    )
    included = [
        _Draft(request, outcome, float(rough)) for outcome, rough in zip(outcomes, roughness, strict=True)
    ]
    excluded = count_excluded(request.patients)
    left_out = [
        _Draft(request, bool(random.random() < 0.3), 0.0, CRITERIA[index % len(CRITERIA)].name)
        for index in range(excluded)
    ]
    drafts = [*included, *left_out]
    order = random.permutation(len(drafts))
    return tuple(drafts[index].draw(number) for number, index in enumerate(order, start=1))


def count_excluded(included: int) -> int:
    """How many patients whom a criterion excludes come on top of so many included ones."""
    return max(3, round(_EXCLUDED_SHARE * included))


def _count_positives(request: CohortRequest) -> int:
    """The number of patients with rHE: by prevalence, but three of each outcome where there are six patients.

    A split has three parts, and each needs both outcomes.
    """
    fewest = min(_FEWEST_OF_A_CLASS, request.patients // 2)
    expected = round(request.patients * prevalence(request.centre))
    return min(max(expected, fewest), request.patients - fewest)


def prevalence(centre: int) -> float:
    """Share of patients with rHE at a centre: 169 of 556 at odd ones, 80 of 219 at even ones."""
    groups = read_groups()
    cohorts = _cohorts_of(centre)
    positive = sum(groups[cohort, True].patients for cohort in cohorts)
    return positive / (positive + sum(groups[cohort, False].patients for cohort in cohorts))


def _cohorts_of(centre: int) -> tuple[PaperCohort, ...]:
    return ("training", "internal") if centre % 2 else ("external",)


def _draw_even_normals(
    count: int, random: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Standard normals that cover the quantiles evenly, so that a small cohort has as much signal as a large.

    Returns
    -------
    float array, shape (count,)
    """
    quantiles = (random.permutation(count) + random.uniform(0.25, 0.75, count)) / max(count, 1)
    deviates: np.ndarray[tuple[int], np.dtype[np.float64]] = ndtri(quantiles)
    return deviates


@dataclass(frozen=True)
class _Draft:
    """A patient before the variables are drawn.

    Attributes
    ----------
    request : CohortRequest
    positive : bool
        Whether the hematoma reaches rHE.
    roughness : float
    fails : str
        The criterion that excludes the patient; empty for an included one.
    """

    request: CohortRequest
    positive: bool
    roughness: float
    fails: str = ""

    def draw(self, number: int) -> SimulatedPatient:
        """The patient with this number, counted from 1 in the order of admission."""
        identifier = f"center{self.request.centre}-{number:04d}"
        random = generator(self.request.seed, f"center{self.request.centre}", "variables", number)
        cohorts = _cohorts_of(self.request.centre)
        weights = np.array([read_groups()[cohort, self.positive].patients for cohort in cohorts])
        group = read_groups()[
            cohorts[int(random.choice(len(cohorts), p=weights / weights.sum()))], self.positive
        ]
        shift = SHIFT[self.request.signal] / 2
        residual = self.roughness - (shift if self.positive else -shift)
        values = {**_draw_clinical(group, random), **_draw_radiologic(group, residual, random)}
        baseline = _draw_baseline(group, values, random)
        followup = (_grow if self.positive else _keep_stable)(baseline, random)
        drawn = SimulatedPatient(identifier, self.positive, values, baseline, followup, self.roughness)
        return _exclude(drawn, self.fails, random) if self.fails else drawn


def _draw_clinical(group: GroupDistributions, random: np.random.Generator) -> dict[str, TableValue]:
    continuous = group.continuous
    systolic = round(continuous["sbp_mmhg"].draw(random, 90, 250))
    diastolic = round(continuous["dbp_mmhg"].draw(random, 45, 150))
    history = {name: int(random.random() < group.share(name)) for name in _HISTORY}
    warfarin = int(history["anticoagulation"] and random.random() < _WARFARIN_SHARE)
    ratio = random.uniform(1.8, 3.2) if warfarin else continuous["inr"].draw(random, 0.8, 1.6)
    return {
        "sex": "male" if random.random() < group.share("sex", "male") else "female",
        "age": round(continuous["age"].draw(random, 19, 98)),
        **history,
        "onset_to_ct_h": round(continuous["onset_to_ct_h"].draw(random, 0.5, 24), 1),
        "sbp_mmhg": systolic,
        "dbp_mmhg": min(diastolic, systolic - 15),
        "inr": round(ratio, 2),
        "recurrent_ich": int(random.random() < _RECURRENT_SHARE),
        "warfarin": warfarin,
        "ct_to_followup_h": round(random.uniform(5, 48), 1),
        "primary_ivh": 0,
        "prior_surgery": 0,
        "artefacts": 0,
    }


def _draw_radiologic(
    group: GroupDistributions, residual: float, random: np.random.Generator
) -> dict[str, TableValue]:
    """Location and signs; `residual` is the roughness relative to the mean of the outcome."""
    levels = ("lobar", "deep", "infratentorial")
    shares = np.array([group.share("location", level) for level in levels])
    signs = {name: int(random.random() < group.share(name)) for name in ("ivh", "sah")}
    for name in MARKERS:
        tie = _ROUGH.get(name, 0.0)
        propensity = tie * residual + math.sqrt(1 - tie**2) * random.standard_normal()
        signs[name] = int(ndtr(propensity) > 1 - group.share(name))
    # A black hole is a hypodensity, so it is drawn among the patients with one
    within = group.share("black_hole_sign") / group.share("hypodensity")
    signs["black_hole_sign"] = int(signs["hypodensity"] and random.random() < within)
    return {"location": str(random.choice(levels, p=shares / shares.sum())), **signs}


def _draw_baseline(
    group: GroupDistributions, values: Mapping[str, TableValue], random: np.random.Generator
) -> Volumes:
    largest_ml = _LARGEST_ML[str(values["location"])]
    ich_ml = group.continuous["ich_volume_ml"].draw(random, 0, 400)
    ivh_ml = group.continuous["ivh_volume_ml"].draw(random, 0, 400) if values["ivh"] else 0.0
    return Volumes(
        float(np.clip(ich_ml, _SMALLEST_ML, largest_ml)),
        float(np.clip(ivh_ml, _SMALLEST_IVH_ML, _LARGEST_IVH_ML)) if ivh_ml else 0.0,
    )


def _compute_bound_ml(baseline: Volumes) -> float:
    """Growth of the ICH in ml above which it counts as rHE."""
    definition = OutcomeDefinition()
    return min(definition.ich_absolute_ml, definition.ich_relative * baseline.ich_ml)


def _grow(baseline: Volumes, random: np.random.Generator) -> Volumes:
    """Volumes at follow-up clearly above a bound: the ICH's in seven of ten patients, else the IVH's."""
    beyond_ml = _compute_bound_ml(baseline) * (1.25 + min(random.exponential(0.7), 2.0))
    if random.random() < 0.7:
        return replace(baseline, ich_ml=baseline.ich_ml + beyond_ml)
    within_ml = _compute_bound_ml(baseline) * random.uniform(0.0, 0.6)
    return Volumes(baseline.ich_ml + within_ml, baseline.ivh_ml + random.uniform(1.5, 6.0))


def _keep_stable(baseline: Volumes, random: np.random.Generator) -> Volumes:
    """Volumes at follow-up clearly below every bound, sometimes a little smaller than at baseline."""
    change_ml = _compute_bound_ml(baseline) * random.uniform(-0.2, 0.7)
    growth_ml = random.uniform(-0.15, 0.6) if baseline.ivh_ml else 0.0
    return Volumes(baseline.ich_ml + change_ml, baseline.ivh_ml + growth_ml)


def _exclude(drawn: SimulatedPatient, criterion: str, random: np.random.Generator) -> SimulatedPatient:
    """The patient, changed so that this criterion, and no other, excludes them."""
    changes: dict[str, dict[str, TableValue]] = {
        "age": {"age": int(random.integers(8, 18))},
        "onset": {"onset_to_ct_h": round(random.uniform(24.5, 90), 1)},
        "followup": {"ct_to_followup_h": round(random.uniform(72.5, 240), 1)},
        "primary_ivh": {"primary_ivh": 1, "ivh": 1, **dict.fromkeys(MARKERS, 0)},
        "prior_surgery": {"prior_surgery": 1},
        "artefacts": {"artefacts": 1},
    }
    change = changes[criterion]
    if criterion == "primary_ivh":
        bled = Volumes(0.0, max(drawn.baseline.ivh_ml, 5.0))
        return replace(drawn, values={**drawn.values, **change}, baseline=bled, followup=bled)
    return replace(drawn, values={**drawn.values, **change})
