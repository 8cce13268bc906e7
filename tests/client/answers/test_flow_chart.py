from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from client.answers.flow_chart import summarise_flow
from common.cohort.eligibility import apply_exclusions
from common.cohort.patient import Patient
from common.cohort.table import CohortTable, RejectedRow
from common.errors import Finding


def test_rows_that_are_refused_are_counted_with_the_scans_that_are():
    complete = {"onset_to_ct_h": 3.0, "ct_to_followup_h": 24.0}
    complete |= dict.fromkeys(("primary_ivh", "prior_surgery", "artefacts"), 0.0)
    ages = {"a": 60.0, "b": 70.0, "child": 8.0, "c": 50.0}
    patients = [
        Patient(name, row, None, None, None, None, complete | {"age": age})
        for row, (name, age) in enumerate(ages.items(), start=2)
    ]
    nobody = Patient("", 0, None, None, None, None, {})
    rejected = [RejectedRow(row, "", (Finding(f"t.csv, row {row}", "bad"),), nobody) for row in (6, 7)]
    flow = apply_exclusions(CohortTable(Path("t.csv"), tuple(patients), rejected=tuple(rejected)))
    cases = [SimpleNamespace(positive=name == "a", part="test") for name in ("a", "b")]

    summary = summarise_flow(SimpleNamespace(flow=flow, cases=cases))

    assert summary.counts["flow/screened"] == 6
    # one child; nobody undecided; two rows, and one patient whose scans were refused
    np.testing.assert_array_equal(summary.counts["flow/excluded"], [1, 0, 0, 0, 0, 0, 0, 3])
