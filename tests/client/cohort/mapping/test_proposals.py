"""What is proposed for tables of hospitals, and what is not."""

from __future__ import annotations

import tomllib
from fractions import Fraction

import openpyxl
import pytest
from sites.first_sight_exports import FIRST_SIGHT
from sites.fresh_exports import FRESH
from sites.own_exports import WRITERS, write_american, write_german
from sites.unseen_exports import UNSEEN

from client.cohort.mapping.layout_guess import guess_layout
from client.cohort.mapping.proposal import propose_mapping
from client.cohort.mapping.proposal_table import list_proposal_lines, make_proposal_table, report_proposal
from client.cohort.mapping.toml_text import has_mapping, insert_mapping, render_mapping
from common.cohort.columns import WantedColumns
from common.cohort.schema import VARIABLES
from common.cohort.table import read_table
from common.cohort.table_mapping import TableMapping
from common.cohort.variable import Range, Variable
from common.errors import CohortError

PATIENTS = 12
EXPECTED, AT_FIRST_SIGHT = 0.85, 0.9
"""Share of an export's columns that are right unaided."""


def label(column) -> str:
    return f"{column.heading}@{column.event}" if column.event else column.heading


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_exports_are_understood_and_read(tmp_path, write):
    export = write(tmp_path, PATIENTS)

    proposal = propose_mapping(export.path, VARIABLES, export.dictionary)

    sure = {label(one): one for one in proposal.columns if one.is_sure}
    assert {
        heading: one.variable.name for heading, one in sure.items() if heading in export.truth
    } == export.truth
    assert set(sure) <= set(export.truth), "no confident error"
    assert {one.variable.name: one.unit for one in sure.values() if one.unit} == export.units
    mapping = TableMapping.model_validate(tomllib.loads(render_mapping(proposal))["mapping"])
    table = read_table(export.path, wanted=WantedColumns(images=False), mapping=mapping)
    assert len(table.patients) == PATIENTS
    assert all(30 < patient.number("age") < 95 for patient in table.patients)
    assert all(100 < patient.number("sbp_mmhg") < 230 for patient in table.patients)
    assert {patient.level("sex") for patient in table.patients} == {"male", "female"}


@pytest.mark.parametrize("write", [*UNSEEN, *FRESH, *FIRST_SIGHT], ids=lambda write: write.__name__)
def test_other_exports_are_mostly_understood_and_nothing_sure_is_wrong(tmp_path, write):
    export = write(tmp_path, PATIENTS)

    proposal = propose_mapping(export.path, VARIABLES)

    sure = {one.heading: one.variable.name for one in proposal.columns if one.is_sure}
    assert sure.items() <= export.truth.items(), "no confident error"
    assert {one.variable.name: one.unit for one in proposal.columns if one.is_sure and one.unit}.items() <= (
        export.units.items()
    )
    unused = len(export.headings) - len(export.truth)
    floor = AT_FIRST_SIGHT if write in FIRST_SIGHT else EXPECTED
    assert len(sure) + unused >= floor * len(export.headings)


class Sheets:
    def __init__(self, folder):
        self.folder = folder

    def propose(self, variables=VARIABLES, **columns):
        """The proposal for a table of these columns; ten patients unless more values are given."""
        size = max([10, *(len(values) for values in columns.values() if isinstance(values, list))])
        book = openpyxl.Workbook()
        book.active.append(["Patient ID", *columns])
        for row in range(size):
            book.active.append([f"Q{row}", *(values[row % len(values)] for values in columns.values())])
        book.save(self.folder / "own.xlsx")
        proposal = propose_mapping(self.folder / "own.xlsx", variables)
        return {one.variable.name: one for one in proposal.columns}


@pytest.fixture
def sheets(tmp_path):
    return Sheets(tmp_path)


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "Follow-up SBP",
            "SBP at 24h",
            "SBP discharge",
            "Systolic BP target",
            "RR systolisch Entlassung",
            "复查收缩压",
        ),
        *("PAS de contrôle", "TAS alta", "SBP day 7", "max SBP in ICU"),
    ],
)
def test_no_later_value_is_proposed_for_the_baseline(sheets, heading):
    assert "sbp_mmhg" not in sheets.propose(**{heading: [150, 170, 190]})


@pytest.mark.parametrize("heading", ["Family history of hypertension", "Père hypertendu", "高血压家族史"])
def test_no_relative_is_taken_for_the_patient(sheets, heading):
    found = sheets.propose(**{heading: ["Y", "N"]}).get("hypertension")

    assert found is None or not found.is_sure


def test_what_only_sounds_like_a_variable_is_not_taken_for_it(sheets):
    """Of 139 such headings these are the nearest; none of them may be written without a question."""
    flags = (
        "HIV|Pulmonary hypertension|Gestational diabetes|Diabetes insipidus|Portal hypertension|"
        "Smoking cessation advice|Passive smoking|Alcohol withdrawal|Anticoagulation restarted|"
        "Anticoagulation reversal|History of SAH|Previous SAH|Prior ischemic stroke|"
        "Subdural hemorrhage|GI bleeding|Craniotomy after CT|EVD|Hematoma evacuation|IVH expansion|"
        "Irregular pulse|Satellite clinic|Motion artefacts MRI|Antihypertensive therapy|"
        "Repeat CT done|Hypoglycemia|肺动脉高压|妊娠糖尿病|硬膜下血肿|Lungenhochdruck|Rauchstopp|"
        "Blutungsursache|HTA pulmonaire|Fumo passivo"
    )
    numbers = (
        "Edema volume (ml)|Second hematoma volume|Hematoma diameter|ICH growth (ml)|ICH volume MRI|"
        "Brain volume (ml)|Onset to door (min)|CT to needle (min)|Onset to surgery (h)|"
        "Mean arterial pressure|Pulse pressure|SBP max|INR target|水肿体积|术后血肿体积|收缩压目标|"
        "Volume œdème (ml)|Age at death|Age of father|Systolic BP variability"
    )

    yes_and_no = {heading: ["Y", "N"] for heading in flags.split("|")}
    measured = {heading: [20, 45, 60] for heading in numbers.split("|")}

    found = sheets.propose(**yes_and_no, **measured)

    assert [one.heading for one in found.values() if one.is_sure] == ["Patient ID"]


@pytest.mark.parametrize(
    ("heading", "values", "variable"),
    [
        ("Sex", [1, 2], "sex"),
        ("Sexo", ["H", "M"], "sex"),
        ("Smoking", [1, 2], "smoking"),
        ("Diabetes", ["type 1", "type 2", "Y"], "diabetes"),
        ("Hypertension", ["Y", None], "hypertension"),
        ("Age", [2, 3, 4], "age"),
        ("SBP", [18, 21, 23], "sbp_mmhg"),
        ("Onset to CT", [90, 240, 600], "onset_to_ct_h"),
        ("Bleed location", ["A", "B", "C"], "location"),
        ("ICH volume (mm)", [20, 30, 40], "ich_volume_ml"),
    ],
)
def test_values_that_do_not_tell_what_they_mean_are_asked_for(sheets, heading, values, variable):
    found = sheets.propose(**{heading: values}).get(variable)

    assert found is None or (not found.is_sure and found.doubts)


def test_two_columns_that_may_be_the_same_are_both_asked_for(sheets):
    found = sheets.propose(**{"Systolic BP": [150, 160], "SBP": [151, 161]})["sbp_mmhg"]

    assert not found.is_sure
    assert found.doubts == ("'SBP' may be it as well",)


def test_dates_and_comments_are_no_numbers(sheets):
    import datetime as dt

    found = sheets.propose(Age=[dt.date(1950, 1, 1)], Smoking=[f"quit in {year}" for year in range(50)])

    assert set(found) == {"patient"}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["ja", "nein"], {"ja": "1", "nein": "0"}),
        (["oui", "non"], {"oui": "1", "non": "0"}),
        (["sí", "no", "desconocido"], {"sí": "1", "no": "0", "desconocido": ""}),
        (["N"], {"n": "0", "y": "1"}),
        ([0, 1], {}),
    ],
)
def test_codes_of_several_languages_are_known(sheets, codes, expected):
    found = sheets.propose(Diabetes=codes)["diabetes"]

    assert found.is_sure or len(codes) == 1
    for code, meaning in expected.items():
        assert found.values[code] == meaning
    assert bool(found.values) == bool(expected)


def test_variables_of_the_plan_are_looked_for_by_name_and_label(sheets):
    own = (
        Variable("gcs", "continuous", "own", "Glasgow Coma Scale", "", possible=Range(3, 15), whole=True),
        Variable("glucose", "continuous", "own", "Glucose", "", unit="mmol/l", possible=Range(1, 60)),
    )

    found = sheets.propose((*VARIABLES, *own), **{"GCS": [5, 9, 14], "Glucose (mg/dL)": [90, 120, 300]})

    assert found["gcs"].is_sure
    assert (found["glucose"].is_sure, found["glucose"].unit) == (True, "mg/dL")


GERMAN = "Fall-ID;Alter;Größe;Lähmung;Hämatomvolumen (ml);Blutdruck systolisch\nA1;61;1,8;ja;12,5;160\n"
FRENCH = "Identifiant;Âge;Sexe;Diabète;Début;Décès\nA1;61;F;oui;été;non\n"
JAPANESE = "患者ID,年齢,性別,喫煙歴,血腫量 (ml)\nA1,61,男,有,12.5\n"
TAIWANESE = "病歷號碼,年齡,性別,收縮壓 CT前\nA1,61,男,160\n"
CHINESE = "患者编号,年龄,性别,首次CT至复查CT间隔(h),GCS评分\nA1,61,男,24,heparin治疗与warfarin\n"


@pytest.mark.parametrize(
    ("text", "encoding", "separator"),
    [
        *((GERMAN, encoding, ";") for encoding in ("utf-8", "utf-16", "cp1252")),
        *((FRENCH, encoding, ";") for encoding in ("utf-8", "cp1252")),
        *((JAPANESE, encoding, ",") for encoding in ("utf-8", "utf-16", "shift_jis")),
        *((TAIWANESE, encoding, ",") for encoding in ("utf-8", "big5")),
        *((CHINESE, encoding, ",") for encoding in ("utf-8", "gb18030", "utf-16")),
    ],
)
def test_characters_and_separators_are_found(tmp_path, text, encoding, separator):
    path = tmp_path / "own.csv"
    path.write_bytes(text.encode(encoding))

    layout = guess_layout(path)

    assert (layout.options.encoding, layout.options.separator) == (encoding, separator)
    assert layout.sheet.header == tuple(text.partition("\n")[0].split(separator))


def test_no_identifier_and_no_path_is_shown(tmp_path):
    export = write_american(tmp_path, PATIENTS)
    proposal = propose_mapping(export.path, VARIABLES)

    shown = report_proposal(proposal).model_dump_json() + "".join(list_proposal_lines(proposal))

    assert "12 different" in shown
    assert not any(str(5000 + number) in shown for number in range(1, PATIENTS + 1))
    assert make_proposal_table(proposal).row_count == len(proposal.columns)


def test_a_follow_up_that_no_event_names_is_asked_for(tmp_path):
    export = write_german(tmp_path, PATIENTS)
    text = export.path.read_text().replace("aufnahme_arm_1", "e1_arm_1").replace("verlauf_arm_1", "e2_arm_1")
    export.path.write_text(text)

    proposal = propose_mapping(export.path, VARIABLES, export.dictionary)

    assert not any(one.is_sure for one in proposal.columns)
    assert "is 'e1_arm_1' the event of the baseline?" in proposal.doubts[0]
    assert not any(one.event for one in proposal.columns)


def test_a_file_that_is_no_data_dictionary_is_refused(tmp_path):
    export = write_german(tmp_path, PATIENTS)

    with pytest.raises(CohortError, match="has no columns 'Variable / Field Name' and 'Field Label'"):
        propose_mapping(export.path, VARIABLES, export.path)


def test_what_is_not_sure_is_written_as_a_comment(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["Patient ID", "Sex", "Alter"])
    for row in range(8):
        book.active.append([f"Q{row}", row % 2 + 1, 60 + row])
    book.save(tmp_path / "own.xlsx")

    text = render_mapping(propose_mapping(tmp_path / "own.xlsx", VARIABLES))

    assert tomllib.loads(text)["mapping"]["columns"] == {"patient": "Patient ID", "age": "Alter"}
    assert "# not sure (0.50): what does '1', '2' mean?\n# sex = \"Sex\"\n" in text
    assert '# not_recorded = ["alcohol", ' in text


def test_a_site_file_keeps_its_comments_whatever_is_written_into_it():
    text = (
        '# ours\nname = "n"  # do not touch\n\n[mapping.columns]\nage = "x"\n\n'
        "[policy]  # agreed in May\nmin_sites = 3\n"
    )

    written = insert_mapping(text, "[mapping]\nheadings_row = 2\n")

    assert has_mapping(text)
    assert '"x"' not in written
    for line in ("# ours", 'name = "n"  # do not touch', "[policy]  # agreed in May", "min_sites = 3"):
        assert line in written
    assert tomllib.loads(written)["mapping"] == {"headings_row": 2}
    assert tomllib.loads(insert_mapping('name = "n"', "[mapping]\nheadings_row = 2\n"))["name"] == "n"


@pytest.mark.parametrize(
    ("value", "unit", "expected"), [(Fraction(45, 2), "kPa", 168.76), (18, "cm Hg", 180)]
)
def test_units_in_headings_are_converted(sheets, value, unit, expected):
    found = sheets.propose(**{f"SBP ({unit})": [float(value)]})["sbp_mmhg"]

    assert (found.unit, found.is_sure) == (unit, True)
    from common.cohort.unit_conversions import find_conversion

    assert find_conversion(found.variable, unit).convert(float(value)) == pytest.approx(expected, abs=0.01)
