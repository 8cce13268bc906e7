"""What site.toml says of series holds in a check, and the choice is shown."""

from __future__ import annotations

import pydicom
import SimpleITK as sitk  # noqa: N813 - as its own documentation does
from sites.commands import run_command
from sites.handmade import make_site, read_rows, write_table
from sites.hospitals import write_series

from client.cohort.reading_options import options_of
from client.membership.site import SiteSettings, load_site
from common.imaging.options import SeriesRule
from common.plan.study import StudyPlan


def test_the_sites_rule_picks_one_of_several_series_and_the_check_says_which(tmp_path):
    site = make_site(tmp_path / "a", "a", 1)
    rows = read_rows(site)
    image = sitk.ReadImage(str(site / rows[0]["baseline_ct"]))
    for kernel in ("H31s", "H60s"):
        write_series(site / "dicom" / kernel, image, seed=kernel)
        for path in (site / "dicom" / kernel).iterdir():
            dataset = pydicom.dcmread(path)
            dataset.ConvolutionKernel, dataset.Manufacturer, dataset.StudyInstanceUID = (
                kernel,
                "SIEMENS",
                "1.2.3",
            )
            dataset.save_as(path)
    rows[0]["baseline_ct"] = "dicom"
    write_table(site, rows)
    refused = run_command("rhe-client", "check", site)
    assert "refused: cohort.csv, row 2, patient 'a-000': " in refused.stdout
    assert "holds 2 CT series" in refused.stdout
    with (site / "site.toml").open("a") as file:
        file.write("[series]\nthinnest_soft_tissue = true\n")
    assert options_of(None, load_site(site)).series == SeriesRule(thinnest_soft_tissue=True)
    picked = run_command("rhe-client", "check", site).stdout
    assert "kernel H31s" in picked
    assert "picked out of 2 CT series by the rule of site.toml (thinnest_soft_tissue)" in picked
    assert "holds 2 CT series" not in picked


def test_the_plan_says_whether_a_gap_may_be():
    site = SiteSettings(name="north", table="cohort.csv")
    plan = {
        "name": "Gaps",
        "seed": 1,
        "sites": [{"name": name, "role": "train"} for name in ("north", "south", "west")],
        "models": [{"kind": "logistic", "name": "clinical", "covariates": ["age"]}],
    }
    refusing = StudyPlan.model_validate(plan)
    allowing = StudyPlan.model_validate({**plan, "scans": {"missing_slices": "far-from-lesion"}})

    assert options_of(None, site).missing_slices == options_of(refusing, site).missing_slices == "refuse"
    assert options_of(allowing, site).missing_slices == "far-from-lesion"
    assert refusing.digest() != allowing.digest()
