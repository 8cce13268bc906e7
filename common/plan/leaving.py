"""What leaves a hospital under a plan, in plain words: for who writes the plan and who approves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from common.plan.agreement import describe_criterion, group_readings
from common.plan.mapped_cohorts import averages_maps
from common.plan.models import CardModel, LogisticModel, SvmModel
from common.plan.study import StudyPlan
from common.stats.minima import minima_of

STAYING = (
    "CT images, masks, the cohort table, and any single patient's values or scores",
    "file names, patients' identifiers, and the texts of error messages",
)
"""What never leaves a site."""

_IN_EACH_ROUND = (
    "the gradient and curvature of the likelihood; once, sums of the covariates' fourth powers, which tell "
    "whether a value is extreme; and where a combination with the outcome is empty, sums of products of "
    "three covariates, also at the limits of each odds ratio's interval"
)


def describe_hiding(plan: StudyPlan) -> str:
    """Whether and how the sites' numbers are hidden from the coordinator and from each other."""
    if not plan.hides_sums:
        return "NOT HIDDEN: the coordinator sees this hospital's own numbers for everything above."
    networks = ", the summed change of a network in each round" if plan.networks else ""
    return (
        "What is added up over several hospitals leaves masked: nobody can read anything but the sum. No sum "
        "hides what this hospital contributes alone; it is shown separately: its flow chart, its column of "
        "Table 1, models evaluated on its patients, and a model of its patients alone, if released.\n\n"
        "This hospital answers only questions that follow from this plan: it runs the study's program "
        "itself, over sums that it has checked. For that, sums come back to the hospitals that are in them, "
        "and to no other: how many patients stand behind each number, moments and gradients of regressions "
        f"and calibrations, histograms of scores{networks}; never one hospital's part, and no cross-products "
        "of features. " + _describe_returned(plan)
    )


def _describe_returned(plan: StudyPlan) -> str:
    """What the sums that come back tell other hospitals."""
    if len(plan.sites) == 2:
        return "With two hospitals, each learns the other's part of them by subtracting its own."
    return (
        "From sums over some and over all hospitals, another hospital can work out by subtraction numbers of "
        "patients of one that is in the larger sum alone."
    )


def list_leaving(plan: StudyPlan, name: str, *, synthetic: bool = False) -> list[str]:
    """What leaves one site of the plan, an item a line.

    Parameters
    ----------
    plan : StudyPlan
    name : str
        The site.
    synthetic : bool
        Whether the site says that all of its patients are simulated.

    Raises
    ------
    PlanError
        If the plan has no such site.
    """
    site = plan.site(name)
    items = [
        f"counts: patients screened, excluded per reason, included, with and without {_name_outcome(plan)}",
        *_list_statistics(plan, trains=site.role == "train"),
        "software versions and the name of the processor",
    ]
    if site.role == "train" and plan.networks and _trains_together(plan):
        networks = ", ".join(model.name for model in plan.networks)
        items.insert(
            0,
            f"model updates: the weights of {networks} after training on this site's patients, in each of "
            f"{_count_rounds(plan)}. Weights can hold traces of the patients they were trained on"
            f"{_tell_control_variates(plan)}",
        )
    if site.model_release and plan.trained_models:
        models = ", ".join(model.name for model in plan.trained_models)
        items.append(
            f"RELEASE: the models trained on this hospital's patients alone ({models}), to be tested "
            "at other hospitals; with means and standard deviations of their covariates, and with how "
            "radiomics features were selected"
        )
    if synthetic and plan.networks and "explanation" in plan.phases:
        items.append("attention maps over CT slices (this folder declares its patients synthetic)")
    return items


def _count_rounds(plan: StudyPlan) -> str:
    rounds, stopping = plan.federation.rounds, plan.federation.early_stopping
    if stopping is None:
        return f"{rounds} rounds"
    gain = f" by more than {stopping.minimum_gain:g}" if stopping.minimum_gain else ""
    return (
        f"at most {rounds} rounds, fewer if {stopping.patience} of them in a row do not raise{gain} how well "
        "the network does on all hospitals' validation patients; the coordinator says when that is"
    )


def _tell_control_variates(plan: StudyPlan) -> str:
    """What SCAFFOLD does at a site, and that nothing more leaves for it."""
    if not plan.federation.control_variates:
        return ""
    return (
        ". SCAFFOLD: each step of the training is corrected by how the mean gradient of this hospital's "
        "patients differs from that of all hospitals'. This hospital keeps its own, and computes that of all "
        "from the models of the last two rounds, so nothing more leaves for it. A round waits until all "
        "hospitals are there"
    )


def describe_card(plan: StudyPlan, model: CardModel) -> str:
    """What a model of an earlier study is, whose it is, and where it is judged fairly."""
    (arm,), kinds = plan.arms_of(model), {"cnn": "a network", "logistic": "a logistic regression"}
    what = kinds.get(model.computes, "a support vector machine")
    takes = f" of {', '.join(model.covariates)}" if model.covariates else ""
    seen = ""
    if arm.sites:
        seen = (
            f"; patients of {', '.join(arm.sites)} may have trained it, so results that include them are no "
            "test of it, and it is compared on other hospitals' patients alone"
        )
    return (
        f"{what}{takes}, trained by {', '.join(model.trained_by)} in an earlier study and not changed here; "
        f"file {model.file} of {model.bytes:,} bytes, SHA-256 {model.sha256}; risks from {model.threshold:g} "
        f"are called positive{seen}"
    )


_ON_SEVERAL = (
    "; of three or more readings at once, sums over all of their masks, and in how many patients how many of "
    "them see a marker"
)


def _trains_together(plan: StudyPlan) -> bool:
    """Whether sites train together; a model of one hospital alone is trained there, without any round."""
    return "training" in plan.phases and any(arm.kind == "federated" for arm in plan.all_arms())


def _list_readers(plan: StudyPlan) -> str:
    """How many readers read in how many sessions."""
    sessions = [reader.sessions for reader in plan.agreement.readers]
    return f"{len(sessions)} readers, {' + '.join(map(str, sessions))} sessions"


def _list_statistics(plan: StudyPlan, *, trains: bool) -> Iterator[str]:
    """What each phase of statistics asks for, after counting the patients behind each number."""
    yield (
        "before every table: how many patients stand behind each number, and behind each fold of a "
        "cross-validation in every number of folds that it may have; whether this hospital has too few "
        "patients, or has already released numbers of a cohort that differs in too few patients"
    )
    if "agreement" in plan.phases:
        yield (
            f"agreement of repeated readings ({_list_readers(plan)}): sums of the volumes measured on two "
            "masks of the same CT, and how often two readers, or a reader and a computed suggestion, see "
            "each of nine markers or not"
            + (_ON_SEVERAL if any(len(group) > 2 for group in group_readings(plan.agreement)) else "")
        )
    together = trains and _trains_together(plan)
    if plan.takes_radiomics and plan.radiomics.readings and together:
        yield (
            "reproducible radiomics: for 851 features of patients who were read twice, sums and sums of "
            "squares in all readings "
            f"({', '.join(describe_criterion(reading) for reading in plan.radiomics.readings)})"
            + ("" if plan.agreement.same_readers else "; those of this hospital are evaluated separately")
        )
    if "cohort" in plan.phases:
        yield (
            f"Table 1: sums and histograms of {_name_described(plan)} with and without "
            f"{plan.cohort.outcome.noun}, of all patients here, and of those used for training and testing. "
            "This hospital's own are shown if it has enough patients"
        )
    if "regression" in plan.phases and trains:
        yield (
            f"regressions of {len(plan.regression.candidates)} variables: sums of the covariates' products, "
            f"and in each of some thirty rounds {_IN_EACH_ROUND}{_tell_rare_pairs(plan)}{_tell_missing(plan)}"
        )
    if together:
        yield from _list_table_models(plan)
    if "evaluation" in plan.phases:
        evaluation = plan.evaluation
        scores = [model.column for model in plan.scores]
        named = f" (among them {_name_columns(scores)})" if scores else ""
        yield (
            f"for each of {len(plan.models)} models{named}: scores counted in {evaluation.bins} bins by "
            "outcome; bins that patients with and without it share are divided until they do not, or "
            "the scores in them are equal (for one hospital alone these are nearly its patients' scores, "
            "without their names), "
            "calls at the operating point, calibration, net benefit, and how two models' calls differ"
        )
    if averages_maps(plan):
        yield _describe_mean_maps(plan)


def _describe_mean_maps(plan: StudyPlan) -> str:
    """What is summed of attention maps, and what is left out of the sums."""
    minima = minima_of(plan.profile)
    return (
        f"sums of attention maps: where each network looks, on average over the tested patients with "
        f"{plan.cohort.outcome.noun} and over those without, and how much of the same places their lesions "
        "cover; in cells of 5 mm, up to 60 mm from the lesion's centre, of all patients of a group of "
        f"hospitals (at least {minima.group} with the same outcome), and of this hospital's alone (at least "
        f"{max(minima.group, minima.site_patients)}). Where fewer than {minima.cell} patients here have "
        "something in a cell, 0 is sent"
    )


def _name_described(plan: StudyPlan) -> str:
    """The variables of Table 1: all by name where the plan lists them."""
    if plan.cohort.described is not None:
        return f"the variables {', '.join(plan.cohort.described)}"
    own = [planned.name for planned in plan.variables if planned.role == "baseline"]
    return "every variable" + (f" (among them the plan's own: {', '.join(own)})" if own else "")


def _name_columns(columns: Sequence[str]) -> str:
    return f"the table's column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"


def _name_outcome(plan: StudyPlan) -> str:
    """What patients have who reached the outcome; of a column, with its heading and what it means."""
    outcome = plan.cohort.outcome
    return outcome.noun if outcome.by_volumes else f"{outcome.noun} ({outcome.column}: {outcome.meaning})"


def _tell_rare_pairs(plan: StudyPlan) -> str:
    """What follows for few patients with levels of two covariates, where the plan accepts that."""
    if not plan.regression.rare_pairs_accepted:
        return ""
    return (
        "; ALSO OF FEW PATIENTS WHO SHARE TWO TRAITS (the plan accepts that: of one alone, the other "
        "covariates can be computed from these rounds)"
    )


def _tell_missing(plan: StudyPlan) -> str:
    """What follows for few patients who lack a value, where models leave them out."""
    if plan.regression.missing != "complete-case":
        return ""
    return (
        ". A model leaves out whoever lacks a value of its variables: where few do, sums with and without "
        "them tell their outcome and other variables"
    )


def _name_features(plan: StudyPlan) -> str:
    columns = plan.selectable_columns
    return _name_columns(columns) if columns else "851 features of the lesions"


def _list_table_models(plan: StudyPlan) -> Iterator[str]:
    """What fitting models of the table over several sites asks of a site that trains."""
    if plan.takes_radiomics:
        products = (
            "for ALL features (the plan waives the limit: with fewer than two patients a feature, the "
            "patients' rows can nearly be computed from these products)"
            if plan.radiomics.wide_gram_accepted
            else "for at most as many features as half the patients of the smallest fold"
        )
        yield (
            f"radiomics: sums of {_name_features(plan)}, of their squares, of their products with the "
            f"outcome, and of products of features with each other, {products}; in each of "
            f"{plan.radiomics.folds} folds, or of fewer where the patients do not carry as many"
        )
        if plan.radiomics.family == "binomial":
            yield (
                "the LASSO is binomial: it asks for these products again and again, in each of some 300 to "
                "400 rounds, with other weights of the patients each time, and for the gradient of the "
                "likelihood, for all patients and without each fold. So many sums narrow down the patients' "
                "rows further than the Gaussian LASSO's do"
            )
    if plan.regressions:
        names = ", ".join(model.name for model in plan.regressions)
        yield (
            f"logistic models ({names}): sums of the covariates' products, and in each round {_IN_EACH_ROUND}"
            f"{_tell_rare_pairs(plan)}"
        )
    for model in plan.table_models:
        if isinstance(model, SvmModel):
            yield (
                f"support vector machine {model.name}: gradients and curvatures of a regression on up to "
                f"{model.fourier_features} random features, in each of at most {model.folds} folds. Support "
                "vectors, which are patients' rows, stay here"
            )
        elif not isinstance(model, LogisticModel):
            assert_never(model)
