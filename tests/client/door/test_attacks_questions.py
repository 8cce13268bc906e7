"""Before each honest question of a study whose sums are hidden, its coordinator puts crafted ones to a site.

It signs them, and they stand where the honest one would have stood: in the session, after the honest transcripts.
"""

from collections import Counter

import numpy as np
import pytest
from sites.attacked import ROLES, conduct_table_models, make_cases, plan_table_models
from sites.crafted import CraftedStudy

from common.messages.headers import Operation
from common.messages.protocol import decode_reply
from common.plan.matrix import cohorts_of

NOTHING_ELSE = {"E_NOT_THE_PLAN"}
COEFFICIENTS = {Operation.NEWTON: "47", Operation.CALIBRATE: "47", Operation.SCORE: "51"}


def is_coefficients(name, heard):
    """Whether a parameter holds coefficients of this site's patients: each cohort's have its number."""
    number, _, rest = name.rpartition(".")
    about = not number or heard.site in cohorts_of(PLAN)[int(number)].sites
    return rest == "coefficients" and about


FORKED = frozenset({"48 steep", "48 wider"})
PLAN = plan_table_models(ROLES)


def craft(heard):
    header = heard.request.header
    operation, asked = header.operation, heard.request.parameters
    if operation is Operation.DESCRIBE:
        return
    yield from craft_coefficients(heard)
    yield "63 skipped", heard.change({}, step=header.step + 1, operation=Operation.MAGNITUDES, stage="")
    yield "63 in an earlier procedure", heard.change(procedure="preparation")
    yield "64 another plan", heard.change(plan_hash="0" * 64)
    if heard.iterate is not None:
        yield "49 bare", heard.change(site=heard.site)
    if operation is Operation.SETUP:
        names = header.regressions
        yield "61 one more regression", heard.change(regressions=(*names, ("inr",)))
        yield "61 more covariates", heard.change(regressions=((*names[0], "inr"), *names[1:]))
        yield "61 other means", heard.change({**asked, "centre": np.ones(3)})
    if operation is Operation.COHORT or (operation is Operation.EVALUATE and not header.stage):
        yield "61 everything", heard.change({**asked, "asked": np.ones_like(asked["asked"])})
    if operation is Operation.EVALUATE:
        yield "62 another reference", heard.change({**asked, "reference": 1 - asked["reference"]})
        yield "62 other scores", heard.change({**asked, "scored": ~asked["scored"]})
        yield "62 another threshold", heard.change({**asked, "thresholds": asked["thresholds"] + 0.1})
    if operation is Operation.COMPARE:
        placed = next(name for name in asked if name.endswith(".v01"))
        yield "62 placements of its own", heard.change({**asked, placed: asked[placed] * 0})


def craft_coefficients(heard):
    operation, asked = heard.request.header.operation, heard.request.parameters
    names = [name for name in asked if is_coefficients(name, heard)]
    if operation in {Operation.RIDGE, Operation.HELD_OUT}:
        steep = np.random.default_rng(7).normal(0, 1e4, asked["coefficients"].shape)
        yield "48 steep", heard.change({**asked, "coefficients": steep})
        wider = np.zeros((len(steep), steep.shape[1] + 30))
        yield "48 wider", heard.change({**asked, "coefficients": wider})
    elif operation in COEFFICIENTS and names:
        number, name = COEFFICIENTS[operation], names[0]
        for what, altered in (("little", asked[name] + 1e-5), ("steep", asked[name] + 1e4)):
            yield f"{number} {what} others", heard.change({**asked, name: altered})


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    study = CraftedStudy(PLAN, tmp_path_factory.mktemp("attacked"), craft, FORKED)
    with pytest.MonkeyPatch.context() as patch:
        # Nobody pulls a plug here
        patch.setattr("os.fsync", lambda _: None)
        exchange = study.open({name: make_cases(seed) for seed, name in enumerate(ROLES)})
        try:
            conduct_table_models(exchange, study.run)
        except Exception as e:
            print("DIED", e)
    return study


def list_codes(study, number):
    """What came of an attack, of each variant at each operation."""
    tried = [one for one in study.tried if one.name.startswith(number)]
    assert [one for one in tried if one.numbers] == []
    return Counter((one.name, str(one.heard.request.header.operation), one.code) for one in tried)


def test_x(attacked):
    for number in range(47, 67):
        for line, n in sorted(list_codes(attacked, str(number)).items()):
            print(*line, n)
    print(
        [
            (
                t.name,
                t.heard.request.header.operation,
                t.heard.request.header.procedure,
                t.heard.request.header.step,
            )
            for t in attacked.tried
            if t.code == "OK"
        ]
    )
