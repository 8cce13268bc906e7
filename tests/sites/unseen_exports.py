"""Four more exports, written after the words were: 68, 74, 78 and 82 % of their columns
were right at first sight. Words were added for them since."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
from sites.own_exports import Export, draw_patients


def write_french(folder: Path, number: int = 40) -> Export:
    """A CSV of a French Excel: Windows' characters, semicolons, decimal commas, oui and non."""
    flags = {
        "Tabac": "smoking",
        "Alcool (conso. excessive)": "alcohol",
        "Diabète": "diabetes",
        "HTA connue": "hypertension",
        "Antiagrégant": "antithrombotic",
        "AVK": "warfarin",
        "ATCD d'hémorragie cérébrale": "recurrent",
        "HSA associée": "sah",
        "Contours irréguliers": "irregular",
        "Signe des satellites": "satellite",
        "Island sign": "island",
        "Black hole sign": "black_hole",
        "Blend sign": "blend",
        "Niveau liquide-liquide": "fluid",
        "Swirl sign": "swirl",
        "Hypodensité intra-hématome": "hypodensity",
        "Hématome hétérogène": "heterogeneous",
    }
    names = {
        "recurrent": "recurrent_ich",
        "irregular": "irregular_shape",
        "satellite": "satellite_sign",
        "island": "island_sign",
        "black_hole": "black_hole_sign",
        "blend": "blend_sign",
        "fluid": "fluid_level",
        "swirl": "swirl_sign",
        "heterogeneous": "heterogeneous_density",
    }
    truth = {
        "N° anonymat": "patient",
        "Sexe": "sex",
        "Age (ans)": "age",
        **{heading: names.get(name, name) for heading, name in flags.items()},
        "Délai début symptômes / scanner (h)": "onset_to_ct_h",
        "PAS à l'arrivée": "sbp_mmhg",
        "PAD à l'arrivée": "dbp_mmhg",
        "INR initial": "inr",
        "Anticoagulant oral": "anticoagulation",
        "Vol. hématome (mL)": "ich_volume_ml",
        "Vol. intraventriculaire (mL)": "ivh_volume_ml",
        "Topographie": "location",
        "Inondation ventriculaire": "ivh",
        "Hémorragie ventriculaire pure": "primary_ivh",
        "DVE ou chirurgie avant scanner": "prior_surgery",
        "Artéfacts de mouvement": "artefacts",
        "Délai scanner 1 - scanner 2 (h)": "ct_to_followup_h",
        "Vol. hématome contrôle (mL)": "followup_ich_volume_ml",
        "Vol. intraventriculaire contrôle (mL)": "followup_ivh_volume_ml",
    }
    others = ("Date d'admission", "NIHSS", "Glycémie (g/L)", "PAS à 24 h", "Rankin à 3 mois", "Remarques")
    places = {"lobar": "lobaire", "deep": "profond", "infratentorial": "cérébelleux"}
    rows = []
    for one in draw_patients(number, 4):
        row: dict[str, Any] = {heading: "oui" if one[name] else "non" for heading, name in flags.items()}
        row |= {
            "N° anonymat": f"BX{one['number']:03}",
            "Sexe": "H" if one["male"] else "F",
            "Age (ans)": one["age"],
        }
        row |= {"Délai début symptômes / scanner (h)": _comma(one["onset_h"]), "PAS à l'arrivée": one["sbp"]}
        row |= {"PAD à l'arrivée": one["dbp"], "INR initial": _comma(one["inr"])}
        row |= {
            "Anticoagulant oral": "oui" if one["warfarin"] else "non",
            "Topographie": places[one["location"]],
        }
        row |= {
            "Vol. hématome (mL)": _comma(one["ich"]),
            "Vol. intraventriculaire (mL)": _comma(one["ivh_ml"]),
        }
        row |= {
            "Inondation ventriculaire": "oui" if one["ivh"] else "non",
            "Hémorragie ventriculaire pure": "non",
        }
        row |= {"DVE ou chirurgie avant scanner": "non", "Artéfacts de mouvement": "non"}
        row |= {"Délai scanner 1 - scanner 2 (h)": _comma(one["interval_h"])}
        row |= {"Vol. hématome contrôle (mL)": _comma(one["ich_later"])}
        row |= {"Vol. intraventriculaire contrôle (mL)": _comma(one["ivh_ml"])}
        row |= {"Date d'admission": "03/02/2024", "NIHSS": 12, "Glycémie (g/L)": "1,2", "PAS à 24 h": 130}
        rows.append(row | {"Rankin à 3 mois": 3, "Remarques": ""})
    header = [*truth, *others]
    path = folder / "cohorte HIC.csv"
    with path.open("w", newline="", encoding="cp1252") as stream:
        writer = csv.DictWriter(stream, header, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return Export(path, truth, tuple(header))


def _comma(value: float) -> str:
    return str(value).replace(".", ",")


def write_trial(folder: Path, number: int = 40) -> Export:
    """A trialist's workbook: short names with underscores, a sheet beside the data, days."""
    flags = {
        "smk_hx": "smoking",
        "etoh_hx": "alcohol",
        "diab": "diabetes",
        "htn_hx": "hypertension",
        "antiplt": "antithrombotic",
        "warf": "warfarin",
        "prev_ich": "recurrent",
        "sah_bl": "sah",
        "irreg_shape": "irregular",
        "sat_sign": "satellite",
        "isl_sign": "island",
        "bh_sign": "black_hole",
        "blend_sign": "blend",
        "fluid_lvl": "fluid",
        "swirl_sign": "swirl",
        "hypodens": "hypodensity",
        "het_density": "heterogeneous",
    }
    names = {
        "recurrent": "recurrent_ich",
        "irregular": "irregular_shape",
        "satellite": "satellite_sign",
        "island": "island_sign",
        "black_hole": "black_hole_sign",
        "blend": "blend_sign",
        "fluid": "fluid_level",
        "swirl": "swirl_sign",
        "heterogeneous": "heterogeneous_density",
    }
    truth = {
        "subj_id": "patient",
        "sex": "sex",
        "age_yrs": "age",
        **{heading: names.get(name, name) for heading, name in flags.items()},
        "onset2ct_hrs": "onset_to_ct_h",
        "sbp_adm": "sbp_mmhg",
        "dbp_adm": "dbp_mmhg",
        "inr_adm": "inr",
        "anticoag": "anticoagulation",
        "ich_vol_bl_ml": "ich_volume_ml",
        "ivh_vol_bl_ml": "ivh_volume_ml",
        "ich_loc": "location",
        "ivh_bl": "ivh",
        "primary_ivh": "primary_ivh",
        "surg_pre_ct": "prior_surgery",
        "artifact": "artefacts",
        "ct_interval_days": "ct_to_followup_h",
        "ich_vol_fu_ml": "followup_ich_volume_ml",
        "ivh_vol_fu_ml": "followup_ivh_volume_ml",
    }
    others = ("site_no", "arm", "gcs_adm", "sbp_24h", "sbp_target", "hiv", "fam_hx_stroke", "death_90d")
    header = [*list(truth)[:1], *others[:2], *list(truth)[1:], *others[2:]]
    places = {"lobar": "LOBAR", "deep": "THALAMUS", "infratentorial": "PONS"}
    book = openpyxl.Workbook()
    book.active.title = "README"
    book.active.append(["Data frozen 2024-05-01"])
    sheet = book.create_sheet("Data")
    sheet.append(header)
    for one in draw_patients(number, 5):
        row: dict[str, Any] = {heading: "Yes" if one[name] else "No" for heading, name in flags.items()}
        row |= {
            "subj_id": f"T-{one['number']:04}",
            "sex": "Male" if one["male"] else "Female",
            "age_yrs": one["age"],
        }
        row |= {
            "onset2ct_hrs": one["onset_h"],
            "sbp_adm": one["sbp"],
            "dbp_adm": one["dbp"],
            "inr_adm": one["inr"],
        }
        row |= {
            "anticoag": "Yes" if one["warfarin"] else "No",
            "ich_vol_bl_ml": one["ich"],
            "ivh_vol_bl_ml": one["ivh_ml"],
        }
        row |= {
            "ich_loc": places[one["location"]],
            "ivh_bl": "Yes" if one["ivh"] else "No",
            "primary_ivh": "No",
        }
        row |= {"surg_pre_ct": "No", "artifact": "No", "ct_interval_days": round(one["interval_h"] / 24, 2)}
        row |= {"ich_vol_fu_ml": one["ich_later"], "ivh_vol_fu_ml": one["ivh_ml"], "site_no": 3, "arm": "A"}
        row |= {"gcs_adm": one["gcs"], "sbp_24h": 130, "sbp_target": 140, "hiv": "No", "fam_hx_stroke": "No"}
        sheet.append([(row | {"death_90d": "No"})[heading] for heading in header])
    path = folder / "trial_export.xlsx"
    book.save(path)
    return Export(path, truth, tuple(header), None, {"ct_to_followup_h": "days"})


_SOURCES = {
    "smoking": "smoking",
    "alcohol": "alcohol",
    "diabetes": "diabetes",
    "hypertension": "hypertension",
    "antithrombotic": "antithrombotic",
    "anticoagulation": "warfarin",
    "warfarin": "warfarin",
    "sah": "sah",
    "recurrent_ich": "recurrent",
    "irregular_shape": "irregular",
    "satellite_sign": "satellite",
    "ivh": "ivh",
    "island_sign": "island",
    "black_hole_sign": "black_hole",
    "blend_sign": "blend",
    "fluid_level": "fluid",
    "swirl_sign": "swirl",
    "hypodensity": "hypodensity",
    "heterogeneous_density": "heterogeneous",
    "age": "age",
    "onset_to_ct_h": "onset_h",
    "sbp_mmhg": "sbp",
    "dbp_mmhg": "dbp",
    "inr": "inr",
    "ich_volume_ml": "ich",
    "ivh_volume_ml": "ivh_ml",
    "ct_to_followup_h": "interval_h",
    "followup_ich_volume_ml": "ich_later",
    "followup_ivh_volume_ml": "ivh_ml",
    "location": "location",
}


def make_rows(truth: dict[str, str], codes: dict[str, str], number: int, seed: int) -> list[list[Any]]:
    """Cells of each patient, by the truth's columns; codes of true, false, the sexes and the places."""
    rows = []
    for one in draw_patients(number, seed):
        row: list[Any] = []
        for name in truth.values():
            value: Any = one[_SOURCES[name]] if name in _SOURCES else False
            if name == "patient":
                value = f"K{one['number'] + 100}"
            elif name == "sex":
                value = codes["male" if one["male"] else "female"]
            elif name == "location":
                value = codes[value]
            elif isinstance(value, bool):
                value = codes["yes" if value else "no"]
            row.append(value)
        rows.append(row)
    return rows


def write_spanish(folder: Path, number: int = 40) -> Export:
    """A workbook of a Spanish hospital: Sí and No, Hombre and Mujer."""
    truth = {
        "Código de paciente": "patient",
        "Sexo": "sex",
        "Edad": "age",
        "Fumador": "smoking",
        "Enolismo": "alcohol",
        "Diabetes mellitus": "diabetes",
        "HTA": "hypertension",
        "Horas desde inicio hasta TC": "onset_to_ct_h",
        "PAS ingreso": "sbp_mmhg",
        "PAD ingreso": "dbp_mmhg",
        "INR al ingreso": "inr",
        "Antiagregación": "antithrombotic",
        "Anticoagulación oral": "anticoagulation",
        "Sintrom": "warfarin",
        "Hemorragia cerebral previa": "recurrent_ich",
        "Volumen hematoma (cc)": "ich_volume_ml",
        "Volumen intraventricular (cc)": "ivh_volume_ml",
        "Localización": "location",
        "Apertura a ventrículos": "ivh",
        "Sangrado subaracnoideo": "sah",
        "Bordes irregulares": "irregular_shape",
        "Signo satélite": "satellite_sign",
        "Signo de la isla": "island_sign",
        "Agujero negro": "black_hole_sign",
        "Signo de la mezcla": "blend_sign",
        "Nivel líquido": "fluid_level",
        "Signo del remolino": "swirl_sign",
        "Hipodensidades": "hypodensity",
        "Densidad heterogénea": "heterogeneous_density",
        "Horas TC basal a TC control": "ct_to_followup_h",
        "Volumen hematoma control (cc)": "followup_ich_volume_ml",
        "Volumen intraventricular control (cc)": "followup_ivh_volume_ml",
        "HIV primaria": "primary_ivh",
        "Drenaje o cirugía previa a TC": "prior_surgery",
        "Artefactos": "artefacts",
    }
    codes = {"male": "Hombre", "female": "Mujer", "yes": "Sí", "no": "No"}
    codes |= {"lobar": "Lobar", "deep": "Ganglios basales", "infratentorial": "Tronco"}
    book = openpyxl.Workbook()
    others = (
        "NIHSS basal",
        "Glucemia",
        "TAS a las 24 h",
        "Rankin 90 días",
        "Antecedentes familiares de HTA",
        "Exitus",
    )
    book.active.append(["Base de datos HIC espontánea"])
    book.active.append([*truth, *others])
    for row in make_rows(truth, codes, number, 6):
        book.active.append([*row, 9, 130, 140, 3, "No", "No"])
    path = folder / "base HIC.xlsx"
    book.save(path)
    return Export(path, truth, (*truth, *others))


def write_ward_list(folder: Path, number: int = 40) -> Export:
    """A German ward's list as Excel's Unicode text: UTF-16, tabulators, decimal commas, a line of totals."""
    truth = {
        "Pat.-Nr.": "patient",
        "m/w": "sex",
        "Alter": "age",
        "Raucher": "smoking",
        "Alkoholabusus": "alcohol",
        "Diab. mell.": "diabetes",
        "Bluthochdruck": "hypertension",
        "Symptombeginn bis CCT [h]": "onset_to_ct_h",
        "RR syst. bei Aufnahme": "sbp_mmhg",
        "RR diast. bei Aufnahme": "dbp_mmhg",
        "INR bei Aufnahme": "inr",
        "ASS/TAH": "antithrombotic",
        "Antikoagulation": "anticoagulation",
        "Phenprocoumon": "warfarin",
        "Z.n. ICB": "recurrent_ich",
        "Blutungsvolumen (ml)": "ich_volume_ml",
        "IVB-Vol. (ml)": "ivh_volume_ml",
        "Lage der Blutung": "location",
        "Ventrikelbeteiligung": "ivh",
        "SAB-Anteil": "sah",
        "Form irregulär": "irregular_shape",
        "Satellitenblutung": "satellite_sign",
        "Inselzeichen": "island_sign",
        "Black hole": "black_hole_sign",
        "Blend-Zeichen": "blend_sign",
        "Spiegelbildung": "fluid_level",
        "Swirl-Zeichen": "swirl_sign",
        "Hypodense Areale": "hypodensity",
        "Inhomogene Dichte": "heterogeneous_density",
        "Abstand CCT - Kontroll-CCT [h]": "ct_to_followup_h",
        "Blutungsvolumen Kontrolle (ml)": "followup_ich_volume_ml",
        "IVB-Vol. Kontrolle (ml)": "followup_ivh_volume_ml",
        "Reine IVB": "primary_ivh",
        "EVD/OP vor CCT": "prior_surgery",
        "Bewegungsartefakte": "artefacts",
    }
    codes = {"male": "m", "female": "w", "yes": "j", "no": "n", "lobar": "lobär", "deep": "Stammganglien"}
    codes |= {"infratentorial": "Kleinhirn"}
    others = ("Geb.-Jahr", "GCS", "RR syst. Entlassung", "mRS 90 d", "Bemerkung")
    lines = [[*truth, *others]]
    for row in make_rows(truth, codes, number, 7):
        cells = [_comma(cell) if isinstance(cell, float) else str(cell) for cell in row]
        lines.append([*cells, "1950", "12", "130", "3", ""])
    lines.append(["Gesamt", f"n={number}"])
    path = folder / "station.csv"
    path.write_bytes("\r\n".join("\t".join(line) for line in lines).encode("utf-16"))
    return Export(path, truth, (*truth, *others))


UNSEEN: Sequence[Any] = (write_french, write_trial, write_spanish, write_ward_list)
"""Of the exports that the vocabulary had not met when it was first measured."""
