from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from sites.plans import NETWORK, plan_of

from client.predict.predictor import Declined
from client.predict.request import (
    ModelPredictions,
    PredictRequest,
    _choose_row,
    describe_predictions,
    write_csv,
)
from common.cards.card import describe_network, make_local_card, training_centre_of
from common.cohort.patient import Patient
from common.cohort.table import CohortTable, RejectedRow
from common.errors import CohortError, Finding


def table_of(*good, bad=()):
    patients = tuple(Patient(name, row, None, None, None, None, {}) for row, name in enumerate(good, start=2))
    rejected = tuple(
        RejectedRow(
            row,
            name,
            (Finding(f"t.csv, row {row}", f"{name or 'nobody'} is bad"),),
            Patient(name, row, None, None, None, None, {}),
        )
        for row, name in enumerate(bad, start=20)
    )
    return CohortTable(Path("t.csv"), patients, rejected=rejected)


def chosen(table, patient):
    return _choose_row(table, PredictRequest(Path("m.json"), table=Path("t.csv"), patient=patient))


def test_no_identifier_of_a_table_is_a_formula_in_the_csv_file(tmp_path):
    card = SimpleNamespace(model="-net", arm="all", plan_hash="0" * 64, operating_point=-0.5)
    refused = CohortError((Finding("t.csv", "=1+1", "@SUM(A1)"),))
    identifiers = ["=cmd|' /C calc'!A0", "-7", "+P", "P-8"]
    outcomes = tuple(Declined(identifier, refused) for identifier in identifiers)

    write_csv(ModelPredictions(card, outcomes), tmp_path / "risks.csv")

    with (tmp_path / "risks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient"] for row in rows] == ["'=cmd|' /C calc'!A0", "-7", "'+P", "P-8"]
    assert {(row["model"], row["operating_point"]) for row in rows} == {("'-net", "-0.5")}


def test_a_program_reads_the_risks_as_json():
    plan = plan_of({"a": "train"}, NETWORK)
    content = describe_network(plan, plan.networks[0], 1)
    card = make_local_card(plan, "net", training_centre_of(plan, "a", 40), {}, content)
    refused = Declined("P1", CohortError((Finding("t.csv", "age is blank", "fill it in"),)))

    told = json.loads(json.dumps(describe_predictions(ModelPredictions(card, (refused,)))))

    assert (told["model"], told["outcome"], told["operating_point"]) == ("net", "rHE", 0.5)
    assert told["worth"]["judged"] == []
    (patient,) = told["patients"]
    assert (patient["patient"], patient["decision"]) == ("P1", "refused")
    assert "age is blank" in patient["notes"][0]
    assert "research" in told["use"].lower()


def test_other_patients_rows_may_be_faulty():
    assert chosen(table_of("a", "b", bad=("c", "")), "b").identifier == "b"
    assert chosen(table_of("a"), None).identifier == "a"


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        ("c", r"^t\.csv, row 20: c is bad\nt\.csv, row 22: c is bad$"),
        ("d", "has no patient 'd' -> give --patient"),
        (None, "has 4 patients -> give --patient"),
    ],
)
def test_a_faulty_row_that_is_asked_for_is_refused_and_nobody_is_guessed(patient, message):
    with pytest.raises(CohortError, match=message):
        chosen(table_of("a", bad=("c", "", "c")), patient)
