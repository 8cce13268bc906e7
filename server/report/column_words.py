"""What each CSV file and each of its columns means: columns.csv beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from common.runtime.setting_keys import list_keys
from server.results.evaluation import Calibration

TABLES: Mapping[str, str] = {
    "flow": "Patients of each site from screening to inclusion, and why patients were excluded",
    "parts": "Patients of each part of each site's data",
    "cohort": "Who the patients are: each variable in patients with and without the outcome",
    "training": "Learning curves: one row for each round of a federated network or epoch of another",
    "performance": "Every model on every cohort",
    "roc": "ROC curves: one row for each step",
    "regression": "What predicts the outcome, variables alone and together",
    "fitted": "Coefficients of the logistic models",
    "comparisons": "Two models on the same patients: DeLong's and McNemar's tests",
    "net_benefit_differences": "Net benefit of the first model minus that of the second, by threshold",
    "calibration": "Whether predicted risks are true, for each model and cohort",
    "reliability": "Reliability diagrams: one row for each group of similar predicted risk",
    "decision": "Decision curves: one row for each threshold probability",
    "subgroups": "AUC within each level of the variables that the plan names",
    "heterogeneity": "How far a model's AUC differs between centres",
    "centre_aucs": "AUC of each model at each centre",
    "mean_attention": "Mean attention map about the lesion's centre: one row for each cell of 5 mm",
    "carry_over": "Whether each model carries over to centres that did not train it, as the first page says",
    "seeds": "AUC of each training of a network with several seeds, and how far they spread",
    "agreement": "How far repeated readings and computed suggestions agree",
    "feature_agreement": "How far radiomics features agree between repeated segmentations",
    "selections": "Radiomics features that the LASSO selected in each arm",
    "lasso_path": "Cross-validation of the LASSO, by penalty",
    "lasso_coefficients": "Coefficient of each selected feature, by penalty",
    "machines": "Support vector machines",
    "contributors": "Which centres trained each federated network, and in how many rounds",
    "table1": "The page's Table 1, with its footnotes below",
    "table2": "The page's Table 2, with its footnotes below",
    "table3": "The page's Table 3, with its footnotes below",
    "table_s3": "The page's table of radiomics features, with its footnotes below",
}
"""What a row of each file is about."""

_PATIENTS, _SHARE = "patients", "0 to 1"
_WORDS: Mapping[str, tuple[str, str]] = {
    "site": ("", "Name of the centre in the plan; all: all centres together"),
    "step": ("", "Step of the flow chart"),
    "part": ("", "train, validation or test patients, or whole: all of them"),
    "cohort": ("", "Centres whose patients these are, joined by +"),
    "model": ("", "Name of the model in the plan"),
    "arm": ("", "On whose patients it was trained: federated, local-SITE, pooled, or given"),
    "relation": ("", "What the model had seen of the cohort: external, internal, seen centre, selection, …"),
    "trained_by": ("", "Centres whose patients trained the model, joined by +"),
    "partial": ("1 or 0", "1: a centre missed rounds of the training"),
    "first_model": ("", "The reference of the comparison"),
    "first_arm": ("", "Arm of the reference"),
    "second_model": ("", "The model that it is compared with"),
    "second_arm": ("", "Arm of that model"),
    "patients": (_PATIENTS, "Number of patients; blank where it may not be shown"),
    "positive": (_PATIENTS, "With the outcome; blank where the number may not be shown"),
    "negative": (_PATIENTS, "Without the outcome; blank where the number may not be shown"),
    "used": (_PATIENTS, "From whom the numbers of the row are"),
    "missing": (_PATIENTS, "Left out for want of a value"),
    "status": ("", "ok; or suppressed or undefined, and why a number is blank"),
    "reason": ("", "Why a number is blank"),
    "variable": ("", "Name of the variable in the plan"),
    "label": ("", "The variable in words"),
    "level": ("", "Level of a categorical variable; blank of others"),
    "unit": ("", "Unit of the variable"),
    "group": ("", "positive: with the outcome; negative: without"),
    "percent": ("percent", "Share of the group's patients with a value"),
    "mean": ("unit of the variable", "Mean"),
    "sd": ("unit of the variable", "Standard deviation"),
    "first_quartile": ("unit of the variable", "First quartile"),
    "median": ("unit of the variable", "Median"),
    "third_quartile": ("unit of the variable", "Third quartile"),
    "p_value": (_SHARE, "P-value, two-sided"),
    "p": (_SHARE, "P-value, two-sided"),
    "test": ("", "Test of the P-value"),
    "statistic": ("", "Test statistic"),
    "note": ("", "What a reader must know of the test"),
    "smd": ("standard deviations", "Standardised mean difference: with the outcome minus without"),
    "resolution": ("unit of the variable", "Step to which values were rounded before they were ranked"),
    "number": ("", "Round of a federated network, epoch of another"),
    "loss": ("nats a patient", "Mean training loss"),
    "validation_auc": (_SHARE, "AUC on the validation patients"),
    "chosen": ("1 or 0", "1: this one was kept"),
    "contributors": ("", "Centres that trained this round, joined by +"),
    "called": ("", "Patients are called positive from, or up to, the threshold"),
    "threshold": ("score's own unit", "Threshold of the score or of the risk"),
    "true_positive": (_PATIENTS, "With the outcome, called positive"),
    "false_negative": (_PATIENTS, "With the outcome, called negative"),
    "false_positive": (_PATIENTS, "Without the outcome, called positive"),
    "true_negative": (_PATIENTS, "Without the outcome, called negative"),
    "auc": (_SHARE, "Area under the ROC curve, of scores in bins"),
    "auc_error_bound": (_SHARE, "How far the AUC of the scores themselves can be from it"),
    "auc_interval_bound": (_SHARE, "How far each limit of the scores' own interval can be from the one here"),
    "accuracy": (_SHARE, "Share of patients called right, at the threshold"),
    "sensitivity": (_SHARE, "Share called positive, of patients with the outcome"),
    "specificity": (_SHARE, "Share called negative, of patients without the outcome"),
    "ppv": (_SHARE, "Share with the outcome, of patients called positive"),
    "npv": (_SHARE, "Share without the outcome, of patients called negative"),
    "f1": (_SHARE, "Harmonic mean of ppv and sensitivity"),
    "false_positive_rate": (_SHARE, "1 minus specificity"),
    "true_positive_rate": (_SHARE, "Sensitivity"),
    "low": ("as the value", "Lower limit of the 95% confidence interval"),
    "high": ("as the value", "Upper limit of the 95% confidence interval"),
    "interval": ("", "Method of the confidence interval"),
    "method": ("", "How the numbers of the row were found"),
    "reference": ("1 or 0", "1: the level with which others are compared"),
    "entered": ("1 or 0", "1: the variable entered the multivariable model"),
    "odds_ratio": ("per unit", "Odds ratio of the outcome, for one unit or against the reference level"),
    "p_likelihood_ratio": (_SHARE, "P-value of the (penalised) likelihood ratio"),
    "inflation": ("", "Variance inflation factor: above 5 others tell much of the same"),
    "largest_share": (_SHARE, "Least share of the variable's variance that one patient makes up"),
    "intercept": ("log odds", "Intercept of the model"),
    "model_status": ("", "Whether there is a model, and if not, why"),
    "difference": (_SHARE, "AUC of the first minus that of the second"),
    "difference_bound": (_SHARE, "How far the scores' own difference can be from it"),
    "p_least": (_SHARE, "Smallest P-value that the scores themselves can have"),
    "p_most": (_SHARE, "Largest P-value that the scores themselves can have"),
    "p_adjusted": (_SHARE, "P-value adjusted for several comparisons (Holm)"),
    "only_first": (_PATIENTS, "Called right by the first alone"),
    "only_second": (_PATIENTS, "Called right by the second alone"),
    "chi_squared": ("", "Test statistic of the hypothesis that all models have the same AUC"),
    "degrees_of_freedom": ("", "Its degrees of freedom"),
    "predicted": (_SHARE, "Mean predicted risk of the group"),
    "observed": (_SHARE, "Share of the group with the outcome"),
    "net_benefit": ("true positives a patient", "Net benefit of the model at the threshold"),
    "treat_all": ("true positives a patient", "Net benefit of treating everybody"),
    "gain_over_treat_all": (
        "true positives a patient",
        "Net benefit of the model minus that of treating all",
    ),
    "p_interaction": (_SHARE, "P-value for interaction: whether the AUC differs between levels"),
    "p_method": ("", "Test of that P-value"),
    "p_status": ("", "Why there is no such P-value"),
    "sites": ("centres", "Number of centres; or their names, joined by +"),
    "sites_excluded": ("centres", "Left out for too few patients"),
    "prediction_low": (_SHARE, "Lower limit of the 95% prediction interval at another centre"),
    "prediction_high": (_SHARE, "Upper limit of the 95% prediction interval at another centre"),
    "q": ("", "Cochran's Q between centres"),
    "i_squared": (_SHARE, "Share of the variation that lies between centres"),
    "tau_squared": ("", "Variance between centres, on the logit scale"),
    "per_site": ("1 or 0", "1: centre_aucs.csv has each centre's own AUC"),
    "largest_auc_error_bound": (_SHARE, "Largest of the centres' bounds of the AUC"),
    "compared": ("", "ok; or why the centre is not compared"),
    "left_mm": ("mm", "Centre of the cell to the patient's left of the lesion's centre; negative: right"),
    "back_mm": ("mm", "Centre of the cell behind the lesion's centre; negative: in front"),
    "attention": (_SHARE, "Mean attention; blank where too few patients have something"),
    "lesion": (_SHARE, "Mean share of the cell that lesions cover; blank likewise"),
    "training": ("", "Number of the training; 1 stands in every other table"),
    "trained_as": ("", "Name of the training in the plan and in the run's folders"),
    "lowest": (_SHARE, "Smallest AUC of all trainings"),
    "highest": (_SHARE, "Largest AUC of all trainings"),
    "verdict": ("", "The word on the first page"),
    "discrimination": ("", "Whether it ranks patients, in words"),
    "against_home": (
        "",
        "Whether the AUC is lower than on the training centres' held-out patients, in words",
    ),
    "risks": ("", "Whether the risks are right, in words"),
    "use": ("", "Whether acting on it helps, in words"),
    "home": ("", "Centres of the internal test that it is compared with"),
    "kind": ("", "What was read: volume, marker, computed suggestion"),
    "name": ("", "Name of what was read"),
    "reader": ("", "Who read a second time"),
    "readings": ("", "The readings that are compared, joined by +"),
    "value": ("-1 to 1", "Intraclass correlation or Cohen's kappa: 1 is perfect, 0 chance"),
    "null_error": ("", "Standard error of Fleiss' kappa if readers agreed by chance alone"),
    "reading": ("", "The repeated segmentation"),
    "form": ("", "Form of the intraclass correlation"),
    "feature": ("", "Name of the radiomics feature"),
    "icc": ("-1 to 1", "Intraclass correlation"),
    "retained": ("1 or 0", "1: reproducible, so offered to the LASSO"),
    "coefficient_per_sd": ("per standard deviation", "Coefficient of the LASSO"),
    "coefficient_per_unit": ("per unit of the feature", "The same coefficient for one unit"),
    "penalty": ("", "Penalty λ of the LASSO"),
    "candidates": ("features", "Offered to the LASSO"),
    "prescreened": ("features", "Left by the prescreening"),
    "family": ("", "gaussian: fitted to 0 and 1; binomial: to the log odds"),
    "rounds": ("rounds", "Rounds of messages, or of training"),
    "folds": ("folds", "Folds of the cross-validation"),
    "planned_folds": ("folds", "As many as the plan has"),
    "fold_reason": ("", "Why there are fewer"),
    "validation_error": ("", "Mean cross-validated error"),
    "standard_error": ("", "Standard error of it"),
    "features": ("features", "With a coefficient that is not 0"),
    "covariates": ("", "Variables of the model, joined by +"),
    "c": ("", "Cost C of the machine"),
    "gamma": ("", "Width of its kernel, of z-scores"),
    "fourier_features": ("features", "Random Fourier features of the linear form"),
    "criterion": ("", "AUC at one centre, mean log-likelihood over centres, in the cross-validation"),
    "deviation": (_SHARE, "Root mean square difference of its risks and the exact machine's"),
}
_SPECIAL: Mapping[tuple[str, str], tuple[str, str]] = {
    ("contributors", "chosen"): ("", "Round that was kept"),
    ("seeds", "chosen"): ("", "Round or epoch that was kept"),
    ("seeds", "median"): (_SHARE, "Median AUC of all trainings"),
    ("seeds", "sd"): (_SHARE, "Standard deviation of their AUCs"),
    ("contributors", "patients"): (_PATIENTS, "Training patients of the centre"),
    ("contributors", "rounds"): ("rounds", "In which the centre took part"),
    ("decision", "threshold"): (_SHARE, "Risk from which one would act"),
    ("net_benefit_differences", "threshold"): (_SHARE, "Risk from which one would act"),
    ("net_benefit_differences", "difference"): ("true positives a patient", "First model minus second"),
    ("carry_over", "difference"): (_SHARE, "AUC there minus AUC at home"),
    ("heterogeneity", "difference"): (
        _SHARE,
        "Of two centres: AUC of the first minus that of the second",
    ),
    ("selections", "mean"): ("unit of the feature", "Mean over the arm's training patients"),
    ("selections", "sd"): ("unit of the feature", "Standard deviation over the arm's training patients"),
    ("heterogeneity", "p_value"): (_SHARE, "P-value of Q; of two centres, of their difference"),
    ("heterogeneity", "auc"): (_SHARE, "Mean over centres (random effects)"),
    ("agreement", "statistic"): ("", "Name of the statistic"),
    ("fitted", "reference"): ("1 or 0", "1: the level with which others are compared"),
}
_PREFIXES: Mapping[str, str] = {
    "univariate_": "Alone: ",
    "multivariable_": "With the others: ",
    "sensitivity_": "Patients with the outcome: ",
    "specificity_": "Patients without the outcome: ",
    "omnibus_": "Test of all models together: ",
}
_ENDS: Mapping[str, str] = {
    "_low": "Lower limit of the 95% confidence interval of {}",
    "_high": "Upper limit of the 95% confidence interval of {}",
    "_method": "Method of the interval of {}",
    "_status": "ok; or why there is no {}",
}
COLUMNS_HEADING = ("table", "column", "unit", "meaning")


def list_column_meanings(headings: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str, str]]:
    """The rows of columns.csv: of each table what it holds, then each of its columns.

    Parameters
    ----------
    headings : Mapping
        The columns of each file by its name; none of a table that is laid out as on the page.
    """
    for table, columns in headings.items():
        yield (table, "", "", TABLES.get(table, ""))
        for column in columns:
            yield (table, column, *describe_column(table, column))


def describe_column(table: str, column: str) -> tuple[str, str]:
    """Unit and meaning of one column; empty texts where nobody has written them."""
    known = _SPECIAL.get((table, column)) or _describe_record(table, column) or _WORDS.get(column)
    if known is not None:
        return known
    for end, words in _ENDS.items():
        name = column.removesuffix(end)
        if name != column and any(describe_column(table, name)):
            numeric = end in {"_low", "_high"}
            return describe_column(table, name)[0] if numeric else "", words.format(name)
    for start, words in _PREFIXES.items():
        if column.startswith(start):
            unit, meaning = describe_column(table, column.removeprefix(start))
            return (unit, f"{words}{meaning[:1].lower()}{meaning[1:]}") if meaning else ("", "")
    return "", ""


def _describe_record(table: str, column: str) -> tuple[str, str] | None:
    """Of calibration.csv, whose columns are those of its record: as the record says."""
    if table != "calibration":
        return None
    meanings = {key.name: key.meaning for key in list_keys(Calibration)}
    return ("", meanings[column].rstrip(".")) if column in meanings else None
