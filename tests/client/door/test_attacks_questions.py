"""Before each honest question of a study whose sums are hidden, its coordinator puts crafted ones to a site.

It signs them, and they stand where the honest one would have stood: in the session, after the honest transcripts.
Whatever would end a step is put to a twin of the site, so that the honest study goes on to its end.
"""

from collections import Counter

import numpy as np
import pytest
from sites.attacked import ROLES, conduct_table_models, make_cases, plan_table_models
from sites.crafted import CraftedStudy, forge_told

from client.membership.party import HidingParty
from common.messages.headers import Operation
from common.plan.matrix import cohorts_of
from common.secagg.site.erasure import sweep
from common.secagg.site.files import SiteFiles

PLAN = plan_table_models(ROLES)
OTHER = plan_table_models(ROLES, seed=8)
SIGNATURES = {"51 signed by nobody", "51 signed by two of three", "51 signed, then moved"}
FORKED = frozenset({"48 steep", "48 wider"} | SIGNATURES)
WEEK_S = 7 * 86_400


def is_coefficients(name, heard):
    """Whether a parameter holds coefficients of this site's patients: each cohort's begin with its number."""
    number, _, rest = name.rpartition(".")
    about = not number.isdigit() or heard.site in cohorts_of(PLAN)[int(number)].sites
    return rest == "coefficients" and about


def craft(heard):
    header = heard.request.header
    if header.operation is Operation.DESCRIBE or (heard.site == "d" and header.operation is not Operation.SCORE):
        return
    if heard.site == "d":
        asked = heard.request.parameters
        moved = heard.change({**asked, "coefficients": asked["coefficients"] + 1e-5})
        yield "51 signed by nobody", heard.change(endorsements=())
        yield "51 signed by two of three", heard.change(endorsements=header.endorsements[1:])
        yield "51 signed, then moved", moved
        return
    yield from craft_coefficients(heard)
    yield from craft_choices(heard)
    yield "63 skipped", heard.change({}, step=header.step + 1, operation=Operation.MAGNITUDES, stage="")
    yield "63 in an earlier procedure", heard.change(procedure="preparation")
    yield "64 another study", heard.change(plan_hash=OTHER.digest())
    if heard.iterate is not None:
        yield "49 bare", heard.change(site=heard.site)


def craft_coefficients(heard):
    operation, asked = heard.request.header.operation, heard.request.parameters
    names = [name for name in asked if is_coefficients(name, heard)]
    if operation in {Operation.RIDGE, Operation.HELD_OUT}:
        steep = np.random.default_rng(7).normal(0, 1e4, asked["coefficients"].shape)
        yield "48 steep", heard.change({**asked, "coefficients": steep})
        yield "48 wider", heard.change({**asked, "coefficients": np.zeros((len(steep), steep.shape[1] + 30))})
    elif names:
        number, name = 51 if operation is Operation.SCORE else 47, names[0]
        for what, move in (("moved a little", 1e-5), ("steep", 1e4)):
            yield f"{number} {what}", heard.change({**asked, name: asked[name] + move})


def craft_choices(heard):
    operation, asked = heard.request.header.operation, heard.request.parameters
    if operation is Operation.SETUP:
        names = heard.request.header.regressions
        yield "61 one more regression", heard.change(regressions=(*names, ("inr",)))
        yield "61 more covariates", heard.change(regressions=((*names[0], "inr"), *names[1:]))
        yield "61 about another centre", heard.change({**asked, "centre": np.ones(3)})
    if operation is Operation.COHORT or operation is Operation.EVALUATE:
        yield "61 all numbers", heard.change({**asked, "asked": np.ones_like(asked["asked"])})
    if operation is Operation.EVALUATE:
        yield "62 another reference", heard.change({**asked, "reference": 1 - asked["reference"]})
        yield "62 other scores", heard.change({**asked, "scored": ~asked["scored"]})
        yield "62 another threshold", heard.change({**asked, "thresholds": asked["thresholds"] + 0.1})
    if operation is Operation.COMPARE:
        placed = next(name for name in asked if name.endswith(".v01"))
        yield "62 placements of its own", heard.change({**asked, placed: asked[placed] * 0})


class AttackedStudy(CraftedStudy):
    """Puts to twins, once a kind of question, what a site stops at: false sums, and patients who are gone."""

    def put_crafted(self, heard):
        super().put_crafted(heard)
        header = heard.request.header
        kind = (str(header.operation), header.stage, header.procedure.partition(" ")[0])
        if heard.site != "a" or not header.procedure or kind in self.kinds:
            return
        self.kinds.append(kind)
        if heard.told:
            self.send("58 false sum", heard, forge_told(heard, self.key), to=self.fork("a"))
        if heard.iterate is not None:
            fewer = 1 + (len(self.kinds) % 9)
            cases = self.engines["a"].open_patients().prepared.cases
            self.send(f"53 {fewer} fewer", heard, heard.message, to=self.fork("a", drop(cases, fewer)))


def drop(cases, fewer):
    """The same without some patients of each part, so that every cohort has changed."""
    gone = {case.patient.identifier for part in ("train", "test") for case in [c for c in cases if c.part == part][:fewer]}
    return tuple(case for case in cases if case.patient.identifier not in gone)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    study = AttackedStudy(PLAN, tmp_path_factory.mktemp("attacked"), craft, FORKED, attacked=("a", "d"))
    study.kinds = []
    with pytest.MonkeyPatch.context() as patch:
        # Nobody pulls a plug here
        patch.setattr("os.fsync", lambda _: None)
        exchange = study.open({name: make_cases(seed) for seed, name in enumerate(ROLES)})
        conduct_table_models(exchange, study.run)
        yield study


def list_codes(study, number):
    """What came of an attack, of each variant at each operation."""
    tried = [one for one in study.tried if one.name.startswith(str(number))]
    assert [one for one in tried if one.numbers] == []
    return Counter((one.name.partition(" ")[2], str(one.heard.request.header.operation), one.code) for one in tried)

def test_x(attacked):
    for number in range(47, 67):
        for t in attacked.tried:
            if t.numbers: print("NUMBERS", t.name, t.heard.request.header.operation, t.heard.request.header.procedure,t.heard.request.header.stage,t.code,t.numbers)
        for line, n in sorted(list_codes(attacked, str(number)).items()):
            print(*line, n)
    print([(t.name, t.heard.request.header.operation, t.heard.request.header.procedure,t.heard.request.header.step) for t in attacked.tried if t.code == "OK"])
