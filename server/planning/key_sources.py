"""Where the plan's defaults and methods come from, for the plan reference."""

from __future__ import annotations

_SCANS = "Ning 2025, Methods (image acquisition)"
_NETWORKS = "Ning 2025, Methods (deep learning)"
_STATISTICS = "Ning 2025, Methods (statistical analysis)"
_PATIENTS = "Ning 2025, Methods (patients)"
_RADIOMICS = "Ning 2025, Methods (radiomics)"
_SECURE = "Bonawitz et al. 2017, masked sums"
_PRIVATE = "Kairouz et al. 2021, distributed discrete Gaussian"

KEY_SOURCES: dict[str, str] = {
    "phases": "Ning 2025, Fig. 2",
    "sites[].role": "Ning 2025, Fig. 1: center 1 trains, center 2 is external",
    "cohort.brain_a": "Wang et al. 2015, Stroke 46:376; Ning 2025, Methods",
    "cohort.training_fraction": _PATIENTS,
    "cohort.tests": _STATISTICS,
    "cohort.outcome.endpoint": "Ning 2025, Methods; Yogendrakumar et al. 2020, Stroke 51:1120",
    "cohort.outcome.ich_absolute_ml": "Ning 2025, Methods",
    "cohort.outcome.ich_relative": "Ning 2025, Methods",
    "cohort.outcome.ivh_absolute_ml": "Ning 2025, Methods; Yogendrakumar et al. 2020, Stroke 51:1120",
    "eligibility.paper": _PATIENTS,
    "eligibility.youngest_years": _PATIENTS,
    "eligibility.latest_onset_h": _PATIENTS,
    "eligibility.latest_followup_h": _PATIENTS,
    "preprocessing.spacing_mm": _SCANS,
    "preprocessing.window_level_hu": _NETWORKS,
    "preprocessing.window_width_hu": _NETWORKS,
    "preprocessing.lesion": _NETWORKS,
    "preprocessing.scaling": _NETWORKS,
    "preprocessing.slices": _NETWORKS,
    "regression.candidates": "Ning 2025, Table 1",
    "regression.entry_p": "Ning 2025, Methods: p < 0.05",
    "agreement.readers": "Ning 2025, Methods: radiologists A and B, A again one month later",
    "radiomics.voi": _RADIOMICS,
    "radiomics.readings": _RADIOMICS,
    "radiomics.icc_form": "Shrout and Fleiss 1979",
    "radiomics.icc_threshold": "Ning 2025, Methods: ICC > 0.80",
    "radiomics.icc_judged": _RADIOMICS,
    "radiomics.family": "Friedman et al. 2010, glmnet",
    "radiomics.folds": "Friedman et al. 2010, glmnet",
    "radiomics.rule": "Friedman et al. 2010, glmnet",
    "models[].family": "He et al. 2016; Huang et al. 2017; Ning 2025, Methods",
    "models[].dimensions": _NETWORKS,
    "models[].input_size": _NETWORKS,
    "models[].dropout": _NETWORKS,
    "models[].initialisation": _NETWORKS,
    "models[].covariates": "Ning 2025, Methods (baseline models)",
    "models[].fourier_features": "Rahimi and Recht 2007",
    "models[].training.learning_rate": _NETWORKS,
    "models[].training.batch_size": _NETWORKS,
    "models[].training.flip": _NETWORKS,
    "models[].training.crop_fraction": f"{_NETWORKS}; the paper gives no share",
    "models[].training.translation_fraction": f"{_NETWORKS}; the paper gives no share",
    "models[].training.batch_norm_statistics": "Wu and Johnson 2021",
    "federation.rounds": f"{_NETWORKS}: 100 epochs",
    "federation.proximal_mu": "Li et al. 2020 (FedProx)",
    "federation.server_optimiser": "McMahan et al. 2017 (FedAvg); Reddi et al. 2021",
    "federation.batch_norm": "Li et al. 2021 (FedBN)",
    "evaluation.threshold": f"{_STATISTICS}: 0.5",
    "evaluation.interval": "DeLong et al. 1988",
    "evaluation.proportions": "Wilson 1927; Clopper and Pearson 1934",
    "evaluation.mcnemar": f"McNemar 1947; {_STATISTICS}",
    "evaluation.adjustment": "Holm 1979",
    "evaluation.decision_thresholds": "Vickers and Elkin 2006",
    "privacy.secure": _SECURE,
    "privacy.noise": _PRIVATE,
    "privacy.noise.multiplier": _PRIVATE,
    "privacy.noise.epsilon": _PRIVATE,
    "explanation.per_site": "Selvaraju et al. 2017 (Grad-CAM); Ning 2025, Fig. 5",
    "explanation.mean_maps": "this study; the paper shows single patients (Fig. 5)",
}
"""By the key's path in the plan; what is not here is a choice of this software."""
