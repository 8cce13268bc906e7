"""A new site folder, empty or around a hospital's own table, up to a check that accepts it."""

from __future__ import annotations

import ast
import io
import tomllib
from pathlib import Path

import openpyxl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.commands import run_command
from sites.handmade import _TABLE_DEFAULTS
from sites.own_exports import write_american, write_chinese
from sites.tables import read_cohort, table_only_hospital, write_cohort

import client.engine
from client.cohort.check import check_site
from client.cohort.new_site import NewSite, make_site
from client.engine import open_engine
from client.membership.membership import join_study
from client.membership.site import load_site
from common.errors import CohortError, SiteError
from common.messages.catalogue import Operation
from common.messages.headers import CODE_OK, RequestHeader
from common.messages.protocol import Request, encode_request
from common.plan.study import StudyPlan, load_plan
from common.runtime.name_patterns import derive_name
from server.provision.office import OfficeSettings, create_office

SCORES = Path(__file__).parents[3] / "deploy/plans/scores.toml"
VOLUMES = dict.fromkeys(("ich_volume_ml", "followup_ich_volume_ml"), 12.5) | dict.fromkeys(
    ("ivh_volume_ml", "followup_ivh_volume_ml"), 0
)


def fill(path: Path, rows: int, **more: object) -> None:
    book = openpyxl.load_workbook(path)
    sheet = book["patients"]
    headings = [cell.value for cell in sheet[1]]
    for number in range(rows):
        grown = {"followup_ich_volume_ml": 30} if number % 2 else {}
        values = _TABLE_DEFAULTS | VOLUMES | {"patient": f"N{number}"} | grown | more
        for column, heading in enumerate(headings, start=1):
            sheet.cell(number + 2, column, values.get(heading))
    book.save(path)


def findings(folder: Path, plan: StudyPlan | None = None) -> list[str]:
    return [str(one) for one in check_site(folder, Progress(disable=True), pixels=False, plan=plan).findings]


def test_a_new_folder_is_accepted_once_it_is_filled(tmp_path):
    made = run_command("rhe-client", "new", tmp_path / "Klinikum Köln", "--no-images")
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "Klinikum Köln"
    assert load_site(folder).name == derive_name("Klinikum Köln") == "Klinikum-Koeln"
    assert f"then: rhe-client check '{folder}'" in made.stdout

    fill(folder / "patients.xlsx", 24)

    assert findings(folder) == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [("ICH data (2024)", "ICH data (2024)"), ("_old:München", "old-Munchen"), ("!!", "hospital")],
)
def test_a_folder_s_name_is_written_as_people_write_it_where_a_plan_can(tmp_path, folder, name):
    make_site(NewSite(tmp_path / folder, as_csv=True))

    assert tomllib.loads((tmp_path / folder / "site.toml").read_text(encoding="utf-8"))["name"] == name


def test_nothing_is_made_of_a_name_or_a_table_that_is_none(tmp_path):
    with pytest.raises(SiteError, match="--name 'a/b': is no name"):
        make_site(NewSite(tmp_path / "n", name="a/b"))
    with pytest.raises(CohortError, match="export.csv: no such file -> correct the path"):
        make_site(NewSite(tmp_path / "n", source=tmp_path / "export.csv"))

    assert not (tmp_path / "n").exists()


def test_the_identifier_is_mapped_and_never_left_out(tmp_path):
    source = tmp_path / "own.csv"
    source.write_text("Kennung XY;Alter;Geschlecht\n" + "A1;60;m\nA2;70;w\n" * 5, encoding="utf-8")
    proposal = make_site(NewSite(tmp_path / "n", source=source))
    text = (tmp_path / "n/site.toml").read_text(encoding="utf-8")

    assert proposal is not None
    assert "patient" in {variable.name for variable in proposal.missing}
    assert "map one as `patient` below" in text
    assert "patient" not in text.split("# not_recorded = [")[1].split("]")[0].replace('"', "").split(", ")
    (said,) = [one for one in findings(tmp_path / "n") if "no column for 'patient'" in one]
    assert said.endswith("-> name your column under [mapping.columns] in site.toml")
    (tmp_path / "n/site.toml").write_text(text.replace("# not_recorded", "not_recorded").replace(
        "not_recorded = [", 'not_recorded = ["patient", '
    ), encoding="utf-8")  # fmt: skip
    with pytest.raises(SiteError, match="every patient needs a pseudonym"):
        load_site(tmp_path / "n")


def test_a_workbook_offers_what_its_cells_may_hold(tmp_path):
    run_command("rhe-client", "new", tmp_path / "n")

    sheet = openpyxl.load_workbook(tmp_path / "n/patients.xlsx")["patients"]
    checks = {str(one.sqref): one for one in sheet.data_validations.dataValidation}
    by_heading = {cell.value: checks[f"{cell.column_letter}2:{cell.column_letter}5000"] for cell in sheet[1]}
    assert by_heading["location"].formula1 == '"lobar,deep,infratentorial"'
    assert by_heading["smoking"].formula1 == '"0,1"'
    assert (by_heading["age"].formula1, by_heading["age"].formula2) == ("0", "120")
    assert {"baseline_ct", "baseline_mask"} <= set(by_heading)


def test_a_plan_says_which_columns_a_new_table_has(tmp_path):
    made = run_command("rhe-client", "new", tmp_path / "n", "--plan", SCORES, "--name", "center1", "--csv")

    assert made.returncode == 0, made.stderr
    headings = (tmp_path / "n/patients.csv").read_text(encoding="utf-8-sig").strip().split(",")
    assert {"patient", "vendor_x_risk", "radiologist_percent", "followup_ich_volume_ml"} <= set(headings)
    assert "baseline_ct" not in headings
    assert findings(tmp_path / "n", load_plan(SCORES))[0].endswith(
        "the table has headings but no patients -> add one row a patient"
    )


@pytest.mark.parametrize("write", [write_american, write_chinese])
def test_a_hospitals_own_table_becomes_a_site_folder(tmp_path, write):
    export = write(tmp_path, 40)

    made = run_command("rhe-client", "new", tmp_path / "site", "--from", export.path)

    assert made.returncode == 0, made.stderr
    assert "35 of 35 lines are sure" in made.stdout
    assert findings(tmp_path / "site") == []
    assert (tmp_path / "site" / export.path.name).read_bytes() == export.path.read_bytes()


def test_nothing_that_is_there_is_overwritten(tmp_path):
    export = write_chinese(tmp_path, 12)
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / export.path.name).write_text("mine")

    refused = run_command("rhe-client", "new", folder, "--from", export.path)
    assert (refused.returncode != 0, "is there already -> move it" in refused.stderr) == (True, True)
    assert (folder / export.path.name).read_text() == "mine"

    (folder / export.path.name).unlink()
    assert run_command("rhe-client", "new", folder, "--from", export.path).returncode == 0
    again = run_command("rhe-client", "new", folder)
    assert "there is a site already -> rhe-client map TABLE --write" in again.stderr


def test_a_mapping_is_written_into_a_site_file_that_keeps_its_comments(tmp_path):
    export = write_chinese(tmp_path, 12)
    site_file = tmp_path / "site.toml"
    site_file.write_text(
        f'# ours\nname = "n"\ntable = "{export.path.name}"\n[policy] # of May\nmin_patients = 5\n'
    )

    shown = run_command("rhe-client", "map", export.path)
    assert (shown.returncode, "nothing was written" in shown.stdout) == (0, True)
    assert "[mapping]" not in site_file.read_text()
    written = run_command("rhe-client", "map", export.path, "--write")
    assert written.returncode == 0, written.stderr
    assert site_file.read_text().startswith('# ours\nname = "n"\n')
    assert "[policy] # of May" in site_file.read_text()

    refused = run_command("rhe-client", "map", export.path, "--write")
    assert "has a [mapping] already -> --replace" in refused.stderr
    replaced = run_command("rhe-client", "map", export.path, "--replace", "--json")
    assert replaced.returncode == 0, replaced.stderr
    assert tomllib.loads(site_file.read_text())["mapping"]["headings_row"] == 3
    assert (tmp_path / "site.toml.old").exists()


def test_a_mapping_of_another_table_is_not_written(tmp_path):
    export = write_chinese(tmp_path, 12)
    (tmp_path / "site.toml").write_text('name = "n"\ntable = "other.csv"\n')

    refused = run_command("rhe-client", "map", export.path, "--write")

    assert "its table is 'other.csv', not '患者登记.csv' -> correct `table`" in refused.stderr


def test_a_table_of_ones_own_is_pointed_to_the_mapping(tmp_path):
    export = write_american(tmp_path, 12)
    (tmp_path / "site.toml").write_text(f'name = "n"\ntable = "{export.path.name}"\n')
    book = openpyxl.load_workbook(export.path)
    book.active.delete_rows(1, 2)
    book.save(export.path)

    notes = check_site(tmp_path, Progress(disable=True), pixels=False).notes

    assert any("rhe-client map ICH pull.xlsx proposes how they are read" in str(note) for note in notes)


def test_what_root_writes_belongs_to_the_folders_owner(tmp_path, monkeypatch):
    """As root a site folder is made for the engine's user, who must read it."""
    changed = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.chown", lambda path, user, group: changed.append((Path(path).name, user, group)))

    run_command("rhe-client", "new", tmp_path / "n", "--csv")

    owner = (tmp_path / "n").stat()
    assert changed == [(name, owner.st_uid, owner.st_gid) for name in ("patients.csv", "site.toml")]


def test_every_refused_cell_is_named_once_a_column_and_value(tmp_path):
    folder = table_only_hospital(tmp_path / "a", "a", 400)
    rows = read_cohort(folder)
    for number, row in enumerate(rows):
        row["smoking"] = ("ja", "nein", "ehemals")[number % 3]
        row["diabetes"] = "ja"
        row["age"] = str(500 + number)
    write_cohort(folder, rows)

    lines = run_command("rhe-client", "check", folder, "--no-pixels").stdout.splitlines()

    refused = [line for line in lines if ": refused: cohort.csv, row" in line]
    assert len(refused) == 5
    assert any(
        "column 'smoking'" in line and "'nein'" in line and "(and 132 more like this" in line
        for line in refused
    )
    assert any(
        "column 'diabetes'" in line and "(and 399 more like this, rows 3-401;" in line for line in refused
    )


# The mapping stays at the hospital

SECRET = "Geheime-Spalte"


@pytest.fixture
def mapped_site(tmp_path) -> Path:
    folder = table_only_hospital(tmp_path / "center1", "center1", 60, scores=("vendor_x_risk",))
    rows = read_cohort(folder)
    own = {"age": SECRET, "alcohol": f"{SECRET}-2"}
    codes = {"0": f"{SECRET}-nein", "1": f"{SECRET}-ja"}
    for row in rows:
        row["alcohol"] = codes.get(str(row["alcohol"]), row["alcohol"])
    write_cohort(folder, [{own.get(name, name): value for name, value in row.items()} for row in rows])
    values = ", ".join(f'"{code}" = {number}' for number, code in codes.items())
    (folder / "site.toml").write_text(
        (folder / "site.toml").read_text()
        + f'\n[mapping.columns]\nage = "{SECRET}"\n'
        + f'alcohol = {{ heading = "{SECRET}-2", values = {{ {values} }} }}\n'
    )
    return folder


def a_plan() -> StudyPlan:
    return StudyPlan.model_validate(
        {
            "name": "A study",
            "seed": 7,
            "profile": "simulation",
            "two_site_ack": True,
            "phases": ["cohort", "evaluation"],
            "privacy": {"secure": False},
            "sites": [{"name": "center1", "role": "external"}, {"name": "b", "role": "external"}],
            "models": [{"kind": "scores", "name": "V", "column": "vendor_x_risk"}],
        }
    )


@pytest.mark.parametrize("refused", [False, True])
def test_no_reply_tells_of_the_mapping(mapped_site, tmp_path, refused):
    if refused:
        table = mapped_site / "cohort.csv"
        table.write_text(table.read_text().replace(f"{SECRET}-2", f"{SECRET}-3"))
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    plan = a_plan()
    engine = open_engine(mapped_site, plan, key.public_key(), tmp_path / "state", Progress(disable=True))
    for operation in (Operation.DESCRIBE, Operation.PREPARE, Operation.COHORT):
        header = RequestHeader(operation=operation, plan_hash=plan.digest(), site="center1")

        reply = engine.handle(encode_request(Request(header, None, {}), key))

        assert CODE_OK.encode() in reply or refused or operation is Operation.COHORT
        assert SECRET.encode() not in reply
        assert b"mapping" not in reply


def test_no_card_tells_of_the_mapping(mapped_site, tmp_path):
    (tmp_path / "study.toml").write_text(
        'name = "A study"\nseed = 1\nprofile = "simulation"\nphases = ["cohort", "evaluation"]\n'
        "two_site_ack = true\n"
        "[privacy]\nsecure = false\n"
        '[[sites]]\nname = "center1"\nrole = "external"\n[[sites]]\nname = "b"\nrole = "external"\n'
        '[[models]]\nkind = "scores"\nname = "V"\ncolumn = "vendor_x_risk"\n'
    )
    settings = OfficeSettings(host="localhost", port=1)
    invitation = create_office(tmp_path / "office", tmp_path / "study.toml", settings).invitation

    member = join_study(mapped_site, mapped_site / ".rhe", invitation)

    content = member.card.read_bytes()
    assert SECRET.encode() not in content
    assert b"mapping" not in content


def test_only_what_reads_the_table_knows_the_mapping():
    """What answers, releases or connects cannot send what it never sees."""
    root = Path(client.engine.__file__).parent
    readers = set()
    for path in root.rglob("*.py"):
        names = [
            node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
        ]
        if "mapping" in names:
            readers.add(path.relative_to(root).as_posix())

    assert readers == {"cohort/intake.py", "predict/request.py"}


def test_the_explanation_of_the_columns_is_no_table(tmp_path):
    run_command("rhe-client", "new", tmp_path / "n")

    book = openpyxl.load_workbook(io.BytesIO((tmp_path / "n/patients.xlsx").read_bytes()))

    assert book.sheetnames == ["patients", "columns"]
    assert "the table has headings but no patients" in findings(tmp_path / "n")[0]
