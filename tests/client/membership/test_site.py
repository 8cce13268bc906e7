from __future__ import annotations

import pytest

from client.membership.site import (
    MARKER,
    check_profile,
    check_release,
    is_marked_synthetic,
    is_synthetic,
    load_site,
)
from common.errors import PlanError, PolicyError, SiteError
from common.imaging.dicom.series_choice import NO_RULE
from common.imaging.options import SeriesRule
from common.plan.study import StudyPlan

MINIMAL = 'name = "north"\ntable = "patients.csv"\n'


def site(folder, text=MINIMAL):
    (folder / "site.toml").write_text(text)
    return load_site(folder)


def plan(profile="standard", *, release=False, name="north"):
    return StudyPlan.model_validate(
        {
            "name": "a study",
            "seed": 1,
            "profile": profile,
            "sites": [{"name": name, "role": "train", "model_release": release}],
            "models": [{"name": "small", "family": "resnet10-narrow"}],
        }
    )


def mark(folder, text='{"generator": "rhe-simulate"}'):
    (folder / MARKER).write_text(text)


def test_a_minimal_file_has_cautious_defaults(tmp_path):
    settings = site(tmp_path)

    assert (settings.name, settings.table, settings.synthetic, settings.device) == (
        "north",
        "patients.csv",
        False,
        "auto",
    )
    assert (settings.mask.ich, settings.mask.ivh) == ((1,), (2,))
    assert settings.policy.profiles == ("standard",)
    assert settings.policy.model_release is False
    assert (settings.min_patients, settings.min_per_class) == (20, 10)


def test_a_rule_for_series_is_read_and_its_misspelt_key_is_told_with_the_line(tmp_path):
    assert site(tmp_path).series == NO_RULE
    rule = site(tmp_path, MINIMAL + '[series]\nkernel = "H3?s"\nthinnest_soft_tissue = true\n').series
    assert rule == SeriesRule(kernel="H3?s", thinnest_soft_tissue=True)
    with pytest.raises(SiteError, match=r"site\.toml:4: series\.thinest: unknown key"):
        site(tmp_path, MINIMAL + "[series]\nthinest = true\n")


def test_a_synthetic_site_takes_part_with_anyone(tmp_path):
    settings = site(tmp_path, MINIMAL + "synthetic = true\n")

    assert (settings.min_patients, settings.min_per_class) == (1, 1)


def test_minima_of_the_policy_count_everywhere(tmp_path):
    text = MINIMAL + "synthetic = true\n[policy]\nmin_patients = 30\nmin_per_class = 7\n"

    settings = site(tmp_path, text)

    assert (settings.min_patients, settings.min_per_class) == (30, 7)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (MINIMAL + "sinthetic = true\n", 3, 'unknown key -> did you mean "synthetic"?'),
        (MINIMAL + "[policy]\nmin_patient = 3\n", 4, "policy.min_patient: unknown key"),
        ('name = "north"\n', 1, "table: is missing -> add it (table is: The cohort table"),
        ('name = "no/rth"\ntable = "t.csv"\n', 1, "name: "),
        ('name = "north"\ntable = "../t.csv"\n', 2, "must be a path inside the site's folder"),
        ('name = "north"\ntable = "/data/t.csv"\n', 2, "must be a path inside the site's folder"),
        (MINIMAL + 'device = "gpu"\n', 3, "device: "),
        (MINIMAL + "[mask]\nich = [1, 2]\n", 3, "labels [2] stand for both ICH and IVH"),
        (MINIMAL + "[mask]\nivh = [3]\nignored = [3]\n", 3, "labels [3] are a hemorrhage and ignored"),
        (MINIMAL + "[mask]\nich = [0]\n", 4, "must be at least 1"),
        (MINIMAL + "[mask]\nich = []\n", 4, "has too few entries: at least 1"),
        (MINIMAL + '[mask]\nich_names = ["A"]\nivh_names = ["a"]\n', 3, "the names ['a'] occur twice"),
        (MINIMAL + '[mask]\nich_names = [""]\n', 4, "must not be empty"),
        (MINIMAL + "[policy]\nmin_per_class = 0\n", 4, "must be at least 1"),
        (MINIMAL + '[policy]\nprofiles = ["pilot"]\n', 4, "policy.profiles"),
        (MINIMAL + '[policy]\nprofiles = ["simulation"]\n', 1, 'has "simulation" but synthetic is not true'),
        ("name = \n", 1, "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_line_key_and_value(tmp_path, text, line, message):
    with pytest.raises(SiteError) as caught:
        site(tmp_path, text)

    assert message in str(caught.value)
    assert f"site.toml:{line}: " in str(caught.value) or "not valid TOML" in message


def test_all_violations_come_at_once(tmp_path):
    with pytest.raises(SiteError) as caught:
        site(tmp_path, 'name = ""\ntable = "t.csv"\nfoo = 1\ndevice = "x"\n')

    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_folder_or_file_is_refused(tmp_path):
    with pytest.raises(SiteError, match=r"nowhere: no such folder -> give the folder that holds site\.toml"):
        load_site(tmp_path / "nowhere")
    with pytest.raises(SiteError, match=r"site\.toml: no such file -> write one with at least"):
        load_site(tmp_path)


def test_labels_of_ivh_may_be_none(tmp_path):
    assert site(tmp_path, MINIMAL + "[mask]\nich = [3, 4]\nivh = []\n").mask.ich == (3, 4)


@pytest.mark.parametrize("synthetic", [False, True])
@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_a_simulation_runs_only_on_declared_and_marked_data(tmp_path, synthetic, marked, listed):
    text = MINIMAL + f"synthetic = {str(synthetic).lower()}\n"
    if listed and synthetic:
        text += '[policy]\nprofiles = ["standard", "simulation"]\n'
    settings = site(tmp_path, text)
    if marked:
        mark(tmp_path)

    if synthetic and marked:
        check_profile(settings, tmp_path, plan("simulation"))
    else:
        with pytest.raises(PolicyError, match="synthetic = true" if not synthetic else MARKER):
            check_profile(settings, tmp_path, plan("simulation"))


@pytest.mark.parametrize(
    ("profiles", "asked", "allowed"),
    [
        ('["standard"]', "standard", True),
        ('["standard"]', "replication", False),
        ('["replication"]', "replication", True),
        ('["replication"]', "standard", False),
    ],
)
def test_other_profiles_run_where_the_policy_lists_them(tmp_path, profiles, asked, allowed):
    settings = site(tmp_path, MINIMAL + f"[policy]\nprofiles = {profiles}\n")

    if allowed:
        check_profile(settings, tmp_path, plan(asked))
    else:
        with pytest.raises(PolicyError, match=rf'profile = "{asked}", site north accepts'):
            check_profile(settings, tmp_path, plan(asked))


def test_a_synthetic_site_still_refuses_profiles_that_it_does_not_list(tmp_path):
    mark(tmp_path)
    settings = site(tmp_path, MINIMAL + "synthetic = true\n")

    check_profile(settings, tmp_path, plan("standard"))
    with pytest.raises(PolicyError):
        check_profile(settings, tmp_path, plan("replication"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\x00", "[" * 100_000])
def test_a_damaged_marker_is_no_marker(tmp_path, text):
    mark(tmp_path, text)

    with pytest.raises(SiteError, match="is not the simulator's marker"):
        is_marked_synthetic(tmp_path)


def test_a_model_is_released_only_if_both_say_so(tmp_path):
    closed = site(tmp_path)
    opened = site(tmp_path, MINIMAL + "[policy]\nmodel_release = true\n")

    check_release(closed, plan(release=False))
    check_release(opened, plan(release=True))
    check_release(opened, plan(release=False))
    with pytest.raises(PolicyError, match="trained at north alone"):
        check_release(closed, plan(release=True))
    with pytest.raises(PlanError, match="no site 'north'"):
        check_release(opened, plan(name="south"))


def test_attention_maps_leave_only_declared_and_marked_data(tmp_path):
    real, synthetic = site(tmp_path), site(tmp_path, MINIMAL + "synthetic = true\n")

    assert not is_synthetic(synthetic, tmp_path)
    mark(tmp_path)
    assert is_synthetic(synthetic, tmp_path)
    assert not is_synthetic(real, tmp_path)
