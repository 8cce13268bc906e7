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

    salvaged = salvage_site(folder)
    settings, findings = salvaged.settings, salvaged.findings

    assert (settings.name, settings.table, len(findings)) == (name, table, faults)
    assert all(finding.where == "site.toml" for finding in findings)


def test_a_fault_in_a_section_costs_the_key_alone(folder):
    (folder / "site.toml").write_text(
        'name = "north"\ntable = "cohort.csv"\n[policy]\nmin_patients = 3\nmin_sites = "x"\n'
        "[mask]\nich = [3]\nivh = [4]\nignored = [3]\n"
    )

    salvaged = salvage_site(folder)
    settings, findings = salvaged.settings, salvaged.findings

    assert settings.policy.min_patients == 3
    assert settings.policy.min_sites == 2
    assert len(findings) == 2


def test_without_a_table_there_is_nothing_to_check(tmp_path):
    salvaged = salvage_site(tmp_path)
    assert salvaged.settings is None
    (finding,) = salvaged.findings
    assert "no such file" in finding.what
    assert salvage_site(tmp_path / "none").settings is None


def test_settings_that_cannot_be_read_ask_for_nothing(folder):
    (folder / "site.toml").write_text('name = "north"\ntable = cohort.csv\n')

    salvaged = salvage_site(folder)

    assert not salvaged.is_read
    assert (salvaged.settings.min_patients, salvaged.settings.min_per_class) == (1, 1)
    (finding,) = salvaged.findings
    assert "'table = cohort.csv'" in finding.what
    assert finding.remedy == "text stands in quotes, true and false do not"


def test_a_byte_order_mark_is_no_fault(folder):
    (folder / "site.toml").write_bytes(b'\xef\xbb\xbfname = "north"\ntable = "cohort.csv"\nfoo = 1\n')

    salvaged = salvage_site(folder)

    assert salvaged.settings.name == "north"
    (finding,) = salvaged.findings
    assert "site.toml:3: foo: unknown key" in finding.what
