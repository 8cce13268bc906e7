import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from sites.handmade import make_site, read_rows, write_table
from studies.raw_page import compare_page_with_raw_rows
from studies.raw_rows import compare_with_raw_rows, open_rows

from common.errors import ExchangeError, PlanError, ResumeError, SiteError
from common.imaging.lesion_cells import CELLS
from common.plan.study import StudyPlan, load_plan
from server.results.file import load_results
from server.results.mean_attention import read_cells
from server.run import StudyRun
from simulations.backends.in_process import run_in_process
from simulations.backends.parties import derive_simulated_key

PLAN = """\
name = "Two hand-made centres"
seed = 3
threads = 1
profile = "{profile}"
two_site_ack = true

[[sites]]
name = "a"
role = "train"
model_release = true

[[sites]]
name = "b"
role = "{role}"
model_release = false

[[models]]
name = "flat"
family = "resnet10-narrow"
input_size = 16
[models.training]
batch_size = 8
learning_rate = 0.003
{solid}
[federation]
rounds = {rounds}

[arms]
pooled_model = {pooled}

[explanation]
per_site = {maps}
mean_maps = {means}
"""
SOLID = """
[[models]]
name = "solid"
family = "densenet-small"
dimensions = 3
input_size = 32
[models.training]
batch_size = 8
learning_rate = 0.003
"""


def write_plan(folder, **changes):
    path = folder / "study.toml"
    settings = {
        "profile": "simulation",
        "role": "train",
        "rounds": 2,
        "pooled": "true",
        "solid": SOLID,
        "maps": 0,
        "means": "false",
    }
    path.write_text(PLAN.format(**settings | changes), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    return {"a": make_site(folder / "a", "a", 24), "b": make_site(folder / "b", "b", 20, seed=1)}


def run(plan, sites, out, *, resume=False):
    study = load_plan(plan)
    request = StudyRun(study, out, derive_simulated_key(study), resume=resume)
    return run_in_process(request, sites, Progress(disable=True))


@pytest.fixture(scope="module")
def finished(sites, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    results = run(write_plan(folder, maps=2, means="true"), sites, folder / "out")
    return folder / "out", results


def cell(results, arm, cohort_sites, part, model="flat"):
    (found,) = [
        one
        for one in results.evaluation
        if (one.model, one.arm, one.cohort_sites, one.part) == (model, arm, cohort_sites, part)
    ]
    return found


def test_a_study_leaves_results_report_and_models(finished):
    out, results = finished

    assert load_results(out / "results.json") == results
    assert "Two hand-made centres" in (out / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in (out / "models" / "flat").iterdir()} == {
        "federated.safetensors",
        "local-a.safetensors",
        "pooled.safetensors",
    }


def test_every_printed_number_is_that_of_the_raw_rows(finished, sites):
    """Networks of every arm, hidden sums, sharp scores: page and patients cannot drift apart."""
    out, results = finished
    plan = StudyPlan.model_validate(results.study.plan)

    assert compare_with_raw_rows(results, open_rows(plan, sites, out)) > 500


def test_what_the_page_computes_is_that_of_the_raw_rows(finished, sites):
    """Verdicts, calibration, gain over treat-all, predictive values, federated against local, forests."""
    out, results = finished
    rows = open_rows(StudyPlan.model_validate(results.study.plan), sites, out)

    assert compare_page_with_raw_rows(results, rows) > 150
    wrong = tuple(
        cell.model_copy(
            update={"decision": tuple(replace(point, model=point.treat_all) for point in cell.decision)}
        )
        for cell in results.evaluation
    )
    with pytest.raises(AssertionError):
        compare_page_with_raw_rows(results.model_copy(update={"evaluation": wrong}), rows)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("model", ["flat", "solid"])
def test_mean_maps_through_masks_and_doors_are_those_of_all_tested_patients(finished, model, positive):
    out, results = finished
    kept = []
    for name in ("a", "b"):
        (path,) = (out / "sites" / name).rglob(f"maps/*/{model}/federated.npz")
        with np.load(path) as file:
            # Every third patient's hematoma grows
            grows = np.arange(len(file["drawn"]))[file["drawn"]] % 3 == 0
            kept.append(file["maps"][grows == positive] / 1e6)
    (mean,) = [
        one
        for one in results.mean_attention
        if (one.model, one.cohort_sites, one.positive) == (model, ("a", "b"), positive)
    ]
    first = [round(start / mean.cell_mm + CELLS / 2 - 0.5) for start in (mean.front_mm, mean.left_mm)]
    rows, columns = np.shape(mean.attention)
    window = np.s_[first[0] : first[0] + rows, first[1] : first[1] + columns]

    assert mean.patients == sum(len(maps) for maps in kept)
    for number, told in enumerate((mean.attention, mean.lesion)):
        pooled, cells = np.concatenate(kept)[:, number].mean(axis=0)[window], read_cells(told)
        there = ~np.isnan(cells)
        assert there.sum() > 10
        np.testing.assert_allclose(cells[there], pooled[there], atol=6e-5)


def test_every_cell_says_what_the_model_had_seen(finished):
    _, results = finished

    assert cell(results, "federated", ("a",), "train").relation == "apparent"
    assert cell(results, "federated", ("a",), "test").relation == "internal"
    assert cell(results, "federated", ("a", "b"), "whole").relation == "seen centre"
    assert cell(results, "local-a", ("b",), "whole").relation == "external"
    assert cell(results, "local-a", ("a", "b"), "test").relation == "seen centre"


def test_a_model_that_was_not_released_is_judged_at_home_only(finished):
    _, results = finished

    judged = {one.cohort_sites for one in results.evaluation if one.arm == "local-b"}

    assert judged == {("b",)}
    assert any("stayed there" in note for note in results.notes)


def test_the_cohorts_of_the_cells_are_the_patients_of_the_flow_chart(finished):
    _, results = finished
    (together,) = [flow for flow in results.flow if flow.site is None]
    whole = cell(results, "federated", ("a", "b"), "whole")

    assert (together.screened, together.included) == (44, 44)
    assert (whole.positive, whole.negative) == (together.positive, together.negative)
    assert whole.confusion.true_positive + whole.confusion.false_negative == whole.positive


def test_a_finished_study_is_not_overwritten_by_accident(finished, sites, tmp_path):
    out, _ = finished

    with pytest.raises(ResumeError, match="--resume"):
        run(write_plan(tmp_path, maps=2, means="true"), sites, out)


def test_a_plan_that_was_changed_is_not_resumed(finished, sites, tmp_path):
    out, _ = finished

    with pytest.raises(ResumeError, match="holds a study of plan"):
        run(write_plan(tmp_path, rounds=3, maps=2), sites, out, resume=True)


def test_the_paper_s_design_has_one_model_and_an_external_centre(sites, tmp_path):
    plan = write_plan(tmp_path, role="external", rounds=1, pooled="false", solid="")

    results = run(plan, sites, tmp_path / "out")

    assert {one.arm for one in results.evaluation} == {"local-a"}
    assert {one.part for one in results.evaluation if one.cohort_sites == ("b",)} == {"whole"}
    assert cell(results, "local-a", ("b",), "whole").relation == "external"


def test_real_minima_suppress_what_few_patients_stand_behind(tmp_path):
    sites = {
        name: make_site(tmp_path / name, name, 36, synthetic=False, seed=seed)
        for seed, name in enumerate(("a", "b"))
    }
    plan = write_plan(tmp_path, profile="standard", rounds=1, pooled="false", solid="", maps=2)

    results = run(plan, sites, tmp_path / "out")

    test = cell(results, "federated", ("a",), "test")
    assert test.auc.standing.kind == "suppressed"
    assert test.auc.value is None
    assert test.roc == ()
    whole = cell(results, "federated", ("a", "b"), "whole")
    assert whole.auc.standing.kind == "ok"
    assert (whole.positive, whole.negative) == (26, 46)
    assert all(point.validation_auc is None for curve in results.training for point in curve.points)
    assert results.overlays == ()


def test_a_plan_may_ask_only_who_the_patients_are(sites, tmp_path):
    plan = write_plan(tmp_path)
    plan.write_text('phases = ["cohort"]\n' + plan.read_text(encoding="utf-8"), encoding="utf-8")

    results = run(plan, sites, tmp_path / "out")

    assert {row.site for row in results.cohort} == {"a", "b", None}
    assert (results.training, results.evaluation, results.overlays) == ((), (), ())
    assert not (tmp_path / "out" / "models").exists()


def test_a_third_centre_and_leaving_one_out_need_no_change_of_code(sites, tmp_path):
    third = make_site(tmp_path / "c", "c", 18, seed=2)
    plan = write_plan(tmp_path, rounds=1, pooled="false", solid="")
    text = plan.read_text(encoding="utf-8").replace("two_site_ack = true", "")
    text = 'phases = ["cohort", "regression", "training", "evaluation"]\n' + text
    text = text.replace(
        "[arms]", '[arms]\ndesign = "leave-one-centre-out"\nsubtraction_ack = true\nlocal_models = false'
    )
    plan.write_text(text.replace("[[models]]", '[[sites]]\nname = "c"\nrole = "train"\n[[models]]', 1))

    results = run(plan, sites | {"c": third}, tmp_path / "out")

    external = {(one.arm, one.cohort_sites) for one in results.evaluation if one.relation == "external"}
    assert external == {(f"federated-without-{left}", (left,)) for left in "abc"}


def test_patients_are_no_part_of_a_simulation(sites, tmp_path):
    real = make_site(tmp_path / "b", "b", 36, synthetic=False)

    with pytest.raises(ExchangeError, match="b: describe failed with E_POLICY"):
        run(write_plan(tmp_path, pooled="false", solid=""), sites | {"b": real}, tmp_path / "out")


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("patients", [0, 1])
def test_without_a_second_site_that_can_train_no_network_is_trained_and_the_rest_goes_on(
    sites, tmp_path, patients
):
    tiny = make_site(tmp_path / "b", "b", 2)
    keeps = patients == 1
    write_table(
        tiny,
        [row | {"age": 60 if keeps and number == 0 else 3} for number, row in enumerate(read_rows(tiny))],
    )

    results = run(
        write_plan(tmp_path, pooled="false", rounds=1, solid=""), sites | {"b": tiny}, tmp_path / "out"
    )

    reasons = {curve.arm: curve.standing.reason for curve in results.training}
    assert reasons == {
        "federated": "not trained: fewer than 2 sites with training patients",
        "local-a": "",
        "local-b": "not trained: too few training patients",
    }
    (flow,) = (flow for flow in results.flow if flow.site == "b")
    assert (flow.screened, flow.included) == (2, patients)
    assert any(note.startswith("b has no patient") for note in results.notes)


def test_one_bad_patient_costs_only_itself(sites, tmp_path):
    hurt = make_site(tmp_path / "b", "b", 20, seed=1)
    (hurt / "images" / "b-004_ct.nii.gz").write_bytes(b"\x1f\x8b broken")

    plan = write_plan(tmp_path, role="external", rounds=1, pooled="false", solid="")

    results = run(plan, sites | {"b": hurt}, tmp_path / "out")

    (flow,) = [flow for flow in results.flow if flow.site == "b"]
    assert (flow.screened, flow.included) == (20, 19)
    assert ("Row, scan or mask refused",) in {one.reasons for one in flow.excluded if one.patients == 1}


def test_a_folder_of_another_name_is_refused(sites, tmp_path):
    with pytest.raises(SiteError, match="site.toml says name = 'b'"):
        run(write_plan(tmp_path), {"a": sites["b"], "b": sites["a"]}, tmp_path / "out")


def test_a_site_without_a_folder_is_named(sites, tmp_path):
    with pytest.raises(PlanError, match="no --site for b"):
        run(write_plan(tmp_path), {"a": sites["a"]}, tmp_path / "out")


def test_nothing_that_a_study_leaves_names_a_patient(finished):
    out, _ = finished
    shared = [
        path for path in out.rglob("*") if path.is_file() and "sites" not in path.relative_to(out).parts
    ]

    for path in shared:
        content = path.read_bytes()
        assert b"a-00" not in content, path
        assert os.fsencode(str(Path.home())) not in content, path
