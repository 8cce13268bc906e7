"""Questions that name an arm of one site alone leave the masks; sums of all features show the patients."""

from dataclasses import replace

import numpy as np
import pytest
from sites.attacked import CLINICAL, MACHINE, make_cases
from sites.crafted import CraftedStudy
from sites.plans import NETWORK, plan_of

from common.messages.catalogue import Operation
from common.program.names import name_selection
from common.program.selections import find_predictors
from common.radiomics.features import FEATURES
from server.phases.cohort import describe_cohorts
from server.procedures import carry_out

COMBINED = {**CLINICAL, "covariates": ["age", "radiomics"]}
PLAN = plan_of(
    {"a": "train", "b": "train", "c": "train"},
    NETWORK,
    COMBINED,
    MACHINE,
    profile="standard",
    two_site_ack=False,
    phases=["cohort", "training"],
)
FORKED = frozenset({"54 all features", "50 hidden local-b", "50 bare local-b"})
WEIGHTS = np.zeros(8, dtype=np.float32)
FIELDS = {
    Operation.TRAIN: {"model": "Net", "round": 1},
    Operation.VALIDATE: {"model": "Net", "round": 2},
    Operation.NEWTON: {},
    Operation.SETUP: {"regressions": (("age",),)},
    Operation.GUARD: {"stage": "regression", "regressions": (("age",),)},
    Operation.SCALING: {},
    Operation.PRESCREEN: {},
    Operation.GRAM: {},
    Operation.PATH: {},
    Operation.RIDGE: {"model": "Machine", "regressions": (("age", "inr"),)},
    Operation.HELD_OUT: {"model": "Machine", "regressions": (("age", "inr"),)},
    Operation.WEIGHT: {},
}
"""What each question needs beside its arm."""


class EnoughError(Exception):
    """The attack is over; the study need not go on."""


def make_measured_cases(seed):
    random = np.random.default_rng(seed)
    return tuple(
        replace(case, features=np.round(random.normal(size=len(FEATURES)) + case.positive, 4))
        for case in make_cases(seed, 90, test=0)
    )


def craft(heard):
    header, asked = heard.request.header, heard.request.parameters
    if header.operation is Operation.COHORT:
        yield from craft_arms(heard)
    if header.operation in {Operation.SCALING, Operation.PRESCREEN, Operation.GRAM}:
        name = "mean" if "mean" in asked else "centre"
        yield "61 another mean", heard.change({**asked, name: asked[name] + 1e-3})
    if header.operation is Operation.GRAM:
        yield "54 all features", heard.change({**asked, "chosen": np.arange(len(FEATURES))})


def craft_arms(heard):
    header = heard.request.header
    for operation, fields in FIELDS.items():
        for arm in ("local-a", "local-b"):
            for procedure, step in ((header.procedure, header.step), (f"training Net {arm}", 1)):
                asked = heard.change(
                    {}, operation=operation, arm=arm, procedure=procedure, step=step, **fields
                )
                if operation in {Operation.TRAIN, Operation.VALIDATE}:
                    asked = replace(asked, weights=WEIGHTS)
                yield f"50 hidden {arm}", asked
                yield f"50 bare {arm}", replace(asked, header=asked.header.model_copy(update={"site": "a"}))


class ShortStudy(CraftedStudy):
    """Ends when the products of features are asked for, and tries other ones after them."""

    def put_crafted(self, heard):
        super().put_crafted(heard)
        if heard.request.header.operation is not Operation.GRAM or heard.site != "a":
            return
        asked, twin = heard.request.parameters, self.fork("a")
        assert self.send("honest", heard, heard.message, to=twin).code == "OK"
        other = np.setdiff1d(np.arange(len(FEATURES)), asked["chosen"])[: asked["chosen"].size]
        again = heard.change({**asked, "chosen": other}, step=heard.request.header.step + 1)
        next_in_session = heard.iterate.model_copy(update={"step": heard.iterate.step + 1})
        self.put("62 other features", replace(heard, iterate=next_in_session), again, to=twin)
        raise EnoughError


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    study = ShortStudy(PLAN, tmp_path_factory.mktemp("arms"), craft, FORKED)
    (arm,) = (arm for arm in PLAN.all_arms() if arm.kind == "federated")
    with pytest.MonkeyPatch.context() as patch:
        # Nobody pulls a plug here
        patch.setattr("os.fsync", lambda _: None)
        exchange = study.open({name: make_measured_cases(seed) for seed, name in enumerate("abc")})
        describe_cohorts(exchange)
        with pytest.raises(EnoughError):
            carry_out(exchange, name_selection(arm), find_predictors(PLAN, arm, None))
        yield study


def list_codes(study, name):
    """What came of an attack's variants, by operation; nothing left."""
    tried = [one for one in study.tried if one.name.startswith(name)]
    assert [one for one in tried if one.numbers] == []
    return {one.asked.operation: one.code for one in tried}


@pytest.mark.parametrize("arm", ["local-a", "local-b"])
def test_attack_50_a_sum_in_the_arm_of_one_site(attacked, arm):
    refused = dict.fromkeys(FIELDS, "E_NOT_THE_PLAN")

    assert list_codes(attacked, f"50 bare {arm}") == refused
    # In a session that is not the other site's
    masked = refused if arm == "local-a" else dict.fromkeys(FIELDS, "E_CONTEXT")
    assert list_codes(attacked, f"50 hidden {arm}") == masked


def test_attack_54_products_of_all_features(attacked):
    assert not PLAN.radiomics.wide_gram_accepted
    assert list_codes(attacked, "54") == {Operation.GRAM: "E_SMALL_N"}


def test_attack_61_another_mean_of_features(attacked):
    asked = (Operation.SCALING, Operation.PRESCREEN, Operation.GRAM)

    assert list_codes(attacked, "61") == dict.fromkeys(asked, "E_NOT_THE_PLAN")


def test_attack_62_other_features_after_the_first(attacked):
    assert list_codes(attacked, "62") == {Operation.GRAM: "E_NOT_THE_PLAN"}
