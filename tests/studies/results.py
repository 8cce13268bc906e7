"""Results of studies that never were, as large and as odd as a test needs them."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.metrics import auc, roc_curve
from studies import analyses
from studies.analyses import SMALL, absent

from common.stats.confusion import ConfusionMatrix
from common.stats.estimate import Estimate, Status
from common.stats.flow import ExclusionCount
from server.results.cohort import CohortRow, FlowChart, PartOfCohort, VariableDescription
from server.results.evaluation import Cell, RocPoint
from server.results.file import Results, SiteSummary, StudySummary
from server.results.hiding import Masking
from server.results.provenance import PhaseTime, Provenance, SiteProvenance
from server.results.training import CurvePoint, LearningCurve, Overlay

PIXEL_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
REASONS = (
    "Age < 18 years",
    "Baseline CT > 24 h after onset",
    "Follow-up CT > 72 h after baseline CT",
    "Primary IVH",
    "Previous surgical treatment",
    "Obvious artifacts",
    "Eligibility unknown",
    "Row, scan or mask refused",
)


@dataclass(frozen=True)
class Arm:
    """An arm of a made study."""

    name: str
    kind: str
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Make:
    """What kind of study to make."""

    training: tuple[str, ...] = ("Chongqing", "Nanjing")
    external: tuple[str, ...] = ()
    models: tuple[str, ...] = ("2D-ResNet-18", "3D-DenseNet-S")
    design: str = "together"
    pooled: bool = True
    profile: str = "simulation"
    synthetic: bool = True
    suppressed: bool = False
    rounds: int = 12
    logistic: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    full: bool = False
    title: str = "Two simulated centres, one study"

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted((*self.training, *self.external)))

    @property
    def arms(self) -> tuple[Arm, ...]:
        federated = []
        if self.design != "together":
            federated = [
                Arm(f"federated-without-{left}", "federated", tuple(s for s in self.training if s != left))
                for left in self.training
            ]
        elif len(self.training) > 1:
            federated = [Arm("federated", "federated", self.training)]
        local = [Arm(f"local-{site}", "local", (site,)) for site in self.training]
        pooled = [Arm("pooled", "pooled", self.training)] if self.pooled else []
        return (*federated, *local, *pooled)

    @property
    def scorers(self) -> tuple[tuple[str, Arm], ...]:
        """Every model in every arm that it has."""
        networks = [(model, arm) for model in self.models for arm in self.arms]
        fitted = [(model, arm) for model in self.logistic for arm in self.arms if arm.kind != "pooled"]
        return (*networks, *fitted, *((model, Arm("given", "given", ())) for model in self.scores))


@cache
def make_study(make: Make = Make()) -> Results:
    """The results of such a study, the same ones each time."""
    cells = tuple(_cell(make, model, arm, cohort) for model, arm in make.scorers for cohort in _cohorts(make))
    names = (*make.models, *make.logistic, *make.scores)
    extra = _analyses(make, cells, names) if make.full else {}
    return Results(
        study=StudySummary(
            name=make.title,
            plan_hash="5f3c" * 16,
            profile=make.profile,
            endpoint="rHE",
            seed=20260301,
            local_epochs=2,
            threshold=0.5,
            interval="logit-delong",
            two_site_ack=len(make.sites) == 2,
            hiding=Masking(minimum=2, colluders=0, weights="frozen"),
            reference_model=next(iter(make.models), None),
            plan={"name": make.title, "seed": 20260301, "federation": {"rounds": make.rounds}},
        ),
        sites=tuple(_site(make, name) for name in make.sites),
        flow=(*(_flow(make, site) for site in make.sites), _flow(make, None)),
        parts=tuple(_parts(make)),
        cohort=tuple(_cohort(make)),
        training=tuple(_curve(make, model, arm) for model in make.models for arm in make.arms),
        fitted=tuple(
            analyses.fitted(model, (arm.name, arm.kind, arm.sites), suppressed=make.suppressed)
            for model, arm in make.scorers
            if model in make.logistic
        ),
        evaluation=cells,
        **extra,
        overlays=tuple(_overlays(make)) if make.synthetic and make.models else (),
        notes=(
            "Simulated patients: every number here shows that the system works, none describes a patient.",
            "Sums of several centres were masked: the coordinator opened nothing but the sum.",
        ),
        provenance=_provenance(make),
    )


def _analyses(make: Make, cells: Sequence[Cell], names: Sequence[str]) -> dict[str, object]:
    arm = make.arms[0].name if make.models or make.logistic else "given"
    return {
        "regression": analyses.regression(make.training, suppressed=make.suppressed),
        "comparisons": tuple(analyses.comparisons(cells, names[0], suppressed=make.suppressed)),
        "subgroups": tuple(analyses.subgroups(cells)),
        "heterogeneity": tuple(
            analyses.heterogeneity(names[:1], arm, make.sites, suppressed=make.suppressed)
        ),
    }


def measure(value: float, patients: int) -> Estimate:
    """A share with Wilson's interval."""
    middle = (value + 1.92 / patients) / (1 + 3.84 / patients)
    half = 1.96 * math.sqrt(value * (1 - value) / patients + 0.96 / patients**2) / (1 + 3.84 / patients)
    return Estimate(value=value, low=max(0.0, middle - half), high=min(1.0, middle + half), method="wilson")


def _site(make: Make, name: str) -> SiteSummary:
    role = "train" if name in make.training else "external"
    return SiteSummary(name=name, role=role, synthetic=make.synthetic, model_release=role == "train")


def _flow(make: Make, site: str | None) -> FlowChart:
    factor = len(make.sites) if site is None else 1
    excluded = [n * factor for n in (1, 5, 3, 2, 2, 1, 0, 2)]
    if make.suppressed:
        return FlowChart(
            site=site,
            screened=None,
            excluded=(ExclusionCount(reasons=REASONS, patients=None),),
            included=None,
            positive=None,
            negative=None,
            standing=Status(kind="suppressed", reason="a count below the minimum"),
        )
    return FlowChart(
        site=site,
        screened=60 * factor + sum(excluded),
        excluded=tuple(
            ExclusionCount(reasons=(r,), patients=n) for r, n in zip(REASONS, excluded, strict=True)
        ),
        included=60 * factor,
        positive=21 * factor,
        negative=39 * factor,
    )


_SIZES = {"train": (12, 22), "validation": (3, 5), "test": (6, 12), "whole": (21, 39)}


def _parts(make: Make) -> Sequence[PartOfCohort]:
    return [
        PartOfCohort(
            site=site,
            part=part,
            positive=None if make.suppressed else _SIZES[part][0],
            negative=None if make.suppressed else _SIZES[part][1],
        )
        for site in make.sites
        for part in (("train", "validation", "test") if site in make.training else ("test",))
    ]


def _cohort(make: Make) -> Sequence[CohortRow]:
    """At each site and together; of a full study the paper's cohorts, too."""
    wholes = [(site, "whole") for site in (*make.sites, None)]
    papers = [(None, part) for part in ("training", "internal", "external")] if make.full else []
    return [row for site, part in (*papers, *wholes) for row in _described(make, site, part)]


_AGE = {"used": 21, "missing": 0, "mean": 63.03, "sd": 12.2}
_VOLUME = {"used": 20, "missing": 1, "median": 18.42, "first_quartile": 8.1, "third_quartile": 33.9}
_MEN = {"used": 21, "missing": 0, "patients": 14, "percent": 66.7}
_LOBAR = {"used": 21, "missing": 0, "patients": None, "standing": SMALL}
_DEEP = {"used": 21, "missing": 0, "patients": 12, "percent": 57.1}
# label, unit, level, numbers, p, test, note, smd
_LINES = (
    ("Sex", "", "male", _MEN, 0.41, "Pearson chi-squared", "", -0.1723),
    ("Age", "year", "", _AGE, 0.731, "Welch t", "", 0.4051),
    ("Baseline ICH volume", "ml", "", _VOLUME, 0.0002, "Mann-Whitney U", "", 0.5),
)
_LOCATIONS = (
    (
        "Location",
        "",
        "Deep",
        _DEEP,
        0.0312,
        "Pearson chi-squared",
        "more than 20% of expected counts are below 5",
        0.3,
    ),
    ("Location", "", "Infratentorial", _DEEP, None, "", "", None),
    ("SAH", "", "", _LOBAR, None, "", "", None),
)


def _described(make: Make, site: str | None, part: str) -> Sequence[CohortRow]:
    rows = []
    for label, unit, level, numbers, p, test, note, smd in (*_LINES, *(_LOCATIONS if make.full else ())):
        shown = VariableDescription(standing=SMALL) if make.suppressed else VariableDescription(**numbers)
        tested = not make.suppressed and p is not None
        rows.append(
            CohortRow(
                site=site,
                part=part,
                label=label,
                unit=unit,
                level=level,
                negative=shown,
                positive=shown,
                p_value=p if tested else None,
                test=test if tested else "",
                note=note if tested else "",
                smd=smd if tested and make.full else None,
            )
        )
    return rows


def _curve(make: Make, model: str, arm: Arm) -> LearningCurve:
    random = np.random.default_rng([len(model), *arm.name.encode()])
    points = [
        CurvePoint(
            number=number,
            loss=0.32 + 0.4 * math.exp(-number / 4) + 0.02 * random.random(),
            validation_auc=None if make.suppressed else 0.8 - 0.3 / number + 0.05 * random.random(),
        )
        for number in range(1, make.rounds + 1)
    ]
    return LearningCurve(
        model=model,
        arm=arm.name,
        kind=arm.kind,
        sites=arm.sites,
        chosen=min(9, make.rounds),
        points=tuple(points),
    )


def _cohorts(make: Make) -> Sequence[tuple[tuple[str, ...], str]]:
    cohorts: list[tuple[tuple[str, ...], str]] = []
    for site in make.sites:
        parts = ("train", "validation", "test", "whole") if site in make.training else ("whole",)
        cohorts += [((site,), part) for part in parts]
    if len(make.training) > 1:
        cohorts += [(make.training, "train")] if make.full else []
        cohorts.append((make.training, "test"))
    if len(make.external) > 1:
        cohorts.append((make.external, "whole"))
    if len(make.sites) > 1:
        cohorts.append((make.sites, "whole"))
    return cohorts


def _relation(arm: Arm, sites: tuple[str, ...], part: str) -> str:
    if arm.kind == "given":
        return "given"
    seen = [site in arm.sites for site in sites]
    if not any(seen):
        return "external"
    if not all(seen) or part == "whole":
        return "seen centre"
    return {"train": "apparent", "validation": "selection", "test": "internal"}[part]


def _cell(make: Make, model: str, arm: Arm, cohort: tuple[tuple[str, ...], str]) -> Cell:
    sites, part = cohort
    relation = _relation(arm, sites, part)
    named: dict[str, object] = {
        "model": model,
        "arm": arm.name,
        "kind": arm.kind,
        "training_sites": arm.sites,
        "cohort_sites": sites,
        "part": part,
        "relation": relation,
    }
    if make.suppressed:
        return _hidden_cell(named)
    positive, negative = (n * len(sites) for n in _SIZES[part])
    random = np.random.default_rng([*model.encode(), *arm.name.encode(), *"".join(sites).encode(), len(part)])
    shift = {"apparent": 1.9, "external": 0.6}.get(relation, 1.2)
    labels = np.repeat([1, 0], [positive, negative])
    scores = 1 / (1 + np.exp(-random.normal(labels * shift - shift / 2)))
    false, true, cuts = roc_curve(labels, scores)
    given = arm.kind == "given"
    risk = make.full and not given and relation != "apparent"
    tp, fp = int((scores[labels == 1] >= 0.5).sum()), int((scores[labels == 0] >= 0.5).sum())
    fn, tn = positive - tp, negative - fp
    return Cell(
        **named,
        positive=positive,
        negative=negative,
        auc=measure(float(auc(false, true)), positive + negative),
        auc_error_bound=0.0,
        auc_interval_bound=0.0,
        roc=tuple(
            RocPoint(
                threshold=min(cut, 1.001),
                false_positive_rate=x,
                true_positive_rate=y,
                low=measure(y, positive).low,
                high=measure(y, positive).high,
            )
            for cut, x, y in zip(cuts.tolist(), false.tolist(), true.tolist(), strict=True)
        ),
        confusion=ConfusionMatrix(true_positive=tp, false_negative=fn, false_positive=fp, true_negative=tn),
        accuracy=measure((tp + tn) / (positive + negative), positive + negative),
        sensitivity=measure(tp / positive, positive),
        specificity=measure(tn / negative, negative),
        ppv=measure(tp / (tp + fp), tp + fp) if tp + fp else _nobody("no patient called positive"),
        npv=measure(tn / (tn + fn), tn + fn) if tn + fn else _nobody("no patient called negative"),
        f1=measure(2 * tp / (2 * tp + fp + fn), positive),
        missing=2 if given else 0,
        threshold=9.0 if given else 0.5,
        calibration=analyses.calibration(scores, labels) if risk else None,
        decision=tuple(analyses.decision(scores, labels)) if risk else (),
    )


def _nobody(reason: str) -> Estimate:
    return absent(Status(kind="undefined", reason=reason))


def _hidden_cell(named: dict[str, object]) -> Cell:
    metrics = ("auc", "accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
    nothing = ConfusionMatrix(
        true_positive=None, false_negative=None, false_positive=None, true_negative=None
    )
    return Cell(
        **named,
        positive=None,
        negative=None,
        auc_error_bound=None,
        roc=(),
        confusion=nothing,
        **dict.fromkeys(metrics, absent()),
    )


def _overlays(make: Make) -> Sequence[Overlay]:
    arm = make.arms[0]
    picture = base64.b64encode(PIXEL_PNG).decode()
    return [
        Overlay(
            model=model,
            arm=arm.name,
            site=site,
            outcome=outcome,
            score=0.71 if outcome else 0.22,
            png_base64=picture,
        )
        for model in make.models
        for site in make.sites
        for outcome in (True, False)
    ]


def _provenance(make: Make) -> Provenance:
    versions = {"rhe": "0.1.0", "torch": "2.13.0", "numpy": "2.2.0"}
    return Provenance(
        started="2026-03-01T12:00:00+00:00",
        finished="2026-03-01T12:03:20+00:00",
        backend="in-process",
        python="3.11.9",
        versions=versions,
        processor="AMD EPYC, 2 logical processors",
        sites=tuple(SiteProvenance(name=site, device="cpu", versions=versions) for site in make.sites),
        phases=(
            PhaseTime(phase="preparation", seconds=24.1),
            PhaseTime(phase="training", seconds=131.0, rounds=26),
        ),
        message_rounds=31,
        messages=62,
        bytes_sent=1_310_000_000,
        bytes_received=655_000_000,
    )
