"""The terms that the report uses, for a reader who is no statistician."""

from __future__ import annotations

from server.report.words import RELATION_MEANINGS, RELATIONS

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "rHE, revised hematoma expansion",
        (
            "From baseline to follow-up CT the intracerebral hematoma grew by at least 6 mL or 33 %, or the "
            "intraventricular hemorrhage grew by at least 1 mL or appeared de novo (or as the plan says)."
        ),
    ),
    (
        "cHE, conventional hematoma expansion",
        "Growth of the intracerebral hematoma alone, by at least 6 mL or 33 %.",
    ),
    (
        "Federated",
        (
            "Each centre trains on its own patients; only the model's weights travel and are averaged. "
            "No image and no patient's record leaves a centre."
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
    ),
    (
        "Chosen round",
        "The round (or epoch) of training that is kept: the best on validation patients, never on a test.",
    ),
    (
        "AUC",
        (
            "Area under the ROC curve: how often a patient with expansion scores higher than one without. "
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
        "Binning bound",
        (
            "Scores are counted in bins so that no single score leaves a centre; "
            "the AUC of the raw scores lies within this distance of the printed one."
        ),
    ),
    (
        "Sensitivity, specificity",
        "Share of patients with expansion called positive, and of patients without called negative.",
    ),
    (
        "PPV, NPV",
        "Share of positive calls that expand, and of negative calls that do not; both depend on prevalence.",
    ),
    ("F1", "Harmonic mean of PPV and sensitivity."),
    (
        "Withheld",
        "A number that too few patients stand behind; it is not shown so that nobody can be recognised.",
    ),
    (
        "Attention map (Grad-CAM)",
        "Where in the image the network's decision came from: red weighs most. Not a segmentation, no proof.",
    ),
)
