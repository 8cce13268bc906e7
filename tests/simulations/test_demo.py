import json

import pytest
from rich.progress import Progress
from sites.handmade import make_site
from studies.page import leave_pictures_empty

from common.plan.study import load_plan
from simulations import demo

PLAN = """\
name = "A small demonstration"
seed = 5
threads = 1
profile = "simulation"
two_site_ack = true
phases = ["cohort"]
[[sites]]
name = "center1"
role = "train"
[[sites]]
name = "center2"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
input_size = 16
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A demonstration whose centres are made by hand, with a plan that asks only who the patients are."""
    plan = tmp_path / "demo.toml"
    plan.write_text(PLAN, encoding="utf-8")
    made = []

    def make_centres(out, request, _):
        made.append(request)
        for name in ("center1", "center2"):
            make_site(out / name, name, 9)

    monkeypatch.setattr(demo, "DEMO_PLAN", plan)
    monkeypatch.setattr(demo, "make_centres", make_centres)
    # Side by side it is in test_killed_and_resumed
    monkeypatch.setattr("simulations.backends.engine_host.count_processes", lambda _: 1)
    return plan, tmp_path / "out", made


def run(out):
    with leave_pictures_empty():
        demo.run_demo(out, "in-process", Progress(disable=True))
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def test_the_demonstration_s_own_plan_is_valid_and_trains_in_2d_and_3d():
    plan = load_plan(demo.DEMO_PLAN)

    assert {model.dimensions for model in plan.networks} == {2, 3}
    covariates = {model.name: set(model.covariates) for model in plan.table_models}
    predictors = covariates["Clinical-radiologic"]
    assert covariates["BRAIN"] == {"brain_score"}
    assert covariates["Combined-logistic"] == covariates["Combined-SVM"] == predictors | {"radiomics"}
    assert covariates["Fusion"] == predictors | {"score:2D-ResNet-10"}
    assert plan.profile == "simulation"
    assert all(site.model_release for site in plan.sites)


def test_a_second_demonstration_is_a_new_study_with_the_same_bits(small):
    _, out, made = small

    first, second = run(out), run(out)

    assert len(made) == 1
    assert first.pop("provenance") != second.pop("provenance")
    assert first == second


def test_what_another_plan_left_is_no_obstacle(small, caplog):
    plan, out, made = small
    with caplog.at_level("INFO", "server.conduct"):
        run(out)
    said = [record.getMessage() for record in caplog.records]
    disk, withheld = (
        next(place for place, line in enumerate(said) if line.startswith(start))
        for start in ("disk: about", "will be withheld: nothing")
    )
    assert disk < withheld
    assert "**Finished**" in (out / "README.md").read_text(encoding="utf-8")
    (out / "results.json").unlink()
    plan.write_text(PLAN.replace("seed = 5", "seed = 6"), encoding="utf-8")

    assert run(out)["study"]["seed"] == 6
    assert len(made) == 1
