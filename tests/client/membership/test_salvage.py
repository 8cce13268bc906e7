"""What a faulty site.toml still tells."""

from __future__ import annotations

import pytest

from client.membership.salvage import UNNAMED, salvage_site


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cohort.csv").write_text("patient\nP1\n")
    (tmp_path / "~$cohort.xlsx").write_text("open in Excel")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "name", "table", "faults"),
    [
        ('name = "north"\ntable = "other.csv"\n', "north", "other.csv", 0),
        ('name = "north"\ntable = "other.csv"\nfoo = 1\ndevice = "tpu"\n', "north", "other.csv", 2),
        ('nam = "north"\ntable = "other.csv"\n', UNNAMED, "other.csv", 2),
        ('name = "no such name!"\n', UNNAMED, "cohort.csv", 2),
        ("name = north\n", UNNAMED, "cohort.csv", 1),
        ('name = "north"\ntable = "../cohort.csv"\n', "north", "cohort.csv", 1),
        ("\ud800".encode("utf-8", "surrogatepass"), UNNAMED, "cohort.csv", 1),
        (None, UNNAMED, "cohort.csv", 1),
    ],
)
def test_what_is_right_is_kept_and_each_fault_is_found(folder, text, name, table, faults):
    if text is not None:
        (folder / "site.toml").write_bytes(text if isinstance(text, bytes) else text.encode())

    settings, findings = salvage_site(folder)

    assert (settings.name, settings.table, len(findings)) == (name, table, faults)
    assert all(finding.where == "site.toml" for finding in findings)


def test_a_fault_in_a_section_costs_the_key_alone(folder):
    (folder / "site.toml").write_text(
        'name = "north"\ntable = "cohort.csv"\n[policy]\nmin_patients = 3\nmin_sites = "x"\n'
        "[mask]\nich = [3]\nivh = [4]\nignored = [3]\n"
    )

    settings, findings = salvage_site(folder)

    assert settings.policy.min_patients == 3
    assert settings.policy.min_sites == 2
    assert len(findings) == 2


def test_without_a_table_there_is_nothing_to_check(tmp_path):
    settings, (finding,) = salvage_site(tmp_path)
    assert settings is None
    assert "no such file" in finding.what
    assert salvage_site(tmp_path / "none")[0] is None
