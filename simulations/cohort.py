"""Simulated patients: first the outcome, then the variables given outcome and centre, then the growth.

Odd centres follow the paper's center 1 (its training and internal-testing cohorts), even ones its center 2.
Variables are independent within a group, as the paper prints no more, but for what logic demands (a black
hole is a hypodensity, warfarin an anticoagulant). Two approximations: a volume is held to what the location
can take, and IVH volumes are log-normal with the printed third quartile.

Every patient has a latent *roughness*, a standard normal shifted by the outcome: the images draw a rough
lesion with a lobulated margin and hypodense foci, a smooth one homogeneous. With `paper` the shift is 0, so
that only the printed differences carry over between centres; with `demo` both centres share a shift of 2.4
standard deviations, on which an ideal reader of the images reaches an AUC of 0.955. Markers of irregularity
and heterogeneity fall to the rougher lesions of each outcome, which leaves their frequencies as printed.

References
----------
Ning et al. (2025), Scientific Reports, Methods and Table 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import norm

from common.cohort.eligibility import CRITERIA
from common.cohort.outcome import OutcomeDefinition, Volumes
from common.cohort.readings import MARKERS
from common.seeds import generator
from simulations.published import Group, Published, published_groups

Signal = Literal["paper", "demo"]
Value = float | int | str

SHIFT: Mapping[Signal, float] = {"paper": 0.0, "demo": 2.4}
"""Between the roughness of growing and of stable hematomas, in standard deviations."""

_ROUGH = {
    "irregular_shape": 0.9,
    "heterogeneous_density": 0.9,
    "hypodensity": 0.7,
    "swirl_sign": 0.7,
    "island_sign": 0.7,
    "blend_sign": 0.6,
    "satellite_sign": 0.4,
}
"""How closely a marker goes with roughness among patients of one outcome (correlation of propensities)."""

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
    positive : bool
        Whether the hematoma reaches rHE.
    values : mapping of str to number or str
        The table's variables by name.
    baseline, followup : Volumes
        To be drawn.
    roughness : float
        The latent that shows in texture and margin.
    """

    identifier: str
    positive: bool
    values: Mapping[str, Value]
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
        Included; excluded ones come on top.
    seed : int
    signal : {"paper", "demo"}
    """

    centre: int
    patients: int
    seed: int
    signal: Signal


def draw_cohort(request: CohortRequest) -> tuple[SimulatedPatient, ...]:
    """A centre's patients in the order of admission, the excluded ones among them."""
    random = generator(request.seed, f"center{request.centre}", "cohort")
    positives = _positives(request)
    outcomes = [True] * positives + [False] * (request.patients - positives)
    roughness = np.concatenate(
        [
            _spread_out(positives, random) + SHIFT[request.signal] / 2,
            _spread_out(request.patients - positives, random) - SHIFT[request.signal] / 2,
        ]
    )
    included = [
        _Draft(request, outcome, float(rough)) for outcome, rough in zip(outcomes, roughness, strict=True)
    ]
    excluded = max(3, round(_EXCLUDED_SHARE * request.patients))
    left_out = [
        _Draft(request, bool(random.random() < 0.3), 0.0, CRITERIA[index % len(CRITERIA)].name)
        for index in range(excluded)
    ]
    drafts = [*included, *left_out]
    order = random.permutation(len(drafts))
    return tuple(drafts[index].patient(number) for number, index in enumerate(order, start=1))


def _positives(request: CohortRequest) -> int:
    """By prevalence, but three of each outcome where there are six patients: a split has three parts."""
    fewest = min(_FEWEST_OF_A_CLASS, request.patients // 2)
    expected = round(request.patients * prevalence(request.centre))
    return min(max(expected, fewest), request.patients - fewest)


def prevalence(centre: int) -> float:
    """Share of patients with rHE at a centre: 169 of 556 at odd ones, 80 of 219 at even ones."""
    groups = published_groups()
    cohorts = _cohorts(centre)
    positive = sum(groups[cohort, True].patients for cohort in cohorts)
    return positive / (positive + sum(groups[cohort, False].patients for cohort in cohorts))


def _cohorts(centre: int) -> tuple[Published, ...]:
    return ("training", "internal") if centre % 2 else ("external",)


def _spread_out(count: int, random: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Standard normals that cover the quantiles evenly, so that few patients carry as much signal as many."""
    quantiles = (random.permutation(count) + random.uniform(0.25, 0.75, count)) / max(count, 1)
    deviates: np.ndarray[tuple[int], np.dtype[np.float64]] = norm.ppf(quantiles)
    return deviates


@dataclass(frozen=True)
class _Draft:
    """A patient before the variables are drawn."""

    request: CohortRequest
    positive: bool
    roughness: float
    fails: str = ""

    def patient(self, number: int) -> SimulatedPatient:
        identifier = f"center{self.request.centre}-{number:04d}"
        random = generator(self.request.seed, f"center{self.request.centre}", "variables", number)
        cohorts = _cohorts(self.request.centre)
        weights = np.array([published_groups()[cohort, self.positive].patients for cohort in cohorts])
        group = published_groups()[
            cohorts[int(random.choice(len(cohorts), p=weights / weights.sum()))], self.positive
        ]
        shift = SHIFT[self.request.signal] / 2
        residual = self.roughness - (shift if self.positive else -shift)
        values = {**_clinical(group, random), **_radiologic(group, residual, random)}
        baseline = _baseline(group, values, random)
        followup = (_growing if self.positive else _stable)(baseline, random)
        drawn = SimulatedPatient(identifier, self.positive, values, baseline, followup, self.roughness)
        return _left_out(drawn, self.fails, random) if self.fails else drawn


def _clinical(group: Group, random: np.random.Generator) -> dict[str, Value]:
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


def _radiologic(group: Group, residual: float, random: np.random.Generator) -> dict[str, Value]:
    """Location and signs; `residual` is the roughness among patients of the same outcome."""
    levels = ("lobar", "deep", "infratentorial")
    shares = np.array([group.share("location", level) for level in levels])
    signs = {name: int(random.random() < group.share(name)) for name in ("ivh", "sah")}
    for name in MARKERS:
        tie = _ROUGH.get(name, 0.0)
        propensity = tie * residual + math.sqrt(1 - tie**2) * random.standard_normal()
        signs[name] = int(norm.cdf(propensity) > 1 - group.share(name))
    # A black hole is a hypodensity, so it is drawn among them
    within = group.share("black_hole_sign") / group.share("hypodensity")
    signs["black_hole_sign"] = int(signs["hypodensity"] and random.random() < within)
    return {"location": str(random.choice(levels, p=shares / shares.sum())), **signs}


def _baseline(group: Group, values: Mapping[str, Value], random: np.random.Generator) -> Volumes:
    largest_ml = _LARGEST_ML[str(values["location"])]
    ich_ml = group.continuous["ich_volume_ml"].draw(random, 0, 400)
    ivh_ml = group.continuous["ivh_volume_ml"].draw(random, 0, 400) if values["ivh"] else 0.0
    return Volumes(
        float(np.clip(ich_ml, _SMALLEST_ML, largest_ml)),
        float(np.clip(ivh_ml, _SMALLEST_IVH_ML, _LARGEST_IVH_ML)) if ivh_ml else 0.0,
    )


def _bound_ml(baseline: Volumes) -> float:
    """Growth of the ICH from which on it counts."""
    definition = OutcomeDefinition()
    return min(definition.ich_absolute_ml, definition.ich_relative * baseline.ich_ml)


def _growing(baseline: Volumes, random: np.random.Generator) -> Volumes:
    """Grown clearly beyond a bound: the ICH's in seven of ten patients, else the IVH's."""
    beyond_ml = _bound_ml(baseline) * (1.25 + min(random.exponential(0.7), 2.0))
    if random.random() < 0.7:
        return replace(baseline, ich_ml=baseline.ich_ml + beyond_ml)
    within_ml = _bound_ml(baseline) * random.uniform(0.0, 0.6)
    return Volumes(baseline.ich_ml + within_ml, baseline.ivh_ml + random.uniform(1.5, 6.0))


def _stable(baseline: Volumes, random: np.random.Generator) -> Volumes:
    """Clearly below every bound, sometimes a little smaller than before."""
    change_ml = _bound_ml(baseline) * random.uniform(-0.2, 0.7)
    growth_ml = random.uniform(-0.15, 0.6) if baseline.ivh_ml else 0.0
    return Volumes(baseline.ich_ml + change_ml, baseline.ivh_ml + growth_ml)


def _left_out(drawn: SimulatedPatient, criterion: str, random: np.random.Generator) -> SimulatedPatient:
    """The patient with what makes one criterion exclude, and no other."""
    changes: dict[str, dict[str, Value]] = {
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
