from __future__ import annotations

from pathlib import Path

import pytest

from client.predict.request import PredictRequest, _choose_row
from common.cohort.patient import Patient
from common.cohort.table import CohortTable, RejectedRow
from common.errors import CohortError, Finding


def table_of(*good, bad=()):
    patients = tuple(Patient(name, row, None, None, None, None, {}) for row, name in enumerate(good, start=2))
    rejected = tuple(
        RejectedRow(row, name, (Finding(f"t.csv, row {row}", f"{name or 'nobody'} is bad"),))
        for row, name in enumerate(bad, start=20)
    )
    return CohortTable(Path("t.csv"), patients, rejected=rejected)


def chosen(table, patient):
    return _choose_row(table, PredictRequest(Path("m.json"), table=Path("t.csv"), patient=patient))


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
