"""Regressions, comparisons, calibration and the rest of a made study, as odd as a test needs them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import stats

from common.stats.calibration import ReliabilityPoint
from common.stats.decision import NetBenefit
from common.stats.decision_difference import BenefitDifference
from common.stats.estimate import Estimate, Status
from common.stats.mcnemar import McNemarResult
from common.stats.profile_limits import PROFILE
from server.results.comparison import CentreAuc, CentreHeterogeneity, Comparison, Comparisons
from server.results.evaluation import Calibration, Cell, Subgroup
from server.results.regression import Association, FittedModel, RegressionRow, RegressionTable

SMALL = Status(kind="suppressed", reason="fewer than 10 patients with or without expansion")
SEPARATED = Status(kind="undefined", reason="separated: no finite value")
FAIR = ("internal", "external", "given")

# variable, label, unit, level, univariate (OR, low, high, p), multivariable, of the paper's Table 2
_PREDICTORS = (
    ("sex", "Sex", "", "", (1.064, 0.649, 1.742, 0.806), None),
    ("age", "Age", "year", "", (1.031, 1.014, 1.049, 0.0003), (1.022, 0.999, 1.045, 0.064)),
    ("inr", "INR", "", "", (7.15, 0.935, 54.69, 0.058), None),
    (
        "anticoagulation",
        "Anticoagulation",
        "",
        "",
        (5.468, 2.025, 14.766, 0.001),
        (3.011, 0.959, 9.458, 0.059),
    ),
    ("ich_volume_ml", "ICH volume", "ml", "", (1.043, 1.028, 1.059, 0.00001), (1.04, 1.016, 1.064, 0.001)),
    ("location", "Location", "", "Lobar", None, None),
    ("location", "Location", "", "Deep", (4.158, 1.587, 10.895, 0.004), (1.677, 0.582, 4.831, 0.338)),
    (
        "location",
        "Location",
        "",
        "Infratentorial",
        (3.111, 1.081, 8.958, 0.035),
        (0.972, 0.271, 3.481, 0.965),
    ),
    ("ivh", "IVH", "", "", (4.056, 2.516, 6.539, 0.00001), (3.557, 1.663, 7.61, 0.001)),
    ("fluid_level", "Fluid level", "", "", (61.5, 2.1, 21034.0, 0.021), (0.004, 0.0001, 0.9, 0.044)),
)
ENTERED = ("age", "anticoagulation", "ich_volume_ml", "location", "ivh", "fluid_level")


def absent(standing: Status = SMALL) -> Estimate:
    """A measure that is not shown."""
    return Estimate(value=None, standing=standing)


def regression(sites: tuple[str, ...], *, suppressed: bool) -> RegressionTable:
    """The paper's Table 2, but for one separated variable and one inflated."""
    rows = tuple(_predictor(row, suppressed=suppressed) for row in _PREDICTORS)
    return RegressionTable(
        cohort_sites=sites,
        rows=rows,
        entry_p=0.05,
        entered=() if suppressed else ENTERED,
        used=None if suppressed else 386,
        missing=None if suppressed else 3,
        method="maximum likelihood",
        standing=SMALL if suppressed else Status("ok"),
        intercept=None if suppressed else -3.41,
        log_likelihood=None if suppressed else -201.7,
    )


def _predictor(row: tuple[Any, ...], *, suppressed: bool) -> RegressionRow:
    variable, label, unit, level, univariate, multivariable = row
    firth = variable == "fluid_level"
    alone = _effect(univariate, suppressed=suppressed, interval=PROFILE if firth else "Wald")
    together = None if suppressed else _effect(multivariable, inflation=7.31 if variable == "ivh" else 1.2)
    return RegressionRow(
        variable=variable,
        label=label,
        unit=unit,
        level=level,
        reference=level == "Lobar",
        used=None if suppressed else 387 if variable == "inr" else 389,
        missing=None if suppressed else 2 if variable == "inr" else 0,
        univariate=alone,
        multivariable=together,
        method="Firth" if firth else "maximum likelihood",
    )


def _effect(
    numbers: tuple[float, float, float, float] | None,
    *,
    suppressed: bool = False,
    inflation: float | None = None,
    interval: str = "Wald",
) -> Association | None:
    if numbers is None:
        return None
    if suppressed:
        return Association(odds_ratio=absent())
    ratio, low, high, p = numbers
    return Association(
        odds_ratio=Estimate(value=ratio, low=low, high=high, method=interval),
        p_value=p,
        p_likelihood_ratio=min(1.0, p * 1.1),
        inflation=inflation,
    )


def fitted(model: str, arm: tuple[str, str, tuple[str, ...]], *, suppressed: bool) -> FittedModel:
    """A logistic model of two terms; a local one's intercept stays at its site."""
    name, kind, sites = arm
    rows = (
        RegressionRow(
            variable="ich_volume_ml",
            label="ICH volume",
            unit="ml",
            multivariable=_effect((1.042, 1.02, 1.07, 0.0004), inflation=1.1),
        ),
        RegressionRow(
            variable="ivh", label="IVH", multivariable=_effect((3.1, 1.5, 6.2, 0.002), inflation=1.1)
        ),
    )
    return FittedModel(
        model=model,
        arm=name,
        kind=kind,
        sites=sites,
        rows=() if suppressed else rows,
        intercept=None if suppressed or kind == "local" else -2.417,
        used=None if suppressed else 34 * len(sites),
        missing=None if suppressed else 1,
        method="Firth" if kind == "local" else "maximum likelihood",
        standing=SMALL if suppressed else Status("ok"),
    )


def calibration(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """Of predicted risks, in up to five groups."""
    brier = float(np.mean((scores - labels) ** 2))
    order = np.argsort(scores)
    points = []
    for group in np.array_split(order, max(1, min(5, len(order) // 10))):
        events = int(labels[group].sum())
        low, high = stats.binomtest(events, len(group)).proportion_ci(method="wilson")
        points.append(
            ReliabilityPoint(
                predicted=float(scores[group].mean()),
                observed=events / len(group),
                low=float(low),
                high=float(high),
                patients=len(group),
            )
        )
    return Calibration(
        brier=Estimate(value=brier, low=max(0.0, brier - 0.04), high=brier + 0.04, method="normal"),
        expected_error=Estimate(value=0.081),
        intercept=Estimate(value=-0.214, low=-0.61, high=0.18, method="Wald"),
        slope=absent(SEPARATED)
        if len(labels) < 20
        else Estimate(value=0.871, low=0.42, high=1.32, method="Wald"),
        points=tuple(points),
        clipped=None if len(labels) < 20 else 3,
    )


def decision(scores: np.ndarray, labels: np.ndarray) -> Sequence[NetBenefit]:
    """Net benefit at nineteen thresholds."""
    points = []
    for step in range(1, 20):
        threshold = step / 20
        weight = threshold / (1 - threshold)
        called = scores >= threshold
        true, false = float((called & (labels == 1)).mean()), float((called & (labels == 0)).mean())
        benefit = true - weight * false
        half = 1.96 * math.sqrt(max(true + weight**2 * false - benefit**2, 0.0) / len(labels))
        everybody = float(labels.mean()) - weight * float(1 - labels.mean())
        points.append(
            NetBenefit(
                threshold=threshold,
                model=benefit,
                low=benefit - half,
                high=benefit + half,
                treat_all=everybody,
            )
        )
    return points


def comparisons(cells: Sequence[Cell], reference: str, *, suppressed: bool) -> Iterator[Comparisons]:
    """Of the reference's first arm against every other model and arm, wherever it is fair."""
    fair = [cell for cell in cells if cell.relation in FAIR and cell.part in {"test", "whole"}]
    for sites, part in dict.fromkeys((cell.cohort_sites, cell.part) for cell in fair):
        here = [cell for cell in fair if (cell.cohort_sites, cell.part) == (sites, part)]
        first = next((cell for cell in here if cell.model == reference), here[0])
        others = [cell for cell in here if cell is not first]
        if others:
            yield Comparisons(
                cohort_sites=sites,
                part=part,
                used=None if suppressed else (first.positive or 0) + (first.negative or 0),
                missing=None if suppressed else 0,
                chi_squared=None if suppressed else 11.274,
                degrees_of_freedom=None if suppressed else len(others),
                p_value=None if suppressed else 0.0107,
                standing=SMALL if suppressed else Status("ok"),
                pairs=tuple(_pair(first, other, place) for place, other in enumerate(others)),
            )


def _pair(first: Cell, second: Cell, place: int) -> Comparison:
    hidden = first.auc.value is None or second.auc.value is None
    difference = 0.0 if hidden else (first.auc.value or 0.0) - (second.auc.value or 0.0)
    p = (0.0004, 0.031, 0.4, 0.72)[place % 4]
    nothing = McNemarResult(only_first=None, only_second=None, p_value=None, method="exact", standing=SMALL)
    risks = not hidden and first.decision and second.decision
    return Comparison(
        first_model=first.model,
        first_arm=first.arm,
        second_model=second.model,
        second_arm=second.arm,
        used=None if hidden else (first.positive or 0) + (first.negative or 0) - place % 4,
        missing=None if hidden else place % 4,
        difference_bound=None if hidden else 0.0,
        p_least=None if hidden else p,
        p_most=None if hidden else p,
        difference=absent()
        if hidden
        else Estimate(
            value=difference, low=difference - 0.11, high=difference + 0.11, method="DeLong, paired"
        ),
        p_value=None if hidden else p,
        p_adjusted=None if hidden else min(1.0, 2 * p),
        sensitivity=nothing
        if hidden
        else McNemarResult(only_first=14, only_second=3, p_value=0.0127, method="exact"),
        specificity=nothing
        if hidden or place % 2
        else McNemarResult(only_first=9, only_second=8, p_value=1.0, method="exact"),
        net_benefit=tuple(
            BenefitDifference(
                threshold=one.threshold,
                difference=one.model - other.model,
                low=one.model - other.model - 0.05,
                high=one.model - other.model + 0.05,
            )
            for one, other in zip(first.decision, second.decision, strict=True)
        )
        if risks
        else (),
    )


def subgroups(cells: Sequence[Cell]) -> Iterator[Subgroup]:
    """By sex and location, of every fair cell of several sites."""
    for cell in cells:
        if cell.relation not in FAIR or cell.part in {"train", "validation"} or len(cell.cohort_sites) < 2:
            continue
        levels = (
            ("sex", "Sex", ("male", "female")),
            ("location", "Location", ("Lobar", "Deep", "Infratentorial")),
        )
        for variable, label, names in levels:
            for place, level in enumerate(names):
                small = level == "Lobar" or cell.auc.value is None
                value = cell.auc.value or 0.5
                yield Subgroup(
                    model=cell.model,
                    arm=cell.arm,
                    cohort_sites=cell.cohort_sites,
                    part=cell.part,
                    variable=variable,
                    label=label,
                    level=level,
                    positive=None if small else 11 + place,
                    negative=None if small else 20,
                    auc=absent()
                    if small
                    else Estimate(value=value, low=value - 0.2, high=min(1.0, value + 0.15)),
                    p_interaction=None if small or place == 0 else 0.214,
                )


def heterogeneity(
    models: Sequence[str], arm: str, sites: Sequence[str], *, suppressed: bool
) -> Iterator[CentreHeterogeneity]:
    """Of each model over the sites, the last of which has an AUC of 1; of two, their difference alone."""
    for model in models:
        two, many = (of_such and not suppressed for of_such in (len(sites) == 2, len(sites) > 2))
        left_out = len(sites) if suppressed else int(many)
        none = (
            SMALL if suppressed else Status(kind="undefined", reason="fewer than three centres have no mean")
        )
        yield CentreHeterogeneity(
            model=model,
            arm=arm,
            sites=len(sites) - left_out,
            sites_excluded=left_out,
            centres=tuple(_centre(site, sites, suppressed=suppressed) for site in sites),
            difference=Estimate(
                value=-0.494, low=-0.687, high=-0.273, method="sum of squares: DeLong, Newcombe"
            )
            if two
            else None,
            auc=Estimate(value=0.741, low=0.62, high=0.83, method="Hartung-Knapp") if many else absent(none),
            prediction_low=0.55 if many else None,
            prediction_high=0.88 if many else None,
            q=4.217 if many else None,
            p_value=None if suppressed else 0.239 if many else 0.00012,
            i_squared=0.289 if many else None,
            tau_squared=0.0412 if many else None,
        )


def _centre(site: str, sites: Sequence[str], *, suppressed: bool) -> CentreAuc:
    perfect = site == sites[-1]
    auc = (
        Estimate(0.506, 0.31, 0.7, "logit-delong") if not perfect else Estimate(1.0, 0.84, 1.0, "mc_binomial")
    )
    why = Status(kind="undefined", reason="an AUC of 1 has no logit, on which the mean is taken")
    return CentreAuc(
        site=site,
        part="test",
        positive=None if suppressed else 6,
        negative=None if suppressed else 12,
        auc=absent() if suppressed else auc,
        standing=SMALL if suppressed else why if perfect and len(sites) > 2 else Status("ok"),
    )
