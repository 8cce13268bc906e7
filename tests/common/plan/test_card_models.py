"""A plan's models of earlier studies: their keys, what is fair to them, and their frozen thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from sites.plans import LOGISTIC, NETWORK, SCALE, plan_of

from common.errors import ProtocolError
from common.imaging.recipe import InputShape
from common.messages.carried_file import pack_file, unpack_file
from common.plan.comparisons import find_compared_tables
from common.plan.matrix import cohorts_of, find_comparable, relation_of, scorers_of
from common.plan.message_size import largest_message
from common.plan.needed_columns import list_named_columns
from common.program.cutoffs import choose_thresholds, fixed_threshold_of
from common.program.study_program import list_procedures

CARD = {
    "kind": "card",
    "name": "Old",
    "file": "old.json",
    "sha256": "5" * 64,
    "bytes": 4000,
    "computes": "logistic",
    "trained_by": ["a", "elsewhere"],
    "threshold": 0.3,
    "covariates": ["brain_score"],
}
OLD_NETWORK = CARD | {
    "name": "OldNet",
    "file": "old.safetensors",
    "computes": "cnn",
    "covariates": [],
    "dimensions": 2,
    "input_size": 32,
}


def find_relations(plan):
    (scorer,) = [scorer for scorer in scorers_of(plan) if scorer.arm.kind == "earlier"]
    return {(cohort.sites, cohort.part): relation_of(scorer, cohort) for cohort in cohorts_of(plan)}


def test_centres_that_trained_it_are_no_test_of_it():
    plan = plan_of({"a": "external", "b": "external", "c": "external"}, CARD)

    assert find_relations(plan) == {
        (("a",), "whole"): "seen centre",
        (("b",), "whole"): "external",
        (("c",), "whole"): "external",
        (("a", "b", "c"), "whole"): "seen centre",
    }
    fair = [cohort.sites for cohort in cohorts_of(plan) if find_comparable(plan, cohort)]
    assert fair == [("b",), ("c",)]


def test_no_part_of_a_training_centre_is_held_out_from_it():
    plan = plan_of({"a": "train", "b": "train", "c": "external"}, LOGISTIC, CARD)

    relations = find_relations(plan)
    assert {relation for (sites, _), relation in relations.items() if "a" in sites} == {"seen centre"}
    assert {relation for (sites, _), relation in relations.items() if "a" not in sites} == {"external"}


def test_it_is_compared_with_models_of_every_arm_and_with_given_scores():
    plan = plan_of({"a": "train", "b": "train", "c": "external"}, LOGISTIC, CARD, SCALE)
    scorers = scorers_of(plan)

    tables = find_compared_tables(plan, [True] * len(scorers), "Old")

    at_c = {
        (scorers[other].model.name, scorers[other].arm.name)
        for table in tables
        if table.cohort.sites == ("c",)
        for other in table.others
    }
    assert at_c == {("Clinical", "federated"), ("Scale", "given")}
    assert not [table for table in tables if "a" in table.cohort.sites]


def test_no_training_and_no_gpu_is_needed():
    plan = plan_of({"a": "external", "b": "external"}, CARD)

    assert [procedure.name for procedure in list_procedures(plan)] == [
        "preparation",
        "cohort",
        "scoring Old earlier",
        "evaluation",
        "calibration",
        "comparison",
    ]
    assert not plan.trained_models


@pytest.mark.parametrize("point", ["fixed", "youden"])
def test_its_threshold_is_frozen(point):
    plan = plan_of({"a": "train", "b": "train"}, LOGISTIC, CARD, evaluation={"operating_point": point})
    scorers = scorers_of(plan)
    scored = {"scored": np.ones(len(scorers), dtype=np.bool_)}
    program = choose_thresholds(plan, {}, (scored, None), {})
    try:
        next(program)
        thresholds, unchosen = program.send(None)
    except StopIteration as end:
        thresholds, unchosen = end.value

    place = [scorer.model.name for scorer in scorers].index("Old")
    assert thresholds[place] == fixed_threshold_of(plan, scorers[place]) == 0.3
    assert "Old" not in {scorer.model.name for scorer in unchosen}
    assert np.isnan(np.delete(thresholds, place)).all() == (point == "youden")


def test_a_table_has_what_it_takes_and_an_image_is_read_for_a_network_alone():
    table, network = (plan_of({"a": "external"}, card) for card in (CARD, OLD_NETWORK))

    assert {"warfarin", "onset_to_ct_h", "ich_volume_ml"} <= list_named_columns(table)
    assert (table.reads_images, network.reads_images) == (False, True)
    assert network.input_shapes == (InputShape(2, 32),)
    feature = plan_of({"a": "external"}, CARD | {"covariates": ["original_shape_Sphericity"]})
    assert (feature.extracts_features, feature.takes_radiomics) == (True, False)


def test_messages_have_room_for_the_file():
    small, large = (plan_of({"a": "external"}, CARD | {"bytes": size}) for size in (4000, 900_000_000))

    assert largest_message(large) >= 900_000_000 > largest_message(small)


@pytest.mark.parametrize("length", range(6))
def test_a_file_travels_as_whole_words(length):
    content = bytes(range(250, 250 + length))

    assert unpack_file(pack_file(content), length) == content
    with pytest.raises(ProtocolError, match="the plan's has"):
        unpack_file(pack_file(content), length + 4)


def test_bytes_that_are_no_number_travel_unchanged():
    content = np.array([0x7F800001, 0xFFC00000], dtype="<u4").tobytes()

    assert unpack_file(pack_file(content), 8) == content


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (CARD | {"file": "../old.json"}, "file"),
        (CARD | {"file": "old.safetensors"}, "no file of a logistic model"),
        (CARD | {"covariates": []}, "any other model covariates"),
        (CARD | {"covariates": ["nonsense"]}, "nonsense: no such covariate"),
        (CARD | {"input_size": 32, "dimensions": 2}, "copy what"),
        (OLD_NETWORK | {"input_size": None}, "a network has dimensions and input_size"),
        (CARD | {"trained_by": []}, "trained_by"),
        (CARD | {"threshold": 0.0}, "threshold"),
    ],
)
def test_a_section_that_cannot_be_is_refused(card, expected):
    with pytest.raises(ValueError, match=expected):
        plan_of({"a": "external"}, card)


def test_its_outcome_cannot_predict_itself():
    outcome = {"endpoint": "column", "column": "ivh", "label": "IVH", "meaning": "blood"}
    described = {"outcome": outcome, "described": ["age"]}

    with pytest.raises(ValueError, match=r"the outcome 'ivh' stands under models\.covariates"):
        plan_of({"a": "external"}, CARD | {"covariates": ["ivh"]}, cohort=described)


def test_plans_without_it_keep_their_hash():
    plan = plan_of({"a": "train", "b": "train", "c": "external"}, LOGISTIC, NETWORK, SCALE)

    assert plan.digest() == "decc98d1361366e02f57ca69a5c3bb99e6ad76f7cb826528ccea3649cbb71740"
