"""deploy/plans/paper.toml is the paper: each setting beside the sentence of Ning et al. (2025) for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.cohort.schema import TABLE_ONE
from common.cohort.split import Fractions, draw_split
from common.plan.agreement import ReadingComparison, list_comparisons
from common.plan.design import covariate_label, design_of
from common.plan.models import BRAIN, INDEPENDENT, RADIOMICS, LogisticModel, SvmModel
from common.plan.study import load_plan
from common.radiomics.features import FEATURES
from common.radiomics.settings import PARAMETERS

PLAN = Path(__file__).parents[3] / "deploy/plans/paper.toml"


@pytest.fixture(scope="module")
def paper():
    return load_plan(PLAN)


def test_one_centre_trains_and_the_other_is_external(paper):
    """The paper: "556 patients from center 1 were divided into a training set (389) and an internal-testing
    set (167) via a 7:3 stratified random sampling method, and all 219 patients from center 2 formed an
    independent external-testing set." Of the 556, 169 expand: 118 in training, 51 in internal testing
    (Table 1).
    """
    assert [(site.name, site.role) for site in paper.sites] == [("center1", "train"), ("center2", "external")]
    assert (paper.cohort.training_fraction, paper.cohort.validation_fraction) == (0.7, 0)
    assert [(arm.kind, arm.sites) for arm in paper.all_arms()] == [("local", ("center1",))]
    names = [str(number) for number in range(556)]
    fractions = Fractions(paper.cohort.training_fraction, paper.cohort.validation_fraction)
    split = draw_split(names, [number < 169 for number in range(556)], fractions, paper.seed)
    assert (len(split.train), len(split.validation), len(split.test)) == (389, 0, 167)
    assert [sum(int(name) < 169 for name in part) for part in (split.train, split.test)] == [118, 51]


def test_expansion_is_rhe(paper):
    """The paper: "absolute increase in ICH volume >= 6 mL or relative increase >= 33%, increase in IVH
    volume >= 1 mL, or de novo IVH".
    """
    outcome = paper.cohort.outcome

    assert outcome.endpoint == "rHE"
    assert (outcome.ich_absolute_ml, outcome.ich_relative, outcome.ivh_absolute_ml) == (6, 0.33, 1)


def test_images_are_resampled_windowed_and_cropped_as_described(paper):
    """The paper: "uniform voxel spacing of 1.0 x 1.0 x 5.0 mm"; "the largest 2D rectangular region and
    smallest 3D bounding box of the hematoma"; "a window width of 80 HU and window level of 40 HU".
    """
    recipe = paper.preprocessing

    assert recipe.spacing_mm == (1.0, 1.0, 5.0)
    assert (recipe.window_width_hu, recipe.window_level_hu) == (80, 40)
    assert (recipe.lesion, recipe.margin_mm, recipe.scaling, recipe.slices) == ("ICH", 0, "fit", 1)


def test_eight_networks_are_trained_as_described(paper):
    """The paper: "ResNet-101, ResNet-152, DenseNet-121, DenseNet-201 based on 2D/3D images"; 2D: "224 x 224
    pixels, with a batch size of 128", "pretraining on the ImageNet"; 3D: "112 x 112 x 112 voxels, with a
    batch size of 16", "lack of pretrained model weights"; "a dropout layer with a rate of 0.5"; "random
    horizontal flipping, cropping, and translation"; "The Adam optimizer was used with a learning rate of
    0.01 and 100 epochs".
    """
    families = ("resnet101", "resnet152", "densenet121", "densenet201")
    found = [
        (net.dimensions, net.family, net.shape.size, net.settings.batch_size, net.initialisation)
        for net in paper.networks
    ]

    assert found == [
        *((2, family, 224, 128, "imagenet") for family in families),
        *((3, family, 112, 16, "random") for family in families),
    ]
    assert paper.federation.rounds * paper.federation.local_epochs == 100
    for net in paper.networks:
        settings = net.settings
        assert (net.dropout, settings.learning_rate, settings.weight_decay) == (0.5, 0.01, 0)
        assert settings.flip
        assert settings.crop_fraction > 0
        assert settings.translation_fraction > 0
        assert (settings.class_weighting, settings.batch_norm_statistics) == ("none", "running")


def test_networks_are_named_as_in_table_3(paper):
    assert [model.name for model in paper.models] == [
        *(f"2D-{name}" for name in ("ResNet-101", "ResNet-152", "DenseNet-121", "DenseNet-201")),
        *(f"3D-{name}" for name in ("ResNet-101", "ResNet-152", "DenseNet-121", "DenseNet-201")),
        "BRAIN-score",
        "Clinical-radiologic",
        "Combined-logistic",
        "Combined-SVM",
    ]


def test_predictors_are_found_and_not_written_in(paper):
    """The paper: "Univariate logistic regression analysis ... Variables with p < 0.05 were included in
    multivariate logistic regression analysis to identify independent predictors"; "(2) a logistic
    regression model using independent clinical-radiologic predictors; (3) a combined-logistic model; and
    (4) a combined-SVM model, both incorporating radiomics features and independent clinical-radiologic
    predictors".
    """
    brain, clinical, combined, machine = paper.table_models

    assert "regression" in paper.phases
    assert paper.regression.entry_p == 0.05
    assert paper.regression.candidates == tuple(variable.name for variable in TABLE_ONE)
    assert paper.regression.missing == "complete-case"
    assert (brain.covariates, clinical.covariates) == ((BRAIN,), (INDEPENDENT,))
    assert combined.covariates == machine.covariates == (INDEPENDENT, RADIOMICS)
    assert [type(model) for model in (brain, clinical, combined)] == [LogisticModel] * 3
    assert isinstance(machine, SvmModel)


def test_a_of_the_brain_score_is_anticoagulation(paper):
    """The paper: "A for anticoagulation treatment"."""
    assert paper.cohort.brain_a == design_of(paper).brain_a == "anticoagulation"
    assert covariate_label(BRAIN, paper.cohort.brain_a) == "BRAIN score (A: any anticoagulation)"


def test_two_radiologists_read_and_one_of_them_twice(paper):
    """The paper: "two radiologists (A ... and B ...)"; "One month later, radiologist A performed a second
    independent assessment"; "Inter- and intra-observer agreement of the subjective CT image features was
    evaluated using Cohen's kappa coefficient"; "intraclass and interclass correlation coefficients" of
    the segmentations.
    """
    comparisons = list_comparisons(paper.agreement)

    assert "agreement" in paper.phases
    assert [(reader.name, reader.sessions) for reader in paper.agreement.readers] == [
        ("Radiologist A", 2),
        ("Radiologist B", 1),
    ]
    assert paper.agreement.same_readers
    for again in ("intra", "inter"):
        for kind, name in (
            ("marker", "hypodensity"),
            ("volume", "ich_volume_ml"),
            ("volume", "ivh_volume_ml"),
        ):
            assert ReadingComparison(kind, name, ("first", again)) in comparisons


def test_radiomics_are_stable_and_selected_by_the_lasso(paper):
    """The paper: "fixed bin width of 25 Hounsfield units"; "851 features ... from each 3D VOI"; "Features
    with high inter- and intragroup stability (ICC > 0.80) were retained"; "selected with the ... LASSO".
    488 went in.
    """
    radiomics = paper.radiomics

    assert "binWidth: 25" in PARAMETERS.read_text()
    assert len(FEATURES) == 851
    assert radiomics.voi == "ICH"
    assert set(radiomics.readings) == set(paper.feature_readings) == {"intra", "inter"}
    assert (radiomics.icc_threshold, radiomics.icc_judged) == (0.80, "value")
    assert radiomics.family == "binomial"
    # Otherwise the LASSO would be given half as many features as the smallest fold has patients
    assert radiomics.wide_gram_accepted


def test_models_are_judged_and_compared_as_described(paper):
    """The paper: "a predicted probability of 0.5"; "McNemar's"; "The DeLong test"; "two-sided p-value <
    0.05". The intervals of MedCalc 20 are binomial exact; P values are unadjusted; Fig. 7 compares with
    the 2D-ResNet-101.
    """
    evaluation = paper.evaluation

    assert (evaluation.threshold, evaluation.operating_point) == (0.5, "fixed")
    assert (paper.profile, paper.interval) == ("replication", "mc_binomial")
    assert (evaluation.reference_model, evaluation.adjustment) == ("2D-ResNet-101", "none")
    assert {"evaluation", "explanation", "cohort"} <= set(paper.phases)
