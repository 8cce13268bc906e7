"""Before each honest question of a study whose sums are hidden, its coordinator puts crafted ones to a site.

It signs them, and they stand where the honest one would have stood: in the session, after the honest
transcripts. What would end a step is put to a twin of the site, so that the honest study goes on to its end.
"""

import re
import shutil
import time
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from sites.attacked import ROLES, conduct_table_models, make_cases, plan_table_models
from sites.crafted import CraftedStudy, forge_told, write_message

from common.messages.catalogue import Operation
from common.messages.protocol import decode_reply
from common.plan.matrix import cohorts_of
from common.secagg.site.erasure import sweep
from common.secagg.site.files import SiteFiles

PLAN = plan_table_models(ROLES)
OTHER = plan_table_models(ROLES, seed=8)
SIGNATURES = {"51 signed by nobody", "51 signed by two of three", "51 signed, then moved"}
FORKED = frozenset({"48 steep", "48 wider"} | SIGNATURES)
WEEK_S = 7 * 86_400
CLINICAL, MACHINE = "fit Clinical federated", "fit Machine federated"


def is_about(name, site):
    """Whether a parameter is about the site's patients: those about a cohort have its number."""
    number = re.match(r"(?:cohort/)?(\d+)[./]", name)
    return number is None or site in cohorts_of(PLAN)[int(number[1])].sites


def is_coefficients(name, heard):
    return name.rpartition(".")[2] == "coefficients" and is_about(name, heard.site)


def is_as_before(header):
    """Whether a round only differs in its numbers from those before it: every third of these is tried."""
    return header.step > 4 and header.step % 3 != 2


def craft(heard):
    header = heard.request.header
    if is_as_before(header):
        return
    if header.operation is Operation.DESCRIBE or (
        heard.site == "d" and header.operation is not Operation.SCORE
    ):
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
        # What the step does not have: with an inverse, a round sums another moment of the rows
        other = "estimated" if "gammas" in asked else "gammas" if number == 51 else "inverse"
        more = np.ones((*asked[name].shape, asked[name].shape[-1]))
        yield f"{number} more than it has", heard.change({**asked, name.replace("coefficients", other): more})
    if operation is Operation.NEWTON:
        # At the first question coefficients are 0: no linear predictor moves, but the next step would
        for name in ("centre", "scale"):
            yield f"47 another {name}", heard.change({**asked, name: asked[name] * 1.01})


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
        placed = next(name for name in asked if name.endswith(".v01") and is_about(name, heard.site))
        yield "62 placements of its own", heard.change({**asked, placed: asked[placed] * 0})


class AttackedStudy(CraftedStudy):
    """Puts to twins, once a kind of question, what a site stops at: false sums, and patients who are gone."""

    def put_crafted(self, heard):
        header = heard.request.header
        if heard.site == "a" and heard.iterate is not None:
            self.put_stripped(heard, header)
        super().put_crafted(heard)
        kind = (str(header.operation), header.stage, header.procedure.partition(" ")[0])
        if heard.site != "a" or not header.procedure or kind in self.kinds:
            return
        self.kinds.append(kind)
        if heard.told:
            self.send("58 false sum", heard, forge_told(heard, self.key), to=self.fork("a"))
        if heard.iterate is not None:
            fewer = 1 + sum(one.name.startswith("53") for one in self.tried) % 9
            cases = self.engines["a"].open_patients().prepared.cases
            self.send(f"53 {fewer} fewer", heard, heard.message, to=self.fork("a", drop(cases, fewer)))

    def put_stripped(self, heard, header):
        """Put to a twin, in the session of one fit, another fit's question that builds on nothing of it."""
        if header.procedure == CLINICAL and heard.told:
            # Before crafted questions tell it the same
            self.waiting.setdefault("a", (self.fork("a"), heard))
        elif header.procedure == MACHINE and self.waiting:
            twin, earlier = self.waiting.pop("a")
            asked = write_message(replace(earlier, told=b""), heard.request, self.key)
            self.send("67 stripped", heard, asked, to=twin)
            self.send("67 told", heard, earlier.message, to=twin)
            later = earlier.iterate.model_copy(update={"step": earlier.iterate.step + 1})
            again = write_message(replace(earlier, told=b"", iterate=later), heard.request, self.key)
            self.send("67 stripped again", heard, again, to=twin)


def drop(cases, fewer):
    """The same without some patients of each part, so that every cohort has changed."""
    of_parts = [[case for case in cases if case.part == part][:fewer] for part in ("train", "test")]
    gone = {case.patient.identifier for part in of_parts for case in part}
    return tuple(case for case in cases if case.patient.identifier not in gone)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    study = AttackedStudy(PLAN, tmp_path_factory.mktemp("attacked"), craft, FORKED, attacked=("a", "d"))
    study.kinds, study.waiting = [], {}
    with pytest.MonkeyPatch.context() as patch:
        # Nobody pulls a plug here
        patch.setattr("os.fsync", lambda _: None)
        exchange = study.open({name: make_cases(seed) for seed, name in enumerate(ROLES)})
        conduct_table_models(exchange, study.run)
        yield study


def list_codes(study, number):
    """By operation, what came of an attack before each question; nothing left."""
    codes = defaultdict(set)
    for one in study.tried:
        if one.name.startswith(f"{number} "):
            assert one.numbers == 0, one.name
            codes[one.heard.request.header.operation].add(one.code)
    return dict(codes)


FITTED = {Operation.NEWTON, Operation.CALIBRATE}
MACHINES = {Operation.RIDGE, Operation.HELD_OUT}
SCORED = {Operation.GRID, Operation.EVALUATE, Operation.CALIBRATE, Operation.COMPARE}
HIDDEN = {
    *(*FITTED, *MACHINES, *SCORED),
    *(Operation.GUARD, Operation.COHORT, Operation.SETUP),
}
"""What the study asks of sums over several sites."""


def test_attack_47_coefficients_of_newton_and_calibration(attacked):
    assert list_codes(attacked, 47) == {operation: {"E_NOT_THE_PLAN"} for operation in FITTED}


def test_attack_48_coefficients_of_a_machine_that_single_out_or_are_too_many(attacked):
    """At the start its coefficients are known here; later a site knows what they do to its own patients."""
    assert list_codes(attacked, 48) == {
        Operation.RIDGE: {"E_NOT_THE_PLAN", "E_SMALL_N"},
        Operation.HELD_OUT: {"E_NOT_THE_PLAN", "E_SMALL_N"},
    }
    late = [one for one in attacked.tried if one.name == "48 steep" and one.heard.request.header.step > 3]
    assert {one.code for one in late} == {"E_SMALL_N"}
    assert {one.code for one in attacked.tried if one.name == "48 wider"} == {"E_NOT_THE_PLAN"}


def test_attack_49_every_hidden_question_bare(attacked):
    assert list_codes(attacked, 49) == {operation: {"E_POLICY"} for operation in HIDDEN}


def test_attack_51_scores_by_other_coefficients_or_another_machine(attacked):
    assert list_codes(attacked, 51) == {Operation.SCORE: {"E_NOT_THE_PLAN"}}
    models = Counter(
        (one.heard.site, one.heard.request.header.model) for one in attacked.tried if one.name[:2] == "51"
    )
    assert models == {("a", "Clinical"): 3, ("a", "Machine"): 3, ("d", "Clinical"): 3, ("d", "Machine"): 3}


def test_attack_52_a_stale_signed_score(attacked):
    """The same bytes score as they did; other coefficients, signed in the meantime, score nobody."""
    scores = attacked.engines["a"].state / "scores"
    before = {path: path.read_bytes() for path in scores.rglob("*") if path.is_file()}
    asked = [heard for heard, _ in attacked.answers if heard.request.header.operation is Operation.SCORE]
    for heard in (heard for heard in asked if heard.site == "a"):
        name = next(name for name in heard.request.parameters if is_coefficients(name, heard))
        moved = {**heard.request.parameters, name: heard.request.parameters[name] + 1e-5}
        assert attacked.send("52 again", heard, heard.message).code == "OK"
        assert attacked.put("52 moved", heard, heard.change(moved)).code == "E_NOT_THE_PLAN"
        later = heard.change(moved, step=2, endorsements=asked[-1].request.header.endorsements)
        assert attacked.put("52 as an outsider", heard, later).code == "E_NOT_THE_PLAN"

    assert {path: path.read_bytes() for path in scores.rglob("*") if path.is_file()} == before
    list_codes(attacked, 52)


def test_attack_53_a_cohort_of_one_to_nine_patients_fewer(attacked):
    """A guard round says that too few changed; the first table is the first release.

    Scores were given to other patients than are there now.
    """
    answered = {Operation.GUARD, Operation.COHORT}
    tried = [one for one in attacked.tried if one.name.startswith("53")]
    codes = {one.heard.request.header.operation: (one.code, one.numbers) for one in tried}

    assert {operation: codes[operation] for operation in HIDDEN - answered} == {
        **dict.fromkeys((Operation.SETUP, Operation.NEWTON, *MACHINES), ("E_SMALL_N", 0)),
        **dict.fromkeys(SCORED, ("E_CONTEXT", 0)),
    }
    assert len({one.name for one in tried}) == 9


def test_attack_58_a_false_sum_at_each_kind_of_question(attacked):
    codes = list_codes(attacked, 58)

    assert set().union(*codes.values()) == {"E_SUM_PROOF"}
    assert codes.keys() >= {Operation.COHORT, Operation.SETUP, *FITTED, Operation.RIDGE}


def test_attack_67_transcripts_taken_out_on_the_way(attacked):
    """A site keeps its own words until it has added the sum; then the same question is answered as ever."""
    assert {one.name: one.code for one in attacked.tried if one.name.startswith("67")} == {
        "67 stripped": "E_NOT_THE_PLAN",
        "67 told": "OK",
        "67 stripped again": "E_NOT_THE_PLAN",
    }


def test_attack_61_a_guard_that_leaves_out_too_little(attacked):
    assert list_codes(attacked, 61) == {
        operation: {"E_NOT_THE_PLAN"} for operation in (Operation.COHORT, Operation.SETUP, Operation.EVALUATE)
    }


def test_attack_62_two_choices_after_one_guard(attacked):
    assert list_codes(attacked, 62) == {
        operation: {"E_NOT_THE_PLAN"} for operation in (Operation.EVALUATE, Operation.COMPARE)
    }


def test_attack_63_skipped_or_reordered_questions(attacked):
    codes = list_codes(attacked, 63)

    assert codes.keys() == HIDDEN | {Operation.SCORE}
    assert set().union(*codes.values()) == {"E_NOT_THE_PLAN", "E_CONTEXT"}


def test_attack_63_repeated_questions(attacked):
    """The last one gives its answer once more, bit for bit; what came before it is over."""
    masked = [(heard, reply) for heard, reply in attacked.answers if heard.site == "a" and heard.iterate]
    engine = attacked.engines["a"]
    (heard, reply), earlier = masked[-1], [heard for heard, _ in masked[:-1]]

    again = decode_reply(engine.handle(heard.message))

    assert again.sealed.tobytes() == reply.sealed.tobytes()
    for one in earlier[:: len(earlier) // 8]:
        assert attacked.send("63 earlier", one, one.message).code == "E_CONTEXT"
    assert list_codes(attacked, 63)


def test_attack_64_a_question_of_another_study_under_the_same_key(attacked):
    assert OTHER.digest() != PLAN.digest()
    assert list_codes(attacked, 64) == {operation: {"E_PLAN"} for operation in HIDDEN | {Operation.SCORE}}


def ruin_line(engine):
    lines = engine.ledger.path.read_bytes().splitlines(keepends=True)
    engine.ledger.path.write_bytes(b"".join([*lines[:5], lines[5].replace(b"T", b"t", 1), *lines[6:]]))


def cut_off(engine):
    lines = engine.ledger.path.read_bytes().splitlines(keepends=True)
    engine.ledger.path.write_bytes(b"".join(lines[:-3]))


@pytest.mark.parametrize("harm", [ruin_line, cut_off, lambda engine: shutil.rmtree(engine.ledger.folder)])
def test_attack_65_a_damaged_truncated_or_deleted_ledger(attacked, harm):
    engine = attacked.fork("a")
    harm(engine)

    for asked in (heard for heard, _ in attacked.answers[-8:] if heard.site == "a"):
        reply = decode_reply(engine.handle(asked.message))
        assert reply.header.code == "E_STORAGE"
        assert reply.sealed is None
        assert not reply.summary.layout()


def test_attack_66_a_study_that_died_a_week_later(attacked):
    """Its session is over; neither a private key nor an encoded vector is on the disk."""
    heard, _ = [pair for pair in attacked.answers if pair[0].site == "a" and pair[0].iterate][-1]
    engine = attacked.fork("a")
    engine.party = replace(engine.party, clock=lambda: int(time.time()) + WEEK_S)
    assert list(engine.party.files.glob("*/state"))

    assert attacked.send("66 late", heard, heard.message, to=engine).code == "E_EXPIRED"
    sweep(SiteFiles(engine.party.files, audit=engine.ledger), engine.party.clock)
    assert {path.name for path in engine.party.files.iterdir()} == {".lock", "roster", "ledger"}
    assert list_codes(attacked, 66)
