"""A study over two folders made by hand, one of DICOM and one of NIfTI, two defective patients in each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from sites.commands import run_command
from sites.handmade import read_rows
from sites.hospitals import cut_a_file, empty_mask, lose_a_slice, make_north, make_south, move_mask

pytestmark = pytest.mark.slow

PLAN = """\
name = "Two hand-made hospitals"
seed = 5
threads = 2
profile = "simulation"
two_site_ack = true
[[sites]]
name = "north"
role = "train"
model_release = true
[[sites]]
name = "south"
role = "train"
[[models]]
name = "small"
family = "resnet10-narrow"
input_size = 32
[models.training]
batch_size = 4
learning_rate = 0.005
[federation]
rounds = 2
[explanation]
per_site = 1
"""


@dataclass(frozen=True)
class Hospitals:
    """Two site folders and the plan of a study over them."""

    plan: Path
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory) -> Hospitals:
    root = tmp_path_factory.mktemp("hospitals")
    north, south = make_north(root / "north", 15), make_south(root / "south", 14)
    of_north, of_south = read_rows(north), read_rows(south)
    lose_a_slice(north, of_north[4])
    cut_a_file(north, of_north[7])
    move_mask(south, of_south[5])
    empty_mask(south, of_south[8])
    plan = root / "study.toml"
    plan.write_text(PLAN)
    return Hospitals(plan, {"north": north, "south": south})


@pytest.mark.parametrize(
    ("name", "screened", "defects"),
    [
        (
            "north",
            15,
            [
                ("row 6, patient 'north-004'", r"1 slice\(s\) are missing: 10\.000 mm between .* -> "),
                ("row 9, patient 'north-007'", r"\.dcm: the file is truncated within its pixels -> copy"),
            ],
        ),
        (
            "south",
            14,
            [
                ("row 7, patient 'south-005'", r"100% of the mask lies outside its CT .* -> find the mask"),
                ("row 10, patient 'south-008'", r"the mask is empty -> segment"),
            ],
        ),
    ],
)
def test_check_and_prepare_tell_each_defect_with_place_and_remedy(
    hospitals, tmp_path, name, screened, defects
):
    folder = hospitals.folders[name]
    checked = run_command("rhe-client", "check", folder)
    prepared = run_command(
        "rhe-client", "prepare", folder, "--plan", hospitals.plan, "--state", tmp_path / "state"
    )

    assert (checked.returncode, prepared.returncode) == (11, 0)
    for shown in (checked.stdout, prepared.stdout):
        said = [line for line in shown.splitlines() if line.startswith(f"{name}: refused: ")]
        assert len(said) == len(defects)
        for line, (where, what) in zip(said, defects, strict=True):
            assert line.startswith(f"{name}: refused: cohort.csv, {where}: ")
            assert re.search(what, line), line
        assert f"{screened} patients, {screened - 2} usable" in shown
        assert "; 2 refused, 0 look at this, " in shown
    page = (tmp_path / "state" / "quality.html").read_text(encoding="utf-8")
    assert all(where.split("'")[1] in page for where, _ in defects)


def test_the_study_runs_with_the_rest_and_its_flow_chart_counts_the_refused(hospitals, tmp_path):
    out = tmp_path / "out"
    sites = [word for name, path in hospitals.folders.items() for word in ("--site", f"{name}={path}")]

    done = run_command("rhe-simulate", "run", "--plan", hospitals.plan, *sites, "--out", out)

    assert done.returncode == 0, done.stderr
    *_, rounds, results_file, report_file = done.stdout.splitlines()
    for name, place in (("north", "row 6, patient"), ("south", "row 10, patient")):
        assert f"{name}: refused: cohort.csv, {place}" in done.stdout
        assert f"{name}: {'15' if name == 'north' else '14'} patients" in done.stdout
        assert (out / "sites" / name / "quality.html").exists()
    assert re.match(r"\d+ rounds of messages: enrolment 1, preparation 1, training ", rounds), rounds
    assert [results_file, report_file] == [str(out / "results.json"), str(out / "report.html")]
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    flow = {chart["site"]: chart for chart in results["flow"]}
    assert {site: (chart["screened"], chart["included"]) for site, chart in flow.items()} == {
        "north": (15, 13),
        "south": (14, 12),
        None: (29, 25),
    }
    for chart in flow.values():
        left_out = {one["reasons"][0]: one["patients"] for one in chart["excluded"] if one["patients"]}
        assert left_out == {"Row, scan or mask refused": chart["screened"] - chart["included"]}
    whole = {
        tuple(cell["cohort_sites"]): cell["positive"] + cell["negative"]
        for cell in results["evaluation"]
        if (cell["arm"], cell["part"]) == ("federated", "whole")
    }
    assert whole == {("north",): 13, ("south",): 12, ("north", "south"): 25}
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
