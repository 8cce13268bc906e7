"""Exports as hospitals have them: own headings, codes, units, encodings and layout.

Their headings were written down before any word of `client.cohort.mapping`, so that they measure what it
knows. Each export tells which column holds which variable; every other column is none of the study's.
"""

# ruff: noqa: RUF001 - Chinese headings have Chinese brackets
from __future__ import annotations

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import openpyxl

Truth = Mapping[str, str]
"""Variable by heading; of a long export "heading@event"."""


@dataclass(frozen=True)
class Export:
    """One hospital's file, and what its columns hold.

    Attributes
    ----------
    path : Path
        The table.
    truth : mapping of str to str
        Variable by heading, of every column of the study's.
    headings : tuple of str
        Every heading; those that are not in `truth` are none of the study's.
    dictionary : Path or None
        REDCap's data dictionary.
    units : mapping of str to str
        Unit by variable, where it is not the study's.
    """

    path: Path
    truth: Truth
    headings: tuple[str, ...]
    dictionary: Path | None = None
    units: Mapping[str, str] = field(default_factory=dict)


def draw_patients(number: int, seed: int) -> list[dict[str, Any]]:
    """Patients in the study's own words."""
    dice = random.Random(seed)
    patients = []
    for index in range(1, number + 1):
        ich = round(dice.uniform(3, 60), 1)
        ivh = dice.random() < 0.4
        sbp = dice.randint(130, 210)
        patients.append(
            {
                "number": index,
                "male": dice.random() < 0.6,
                "age": dice.randint(38, 91),
                **{name: dice.random() < 0.3 for name in _FLAGS},
                "onset_h": round(dice.uniform(0.7, 20), 2),
                "sbp": sbp,
                "dbp": sbp - dice.randint(40, 80),
                "inr": round(dice.uniform(0.9, 2.6), 2),
                "ich": ich,
                "ivh": ivh,
                "ivh_ml": round(dice.uniform(0.5, 20), 1) if ivh else 0.0,
                "location": dice.choice(("lobar", "deep", "infratentorial")),
                "interval_h": round(dice.uniform(6, 48), 1),
                "ich_later": round(ich * dice.uniform(0.9, 1.6), 1),
                "glucose": dice.randint(80, 260),
                "gcs": dice.randint(6, 15),
            }
        )
    return patients


_FLAGS = (
    *("smoking", "alcohol", "diabetes", "hypertension", "antithrombotic", "anticoagulation", "warfarin"),
    *("recurrent", "sah", "irregular", "satellite", "island", "black_hole", "blend", "fluid", "swirl"),
    *("hypodensity", "heterogeneous"),
)


def _comma(value: float) -> str:
    return str(value).replace(".", ",")


def write_german(folder: Path, number: int = 40) -> Export:
    """A REDCap export in its long format, with its data dictionary: raw codes, German labels."""
    fields = (
        ("record_id", "text", "Studien-ID", ""),
        ("geschl", "radio", "Geschlecht", "1, männlich | 2, weiblich"),
        ("alter_aufn", "text", "Alter bei Aufnahme (Jahre)", ""),
        ("nikotin", "yesno", "Nikotinabusus (aktuell oder früher)", ""),
        ("c2", "yesno", "Alkoholkonsum", ""),
        ("dm", "yesno", "Diabetes mellitus bekannt", ""),
        ("aht", "yesno", "Arterielle Hypertonie", ""),
        ("sympt_ct", "text", "Zeit Symptombeginn bis erstes CT (min)", ""),
        ("rrsys", "text", "Blutdruck systolisch (mmHg)", ""),
        ("rrdia", "text", "Blutdruck diastolisch (mmHg)", ""),
        ("inr", "text", "INR", ""),
        ("tah", "yesno", "Thrombozytenaggregationshemmer vor Blutung", ""),
        ("oak", "radio", "Orale Antikoagulation bei Aufnahme", "0, nein | 1, ja | 9, unbekannt"),
        ("vka", "yesno", "Marcumar/Warfarin", ""),
        ("vorblutung", "yesno", "Frühere intrazerebrale Blutung", ""),
        ("icb_vol", "text", "ICB-Volumen (ml)", ""),
        ("ivb_vol", "text", "IVB-Volumen (ml)", ""),
        ("lok", "radio", "Blutungslokalisation", "1, lobär | 2, Stammganglien/tief | 3, infratentoriell"),
        ("ivb", "yesno", "Ventrikeleinbruch (IVB)", ""),
        ("sab", "yesno", "Subarachnoidale Blutung", ""),
        ("irreg", "yesno", "Irreguläre Form", ""),
        ("satellit", "yesno", "Satellitenzeichen", ""),
        ("island", "yesno", "Island sign", ""),
        ("blackhole", "yesno", "Black-Hole-Zeichen", ""),
        ("blend", "yesno", "Blend sign", ""),
        ("spiegel", "yesno", "Flüssigkeitsspiegel", ""),
        ("swirl", "yesno", "Swirl sign", ""),
        ("hypodens", "yesno", "Hypodensitäten im Hämatom", ""),
        ("hetero", "yesno", "Heterogene Dichte", ""),
        ("prim_ivb", "yesno", "Primäre intraventrikuläre Blutung", ""),
        ("op_vor_ct", "yesno", "Operation oder EVD vor CT", ""),
        ("artefakt", "yesno", "Bildartefakte", ""),
        ("ct1_ct2", "text", "Zeit zwischen erstem CT und Kontroll-CT (h)", ""),
        ("mrs_90", "text", "mRS nach 90 Tagen", ""),
        ("bemerkung", "notes", "Bemerkung", ""),
    )
    dictionary = folder / "datadictionary.csv"
    with dictionary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        heads = ("Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label")
        writer.writerow((*heads, "Choices, Calculations, OR Slider Labels", "Field Note"))
        for name, kind, label, choices in fields:
            writer.writerow((name, "baseline", "", kind, label, choices, ""))
    names = [name for name, *_ in fields]
    events = ("redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance")
    header = [names[0], *events, *names[1:]]
    rows: list[dict[str, Any]] = []
    for one in draw_patients(number, 1):
        base: dict[str, Any] = {"record_id": f"HD-{one['number']:03}", "redcap_event_name": "aufnahme_arm_1"}
        base |= {"geschl": 1 if one["male"] else 2, "alter_aufn": one["age"], "inr": one["inr"]}
        base |= {"sympt_ct": round(one["onset_h"] * 60), "rrsys": one["sbp"], "rrdia": one["dbp"]}
        base |= {"icb_vol": one["ich"], "ivb_vol": one["ivh_ml"], "ivb": int(one["ivh"]), "prim_ivb": 0}
        base |= {"op_vor_ct": 0, "artefakt": 0, "oak": 1 if one["warfarin"] else 0}
        base |= {"lok": ("lobar", "deep", "infratentorial").index(one["location"]) + 1, "bemerkung": "o. B."}
        for name, source in _GERMAN_FLAGS.items():
            base[name] = int(one[source])
        rows.append(base)
        later: dict[str, Any] = {"record_id": base["record_id"], "redcap_event_name": "verlauf_arm_1"}
        later |= {"icb_vol": one["ich_later"], "ivb_vol": one["ivh_ml"], "ct1_ct2": one["interval_h"]}
        later |= {"rrsys": one["sbp"] - 40, "rrdia": one["dbp"] - 30}
        rows.append(later)
        rows.append(
            {
                "record_id": base["record_id"],
                "redcap_event_name": "aufnahme_arm_1",
                "redcap_repeat_instrument": "labor",
                "redcap_repeat_instance": 1,
            }
        )
        rows.append({"record_id": base["record_id"], "redcap_event_name": "tag90_arm_1", "mrs_90": 3})
    path = folder / "redcap_export.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for row in rows:
            writer.writerow([row.get(name, "") for name in header])
    truth = {
        "record_id": "patient",
        "geschl": "sex",
        "alter_aufn": "age",
        "nikotin": "smoking",
        "c2": "alcohol",
        "dm": "diabetes",
        "aht": "hypertension",
        "sympt_ct": "onset_to_ct_h",
        "rrsys": "sbp_mmhg",
        "rrdia": "dbp_mmhg",
        "inr": "inr",
        "tah": "antithrombotic",
        "oak": "anticoagulation",
        "vka": "warfarin",
        "vorblutung": "recurrent_ich",
        "icb_vol": "ich_volume_ml",
        "ivb_vol": "ivh_volume_ml",
        "lok": "location",
        "ivb": "ivh",
        "sab": "sah",
        "irreg": "irregular_shape",
        "satellit": "satellite_sign",
        "island": "island_sign",
        "blackhole": "black_hole_sign",
        "blend": "blend_sign",
        "spiegel": "fluid_level",
        "swirl": "swirl_sign",
        "hypodens": "hypodensity",
        "hetero": "heterogeneous_density",
        "prim_ivb": "primary_ivh",
        "op_vor_ct": "prior_surgery",
        "artefakt": "artefacts",
        "ct1_ct2@verlauf_arm_1": "ct_to_followup_h",
        "icb_vol@verlauf_arm_1": "followup_ich_volume_ml",
        "ivb_vol@verlauf_arm_1": "followup_ivh_volume_ml",
    }
    return Export(path, truth, tuple(header), dictionary, {"onset_to_ct_h": "minutes"})


_GERMAN_FLAGS = {
    "nikotin": "smoking",
    "c2": "alcohol",
    "dm": "diabetes",
    "aht": "hypertension",
    "tah": "antithrombotic",
    "vka": "warfarin",
    "vorblutung": "recurrent",
    "sab": "sah",
    "irreg": "irregular",
    "satellit": "satellite",
    "island": "island",
    "blackhole": "black_hole",
    "blend": "blend",
    "spiegel": "fluid",
    "swirl": "swirl",
    "hypodens": "hypodensity",
    "hetero": "heterogeneous",
}


def write_chinese(folder: Path, number: int = 40) -> Export:
    """A CSV that a Chinese Excel saved (GB18030): a title, headings in row 3, and lines of totals."""
    truth = {
        "住院号": "patient",
        "性别": "sex",
        "年龄（岁）": "age",
        "吸烟史": "smoking",
        "饮酒史": "alcohol",
        "糖尿病史": "diabetes",
        "高血压病史": "hypertension",
        "发病至首次CT时间(h)": "onset_to_ct_h",
        "入院收缩压(mmHg)": "sbp_mmhg",
        "入院舒张压(mmHg)": "dbp_mmhg",
        "国际标准化比值": "inr",
        "抗血小板药物": "antithrombotic",
        "抗凝治疗": "anticoagulation",
        "华法林": "warfarin",
        "既往脑出血": "recurrent_ich",
        "血肿体积(ml)": "ich_volume_ml",
        "脑室出血量(ml)": "ivh_volume_ml",
        "出血部位": "location",
        "破入脑室": "ivh",
        "蛛网膜下腔出血": "sah",
        "形态不规则": "irregular_shape",
        "卫星征": "satellite_sign",
        "岛征": "island_sign",
        "黑洞征": "black_hole_sign",
        "混合征": "blend_sign",
        "液平面": "fluid_level",
        "漩涡征": "swirl_sign",
        "低密度征": "hypodensity",
        "密度不均": "heterogeneous_density",
        "原发性脑室出血": "primary_ivh",
        "CT前手术": "prior_surgery",
        "伪影": "artefacts",
        "首次CT至复查CT间隔(h)": "ct_to_followup_h",
        "复查血肿体积(ml)": "followup_ich_volume_ml",
        "复查脑室出血量(ml)": "followup_ivh_volume_ml",
    }
    header = ["序号", *truth, "入院血糖(mmol/L)", "GCS评分", "出院mRS", "备注"]
    places = {"lobar": "脑叶", "deep": "基底节", "infratentorial": "小脑"}
    lines: list[list[object]] = [["脑出血患者登记表"], ["统计日期：2024年3月"], list(header)]
    for one in draw_patients(number, 2):
        row: dict[str, Any] = {
            "序号": one["number"],
            "住院号": f"ZY{20240000 + one['number']}",
            "性别": "男" if one["male"] else "女",
            "年龄（岁）": one["age"],
            "发病至首次CT时间(h)": one["onset_h"],
            "入院收缩压(mmHg)": one["sbp"],
            "入院舒张压(mmHg)": one["dbp"],
            "国际标准化比值": one["inr"],
            "血肿体积(ml)": one["ich"],
            "脑室出血量(ml)": one["ivh_ml"],
            "出血部位": places[one["location"]],
            "破入脑室": _shi(one["ivh"]),
            "原发性脑室出血": "否",
            "CT前手术": "否",
            "伪影": "无",
            "首次CT至复查CT间隔(h)": one["interval_h"],
            "复查血肿体积(ml)": one["ich_later"],
            "复查脑室出血量(ml)": one["ivh_ml"],
            "出院mRS": 3,
            "入院血糖(mmol/L)": round(one["glucose"] / 18, 1),
            "GCS评分": one["gcs"],
            "备注": "",
            "抗凝治疗": _shi(one["warfarin"]),
        }
        row |= {heading: _shi(one[name]) for heading, name in _CHINESE_FLAGS.items()}
        lines.append([row[heading] for heading in header])
    lines.append(["合计", f"{number}例"])
    lines.append(["注：血肿体积由ABC/2法测量"])
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    path = folder / "患者登记.csv"
    path.write_bytes(text.getvalue().encode("gb18030"))
    return Export(path, truth, tuple(header))


_CHINESE_FLAGS = {
    "吸烟史": "smoking",
    "饮酒史": "alcohol",
    "糖尿病史": "diabetes",
    "高血压病史": "hypertension",
    "抗血小板药物": "antithrombotic",
    "华法林": "warfarin",
    "既往脑出血": "recurrent",
    "蛛网膜下腔出血": "sah",
    "形态不规则": "irregular",
    "卫星征": "satellite",
    "岛征": "island",
    "黑洞征": "black_hole",
    "混合征": "blend",
    "液平面": "fluid",
    "漩涡征": "swirl",
    "低密度征": "hypodensity",
    "密度不均": "heterogeneous",
}


def _shi(value: object) -> str:
    return "是" if value else "否"


def write_american(folder: Path, number: int = 40) -> Export:
    """An Excel workbook: a banner, Y/N and M/F, kPa, minutes, dates of birth, a mean at the end."""
    truth = {
        "MRN (de-id)": "patient",
        "Gender": "sex",
        "Age at Presentation": "age",
        "Tobacco Use": "smoking",
        "EtOH": "alcohol",
        "DM2": "diabetes",
        "HTN": "hypertension",
        "LKW to CT (min)": "onset_to_ct_h",
        "Sys BP kPa": "sbp_mmhg",
        "Dias BP kPa": "dbp_mmhg",
        "INR on arrival": "inr",
        "Antiplatelet": "antithrombotic",
        "Anticoag": "anticoagulation",
        "Coumadin": "warfarin",
        "Prior ICH": "recurrent_ich",
        "ICH Vol (cc)": "ich_volume_ml",
        "IVH Vol (cc)": "ivh_volume_ml",
        "Bleed Location": "location",
        "IVH?": "ivh",
        "SAH?": "sah",
        "Irregular margins": "irregular_shape",
        "Satellite": "satellite_sign",
        "Island": "island_sign",
        "Black Hole": "black_hole_sign",
        "Blend": "blend_sign",
        "Fluid-fluid level": "fluid_level",
        "Swirl": "swirl_sign",
        "Hypodensities": "hypodensity",
        "Heterogeneous": "heterogeneous_density",
        "Isolated IVH": "primary_ivh",
        "EVD/crani before CT": "prior_surgery",
        "Motion artifact": "artefacts",
        "CT1 to CT2 (min)": "ct_to_followup_h",
        "Repeat ICH Vol (cc)": "followup_ich_volume_ml",
        "Repeat IVH Vol (cc)": "followup_ivh_volume_ml",
    }
    others = ("DOB", "Glucose", "GCS", "Discharge SBP", "24h INR", "Race", "Comments")
    header = [*list(truth)[:3], *others[:1], *list(truth)[3:], *others[1:]]
    places = {"lobar": "Lobar", "deep": "Basal ganglia", "infratentorial": "Cerebellum"}
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "ICH registry"
    sheet.append(["Comprehensive Stroke Center - ICH registry pull"])
    sheet.merge_cells("A1:F1")
    sheet.append([])
    sheet.append(header)
    for one in draw_patients(number, 3):
        row: dict[str, Any] = {
            "MRN (de-id)": 5000 + one["number"],
            "Gender": "M" if one["male"] else "F",
            "Age at Presentation": one["age"],
            "DOB": date(1950, 1, 1) + timedelta(37 * one["number"]),
            "LKW to CT (min)": round(60 * one["onset_h"]),
            "Sys BP kPa": round(one["sbp"] / 7.5006, 1),
            "Dias BP kPa": round(one["dbp"] / 7.5006, 1),
            "INR on arrival": one["inr"],
            "ICH Vol (cc)": one["ich"],
            "IVH Vol (cc)": one["ivh_ml"],
            "Bleed Location": places[one["location"]],
            "IVH?": _yes(one["ivh"]),
            "Isolated IVH": "N",
            "EVD/crani before CT": "N",
            "Motion artifact": "N",
            "CT1 to CT2 (min)": round(60 * one["interval_h"]),
            "Repeat ICH Vol (cc)": one["ich_later"],
            "Repeat IVH Vol (cc)": one["ivh_ml"],
            "Glucose": one["glucose"],
            "GCS": one["gcs"],
            "Discharge SBP": one["sbp"] - 40,
            "24h INR": 1.0,
            "Race": "White",
            "Comments": None,
            "Anticoag": _yes(one["warfarin"]),
        }
        row |= {heading: _yes(one[name]) for heading, name in _AMERICAN_FLAGS.items()}
        sheet.append([row[heading] for heading in header])
    sheet.append(["Mean", None, 63.2])
    path = folder / "ICH pull.xlsx"
    book.save(path)
    minutes = {"onset_to_ct_h": "minutes", "ct_to_followup_h": "minutes"}
    return Export(path, truth, tuple(header), None, {**minutes, "sbp_mmhg": "kPa", "dbp_mmhg": "kPa"})


_AMERICAN_FLAGS = {
    "Tobacco Use": "smoking",
    "EtOH": "alcohol",
    "DM2": "diabetes",
    "HTN": "hypertension",
    "Antiplatelet": "antithrombotic",
    "Coumadin": "warfarin",
    "Prior ICH": "recurrent",
    "SAH?": "sah",
    "Irregular margins": "irregular",
    "Satellite": "satellite",
    "Island": "island",
    "Black Hole": "black_hole",
    "Blend": "blend",
    "Fluid-fluid level": "fluid",
    "Swirl": "swirl",
    "Hypodensities": "hypodensity",
    "Heterogeneous": "heterogeneous",
}


def _yes(value: object) -> str:
    return "Y" if value else "N"


WRITERS: Sequence[Any] = (write_german, write_chinese, write_american)
"""Of the exports whose headings the synonyms had to meet."""
