"""Trainings from several seeds in the plan: what is filled in, what is refused, and what stays as it was."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from common.hiding.rounds import start_seed
from common.plan.comparisons import find_compared_scores
from common.plan.mapped_cohorts import list_mapped_networks
from common.plan.matrix import cohorts_of, find_comparable, scorers_of
from common.plan.repeated_trainings import is_repeat, list_first_networks, list_trainings_of
from common.plan.study import StudyPlan
from common.program.study_program import list_procedures

SITES = [{"name": name, "role": role} for name, role in (("a", "train"), ("b", "train"), ("c", "external"))]
FLAT = {"name": "Fl\N{LATIN SMALL LETTER A WITH DIAERESIS}che", "family": "resnet18", "input_size": 32}
SOLID = {"name": "solid", "family": "densenet-small", "dimensions": 3, "input_size": 32}
AGE = {"kind": "logistic", "name": "age", "covariates": ["age", "score:Flaeche"]}
DIGESTS = [digit * 64 for digit in "123"]


def plan_of(*models, **changes):
    return StudyPlan.model_validate(
        {
            "name": "Seeds",
            "seed": 5,
            "sites": SITES,
            "models": list(models or (FLAT | {"repeats": 3}, SOLID, AGE)),
            **changes,
        }
    )


def test_further_trainings_follow_all_models_with_names_of_their_own():
    plan = plan_of()

    assert [(model.name, model.title) for model in plan.models] == [
        ("Flaeche", "Fl\N{LATIN SMALL LETTER A WITH DIAERESIS}che"),
        ("solid", "solid"),
        ("age", "age"),
        ("Flaeche-seed-2", "Fl\N{LATIN SMALL LETTER A WITH DIAERESIS}che (seed 2)"),
        ("Flaeche-seed-3", "Fl\N{LATIN SMALL LETTER A WITH DIAERESIS}che (seed 3)"),
    ]
    assert [model.name for model in list_first_networks(plan.models)] == ["Flaeche", "solid"]
    assert list_trainings_of(plan.models, "Flaeche") == ("Flaeche", "Flaeche-seed-2", "Flaeche-seed-3")
    arm = plan.arm("federated")
    assert len({start_seed(plan, model, arm) for model in plan.networks}) == 4
    # A network of that name starts from the same weights: its name is its seed
    named = plan_of(FLAT, SOLID, FLAT | {"name": "Flaeche-seed-2"})
    assert start_seed(named, named.network("Flaeche-seed-2"), arm) == start_seed(
        plan, plan.network("Flaeche-seed-2"), arm
    )


def test_a_plan_without_repeats_keeps_its_hash_and_one_with_them_is_read_again():
    assert plan_of(FLAT | {"repeats": 1}, SOLID) == plan_of(FLAT, SOLID)
    assert plan_of(FLAT | {"repeats": 1}, SOLID).digest() == plan_of(FLAT, SOLID).digest()
    assert not {"repeats", "repeat_of", "first_weights_of_repeats"} & set(
        plan_of(FLAT, SOLID).model_dump(mode="json")["models"][0]
    )
    plan = plan_of()
    again = StudyPlan.model_validate(plan.model_dump(mode="json"))
    assert (again, again.digest()) == (plan, plan.digest())
    assert len({plan_of(FLAT | {"repeats": times}).digest() for times in (1, 2, 3)}) == 3


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([FLAT, FLAT | {"name": "x", "repeat_of": "Flaeche"}], "x: repeat_of is filled in"),
        ([FLAT | {"repeats": 0}], "greater than or equal to 1"),
        ([FLAT | {"repeats": 21}], "less than or equal to 20"),
        ([FLAT | {"repeats": 2}, SOLID | {"name": "flaeche-seed-2"}], "two models have the same name"),
        ([FLAT | {"name": "x" * 40 + " " + "y" * 12, "repeats": 2}], "a shorter name"),
        ([FLAT | {"repeats": 2}, AGE | {"covariates": ["score:Flaeche-seed-2"]}], "no network of the plan"),
        (
            [FLAT | {"repeats": 2, "initialisation": "imagenet", "first_weights": DIGESTS[0]}],
            "first_weights_of_repeats has 0 digests, not 1",
        ),
        ([FLAT | {"first_weights_of_repeats": DIGESTS[:1]}], "has 1 digests, not 0"),
    ],
)
def test_what_cannot_be_is_refused(models, words):
    with pytest.raises(ValidationError, match=words):
        plan_of(*models)


def test_an_altered_training_is_refused():
    written = plan_of().model_dump(mode="json")
    written["models"][-1]["dropout"] = 0.1

    with pytest.raises(ValidationError, match=r"\(seed 3\): repeat_of is filled in"):
        StudyPlan.model_validate(written)


def test_a_further_training_is_no_reference():
    with pytest.raises(ValidationError, match="is none of the models"):
        plan_of(evaluation={"reference_model": "Flaeche-seed-2"})


def test_each_training_from_imagenet_has_its_own_digest():
    plan = plan_of(
        FLAT
        | {
            "repeats": 3,
            "initialisation": "imagenet",
            "first_weights": DIGESTS[0],
            "first_weights_of_repeats": DIGESTS[1:],
        }
    )

    assert [model.first_weights for model in plan.networks] == DIGESTS
    assert [model.has_chosen_weights for model in plan.networks] == [False] * 3


def test_further_trainings_are_trained_and_scored_and_neither_compared_nor_explained():
    plan = plan_of(explanation={"mean_maps": True})
    repeats = {index for index, scorer in enumerate(scorers_of(plan)) if is_repeat(scorer.model)}

    assert len(repeats) == 2 * 3
    assert not any(repeats & set(find_comparable(plan, cohort)) for cohort in cohorts_of(plan))
    for reference in ("Flaeche", "Flaeche-seed-2"):
        compared = find_compared_scores(plan, [True] * len(scorers_of(plan)), reference)
        assert not any(repeats & set(scores.scorers) for scores in compared)
    assert not any(is_repeat(scorer.model) for scorer in list_mapped_networks(plan))
    names = [procedure.name for procedure in list_procedures(plan)]
    about = {name.split(" ")[0] for name in names if "Flaeche-seed-3" in name}
    assert about == {"training", "scoring"}


def test_noise_counts_every_training():
    """Three networks in place of one are three times as many sums in which a hospital takes part."""
    noise = {"noise": {"epsilon": 8.0}}
    one, three, written = (
        plan_of(*models, privacy=noise, sites=[*SITES, {"name": "d", "role": "train"}])
        for models in (
            [FLAT],
            [FLAT | {"repeats": 3}],
            [FLAT, FLAT | {"name": "second"}, FLAT | {"name": "third"}],
        )
    )

    assert three.noise_multiplier == written.noise_multiplier > one.noise_multiplier
