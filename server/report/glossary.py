"""The terms that the report uses, for readers who are not statisticians."""

from __future__ import annotations

from server.report.risks import RISK_TERMS
from server.report.verdicts import VERDICT_TERMS
from server.report.words import RELATION_MEANINGS, RELATIONS
from server.results.file import StudySummary

_EXPANSION: tuple[tuple[str, str], ...] = (
    (
        "rHE, revised hematoma expansion",
        (
            "From baseline to follow-up CT the intracerebral hematoma grew by at least 6 mL or 33%, or the "
            "intraventricular hemorrhage grew by at least 1 mL or appeared de novo (or as the plan says)."
        ),
    ),
    (
        "cHE, conventional hematoma expansion",
        "Growth of the intracerebral hematoma alone, by at least 6 mL or 33%.",
    ),
)
"""What expansion is, where volumes decide."""

_TERMS: tuple[tuple[str, str], ...] = (
    (
        "Federated",
        (
            "Each centre trains on its own patients; only the model's weights travel and are averaged. "
            "No image and no patient's record leaves a centre."
        ),
    ),
    (
        "Training, validation and test patients",
        (
            "Networks learn from training patients; validation patients choose the round; test patients are "
            "held out. Tables 1 and 2, logistic models, support vector machines and the LASSO have no round "
            "to choose: they take training and validation patients together."
        ),
    ),
    ("Alone (local)", "A model that was trained on the patients of one centre only."),
    (
        "Pooled data",
        "A model trained on all patients in one place: possible in a simulation only, shown to compare with.",
    ),
    *(
        (RELATIONS[relation].capitalize(), f"{meaning[0].upper()}{meaning[1:]}.")
        for relation, meaning in RELATION_MEANINGS.items()
        if relation != "given"
    ),
    (
        "Kappa; intraclass correlation (ICC)",
        (
            "How far readings of the same patients agree, on a finding and on a number: 1 is perfect, 0 no "
            "better than chance; Cohen's kappa is of two readings, Fleiss' of three or more at once. In "
            "ICC(2,1) a constant difference between readers is disagreement, too."
        ),
    ),
    (
        "Computed suggestion",
        (
            "What a program makes of CT and mask by the definition of an NCCT marker. It is shown beside the "
            "readers' findings and enters no model."
        ),
    ),
    (
        "Chosen round",
        "The round (or epoch) of training that is kept: the best on validation patients, never on a test.",
    ),
    (
        "AUC",
        (
            "Area under the ROC curve: how often a patient with the outcome scores higher than one without. "
            "0.5 is chance, 1 is perfect."
        ),
    ),
    (
        "95% CI",
        (
            "Confidence interval: in 95 of 100 such studies it would cover the true value. "
            "Few patients make it wide."
        ),
    ),
    (
        "DeLong, exact binomial: intervals of an AUC",
        (
            "DeLong's follows from how the patients' scores vary, on the logit scale so that it stays "
            "between 0 and 1. The exact binomial interval takes AUC times n for successes of n patients, as "
            "the paper and MedCalc do: not a valid interval of an AUC. It stands where the plan asks for it, "
            "and where an AUC of 0 or 1 has no variance."
        ),
    ),
    (
        "P-value",
        (
            "How often chance alone would give a difference at least as large as the one seen, if there were "
            "none. Below 0.05 is called significant."
        ),
    ),
    (
        "SMD, standardised mean difference",
        (
            "Difference of two groups in units of their standard deviation, whatever the number of patients; "
            "above 0.1 is noticeable, above 0.5 large."
        ),
    ),
    (
        "Odds ratio (OR)",
        (
            "By which factor the odds of the outcome change for each unit of a variable, or against the "
            "reference: above 1 more risk, below 1 less. Univariate: the variable alone; multivariable: the "
            "others held constant."
        ),
    ),
    (
        "Firth's penalised likelihood",
        (
            "A logistic regression that still gives an odds ratio where a finding occurs in one group only; "
            "the ordinary one would run to infinity. Its interval holds every odds ratio that the penalised "
            "likelihood does not reject (profile), so that interval and P always agree."
        ),
    ),
    (
        "Variance inflation factor (VIF)",
        "How much a variable repeats what others in the model tell; above 5 its odds ratio is unstable.",
    ),
    (
        "Binning \N{PLUS-MINUS SIGN}, binning bound",
        (
            "Scores are counted in bins, and bins with patients of both outcomes are divided until they "
            "hold one outcome or equal scores. Where they cannot be divided so far, the AUC of the scores "
            "themselves lies within this distance of the printed one; a P has a lower and an upper bound."
        ),
    ),
    (
        "Sensitivity, specificity",
        "Share of patients with the outcome called positive, and of patients without called negative.",
    ),
    (
        "PPV, NPV",
        "Share of positive calls with the outcome, and of negative calls without; both depend on prevalence.",
    ),
    ("F1", "Harmonic mean of PPV and sensitivity."),
    (
        "Given score",
        (
            "A score that stood in the hospitals' tables: a clinical scale, another vendor's model, a "
            "radiologist's estimate. It is judged here as it came."
        ),
    ),
    (
        "DeLong test",
        (
            "Whether two AUCs of the same patients differ by more than chance; the omnibus test asks it of "
            "all models at once."
        ),
    ),
    (
        "McNemar's test",
        (
            "Whether two models' sensitivities (or specificities) differ, from the patients whom only one of "
            "the two called right."
        ),
    ),
    (
        "Holm's correction",
        "Makes several P-values stricter together, so that chance alone seldom makes any of them small.",
    ),
    *RISK_TERMS,
    *VERDICT_TERMS,
    (
        "P for interaction",
        "Whether a model's AUC differs between subgroups by more than chance.",
    ),
    (
        "Q, I\N{SUPERSCRIPT TWO}, \N{GREEK SMALL LETTER TAU}\N{SUPERSCRIPT TWO}, prediction interval",
        (
            "How much a model's AUC differs between centres: Q tests whether by more than chance, "
            "I\N{SUPERSCRIPT TWO} is the share of the differences that is not chance, "
            "\N{GREEK SMALL LETTER TAU}\N{SUPERSCRIPT TWO} their variance; the prediction interval holds the "
            "AUC at 95 of 100 further centres. They need three centres; of two the difference is shown."
        ),
    ),
    (
        "Radiomics feature, LASSO",
        (
            "A number that describes the lesion: one of 851 that are computed from its shape and grey "
            "values, or a column of the hospitals' tables that the plan names. "
            "The LASSO fits all of them at once under a penalty that makes most coefficients 0: the larger "
            "the penalty, the fewer features are left. It is chosen on patients left out in turn. The "
            "Gaussian LASSO fits the outcome as a number, 0 or 1, the binomial one its log odds."
        ),
    ),
    (
        "Support vector machine, random Fourier features",
        (
            "A model whose boundary may bend; it is made of single patients' rows, so that it stays at its "
            "centre. Random Fourier features stand in for its kernel: with them the machine is a weighted "
            "sum, which can travel. C and \N{GREEK SMALL LETTER GAMMA} say how closely it follows its "
            "patients."
        ),
    ),
    (
        "Withheld",
        "A number that too few patients stand behind; it is not shown so that nobody can be recognised.",
    ),
    (
        "Attention map (Grad-CAM)",
        (
            "What in the image spoke for the network's decision; the lightest colour weighs most. Coarse: "
            "few cells across the hematoma. Not a segmentation, no proof."
        ),
    ),
)


def list_terms(study: StudySummary) -> tuple[tuple[str, str], ...]:
    """Every term with its meaning, the study's outcome first."""
    outcome = ((study.endpoint, f"{study.outcome_meaning}."),) if study.outcome_meaning else _EXPANSION
    return (*outcome, *_TERMS)
