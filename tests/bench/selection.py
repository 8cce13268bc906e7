"""The LASSO and the support vector machine over two sites against scikit-learn on all rows in one place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LassoCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from client.answers.patient_arrays import labels_of, make_feature_matrix
from client.answers.score_store import ScoreStore
from client.answers.statistics import SiteAnalyses
from client.cohort.cases import PreparedCase
from client.release.registry import ReleaseRegistry
from common.messages.catalogue import Operation
from common.messages.headers import FittedSvm, RequestHeader
from common.messages.protocol import Parameters, Reply
from common.plan.models import SvmModel
from common.plan.study import StudyPlan
from common.program.machines import fit_machine
from common.program.selections import select_over_sites
from common.program.steps import GroupSums
from common.radiomics.features import FEATURES
from common.stats.contract import total
from common.stats.folds import deal_folds
from common.stats.minima import minima_of
from common.types import FlatWeights
from server.procedures import carry_out
from tests.bench.measurement import Effort, Measurement, measure_seconds
from tests.sites.patients import a_case

PATIENTS = 389
"""As many as the paper trains on, over both sites."""
SMOKE_PATIENTS = 120
COVARIATES = ("age", "sbp_mmhg", "inr", "onset_to_ct_h")
PLAN = StudyPlan.model_validate(
    {
        "name": "bench",
        "seed": 4,
        "profile": "simulation",
        "two_site_ack": True,
        "sites": [{"name": name, "role": "train"} for name in ("a", "b")],
        "models": [
            {"kind": "svm", "name": "Machine", "covariates": COVARIATES},
            {"kind": "logistic", "name": "Combined", "covariates": ["radiomics"]},
        ],
        "radiomics": {"folds": 5},
    }
)


@dataclass(frozen=True)
class TwoSites:
    """Answers as `server.exchange.Exchange` does, without messages."""

    plan: StudyPlan
    sites: dict[str, SiteAnalyses]

    def gather(
        self,
        operation: Operation,
        parameters: Parameters | None = None,
        weights: FlatWeights | None = None,
        **context: object,
    ) -> GroupSums:
        """What both sites add up to; neither trains a network."""
        del weights
        asked = {"operation": operation, "plan_hash": self.plan.digest(), **context}
        answers = (
            analyses.answer(RequestHeader.model_validate(asked | {"site": site}), parameters or {})
            for site, analyses in self.sites.items()
        )
        return GroupSums({tuple(sorted(self.sites)): total(answers)})

    def ask(
        self,
        operation: Operation,
        sites: Sequence[str],
        weights: FlatWeights | None = None,
        parameters: Parameters | None = None,
        **context: object,
    ) -> dict[str, Reply]:
        """Nothing: these sites answer with sums alone."""
        raise NotImplementedError(operation, sites, weights, parameters, context)


def run(effort: Effort) -> list[Measurement]:
    """Both, each with the same folds or grid as scikit-learn's."""
    with tempfile.TemporaryDirectory() as name:
        cases = _make_cases(effort.choose(PATIENTS, SMOKE_PATIENTS))
        parts = {"a": cases[::2], "b": cases[1::2]}
        sites = {site: _open_site(site, part, Path(name)) for site, part in parts.items()}
        exchange = TwoSites(PLAN, sites)
        return [_compare_lasso(exchange, parts, effort), _compare_machine(exchange, cases, effort)]


def _open_site(name: str, cases: list[PreparedCase], folder: Path) -> SiteAnalyses:
    minima = minima_of(PLAN.profile)
    registry = ReleaseRegistry(folder / f"{name}.json", PLAN.cohort.maximum_releases, minima)
    return SiteAnalyses(PLAN, name, tuple(cases), ScoreStore(folder / name, PLAN.digest()), registry)


def _make_cases(patients: int) -> list[PreparedCase]:
    """Features in families that repeat each other, as radiomics do."""
    random = np.random.default_rng(4)
    sources = random.normal(size=(patients, 60))
    features = sources @ random.normal(size=(60, len(FEATURES)))
    features += 0.3 * features.std(axis=0) * random.normal(size=features.shape)
    grows = sources[:, 0] + random.logistic(size=patients) > 0.7
    values = np.column_stack([60 + 9 * sources[:, 1], 160 + 20 * sources[:, 2], np.exp(sources[:, 3] / 9)])
    return [
        replace(
            a_case(
                f"P{row:03d}",
                grows=bool(grows[row]),
                onset_to_ct_h=float(4 + 2 * grows[row] * random.random()),
                **dict(zip(COVARIATES, values[row].tolist(), strict=False)),
            ),
            features=features[row],
        )
        for row in range(patients)
    ]


def _compare_lasso(exchange: TwoSites, parts: dict[str, list[PreparedCase]], effort: Effort) -> Measurement:
    cases = [case for part in parts.values() for case in part]
    x, labels = make_feature_matrix(cases), labels_of(cases).astype(float)
    folds = np.concatenate(
        [
            deal_folds(PLAN.seed, site, [case.patient.identifier for case in part], labels_of(part), 5)
            for site, part in parts.items()
        ]
    )
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(5)]

    (arm,) = (arm for arm in PLAN.all_arms() if arm.kind == "federated")

    def select_pooled() -> tuple[str, ...]:
        z = StandardScaler().fit_transform(x)
        limit = np.bincount(folds).min() // 2
        strongest = np.argsort(-np.abs(z.T @ labels), kind="stable")[:limit]
        kept = np.sort(strongest)
        lasso = LassoCV(cv=splits, alphas=100, tol=1e-8, max_iter=100_000).fit(z[:, kept], labels)
        return tuple(FEATURES[j] for j in kept[np.abs(lasso.coef_) > 1e-9])

    def select_federated() -> object:
        return carry_out(exchange, "selection", select_over_sites(exchange.plan, arm))

    if select_federated().names != select_pooled():
        raise ArithmeticError("another selection over sites than pooled")
    name = "851 features prescreened, then scikit-learn's LassoCV, pooled / ours over two sites"
    return compare_long_times(name, 0.1, select_pooled, select_federated, effort)


def _compare_machine(exchange: TwoSites, cases: list[PreparedCase], effort: Effort) -> Measurement:
    (model,) = (one for one in PLAN.table_models if isinstance(one, SvmModel))
    x = np.array([[case.patient.number(name) for name in COVARIATES] for case in cases])
    labels, folds = labels_of(cases), StratifiedKFold(5, shuffle=True, random_state=1)
    grid = {"svc__C": model.c_grid, "svc__gamma": model.gamma_grid}

    def fit_pooled() -> object:
        search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, scoring="roc_auc", cv=folds)
        best = search.fit(x, labels).best_estimator_
        return CalibratedClassifierCV(best, method="sigmoid", cv=folds, ensemble=False).fit(x, labels)

    arm = PLAN.arm("federated")

    def fit_over_sites() -> object:
        fitted = carry_out(exchange, "fit", fit_machine(exchange.plan, arm, model, COVARIATES))
        if not isinstance(fitted, FittedSvm) or fitted.status != "ok":
            raise ArithmeticError(fitted)
        return fitted

    name = "scikit-learn's exact machine with grid and Platt, pooled / ours over two sites"
    return compare_long_times(name, 0.3, fit_pooled, fit_over_sites, effort)


def compare_long_times(
    name: str, bound: float, slow: Callable[[], object], fast: Callable[[], object], effort: Effort
) -> Measurement:
    """The best of two, because each takes seconds."""
    slow_s, fast_s = (min(measure_seconds(call) for _ in range(effort.repeats(2))) for call in (slow, fast))
    return Measurement(name, slow_s / fast_s, bound, "at least", f"{slow_s:.1f} s against {fast_s:.1f} s")
