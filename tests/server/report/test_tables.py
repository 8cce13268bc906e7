from __future__ import annotations

import csv
from pathlib import Path

import pytest
from studies.results import SMALL, Make, make_study

from server.report import write_tables
from server.report.page import render_page
from server.results.file import Results

SMALL_STUDY = Make(models=("2D-ResNet-18",), rounds=3)


FULL = Make(
    external=("Wuhan",),
    models=("2D-ResNet-18",),
    logistic=("Clinical",),
    scores=("BRAIN",),
    rounds=2,
    full=True,
)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables_hold_every_number_in_full(tmp_path):
    results = make_study(SMALL_STUDY)

    files = {path.stem: path for path in write_tables(results, tmp_path / "tables")}

    assert set(files) == {
        *("flow", "parts", "cohort", "training", "performance", "roc"),
        *("carry_over", "table1", "table3", "columns"),
    }
    performance = _rows(files["performance"])
    assert len(performance) == len(results.evaluation)
    for row, cell in zip(performance, results.evaluation, strict=True):
        assert float(row["auc"]) == cell.auc.value
        assert float(row["f1_high"]) == cell.f1.high
        assert int(row["true_negative"]) == cell.confusion.true_negative
        assert row["relation"] == cell.relation
        assert row["cohort"] == " + ".join(cell.cohort_sites)
    assert len(_rows(files["roc"])) == sum(len(cell.roc) for cell in results.evaluation)
    assert len(_rows(files["training"])) == sum(len(curve.points) for curve in results.training)
    assert len(_rows(files["cohort"])) == 2 * len(results.cohort)
    assert sum(row["step"] == "included" for row in _rows(files["flow"])) == 3


def test_a_score_of_falling_risk_is_called_positive_up_to_its_threshold(tmp_path):
    results = make_study(Make(models=(), scores=("Points",)))
    falling = tuple(
        cell.model_copy(update={"threshold": 11.0, "falling": True}) for cell in results.evaluation
    )
    results = results.model_copy(update={"evaluation": falling})

    page = render_page(results)
    (row, *_) = _rows(next(path for path in write_tables(results, tmp_path) if path.stem == "performance"))

    assert "Called positive up to 11." in page
    assert "Calls at a score of \N{LESS-THAN OR EQUAL TO} 11." in page
    assert "11 or more" not in page
    assert (row["called"], row["threshold"]) == ("up to", "11.0")


def test_no_name_of_a_plan_is_a_formula_in_the_tables(tmp_path):
    files = write_tables(make_study(Make(models=("=cmd", "+net"), external=("@site",))), tmp_path)

    cells = [cell for path in files for row in _printed(path) for cell in row]

    assert {"'=cmd", "'+net", "'@site"} <= set(cells)
    assert [cell for cell in cells if cell[:1] in "=+@\t\r" and cell] == []


def test_hidden_numbers_are_blank_in_the_tables(tmp_path):
    results = make_study(Make(suppressed=True, models=("net",)))

    files = {path.stem: path for path in write_tables(results, tmp_path)}

    for row in _rows(files["performance"]):
        assert row["auc"] == row["positive"] == row["true_positive"] == ""
        assert row["auc_status"] == f"suppressed: {SMALL.reason}"
    assert {row["patients"] for row in _rows(files["flow"])} == {""}


@pytest.fixture(scope="module")
def results() -> Results:
    return make_study(FULL)


@pytest.fixture(scope="module")
def files(results, tmp_path_factory) -> dict[str, Path]:
    return {path.stem: path for path in write_tables(results, tmp_path_factory.mktemp("tables"))}


def _printed(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def _line(rows: list[list[str]], *names: str) -> list[str]:
    """The line's cells; dashes of intervals as hyphens."""
    (found,) = [
        [cell.replace("\N{EN DASH}", "-") for cell in row[len(names) :]]
        for row in rows
        if tuple(row[: len(names)]) == names
    ]
    return found


def test_table_1_is_laid_out_as_printed(files):
    rows = _printed(files["table1"])

    titles, heading = rows[:2]
    assert [title for title in titles if title] == [
        f"{name} (n = 42)"
        for name in ("Training and validation set", "Internal test set", "External test set")
    ]
    assert heading == ["Characteristic", "Level", *["non-rHE (n = 21)", "rHE (n = 21)", "P", "SMD"] * 3]
    assert _line(rows, "Age (year)", "")[:4] == ["63.03 ± 12.20", "63.03 ± 12.20", ".731 [b]", "0.41"]
    assert _line(rows, "Location", "")[:4] == ["", "", ".031 [a,d]", "0.30"]
    assert _line(rows, "Location", "Deep")[:4] == ["12 (57.1)", "12 (57.1)", "", ""]
    assert _line(rows, "SAH", "")[:4] == ["withheld [e]", "withheld [e]", "withheld", "withheld"]
    notes = [row[0] for row in rows if row and row[0].startswith("[")]
    assert notes[0] == "[a] Pearson's chi-squared test."
    assert notes[3:] == [
        "[d] More than 20% of expected counts are below 5.",
        f"[e] Withheld: {SMALL.reason}.",
    ]


def test_table_2_is_laid_out_as_printed(files):
    rows = _printed(files["table2"])

    assert _line(rows, "INR", "") == ["387; missing: 2", "7.150 (0.935-54.690)", ".058", "-", ""]
    assert _line(rows, "Location", "Lobar") == ["", "Reference", "", "Reference", ""]
    deep = ["", "4.158 (1.587-10.895)", ".004", "1.677 (0.582-4.831)", ".338"]
    assert _line(rows, "Location", "Deep") == deep
    assert _line(rows, "IVH", "")[3] == "3.557 (1.663-7.610) [a]"
    assert _line(rows, "Fluid level", "")[1] == "61.500 (2.100-21,034) [b]"
    notes = [row[0] for row in rows if row and row[0].startswith("[")]
    assert notes[0].startswith("[a] Variance inflation factor 7.3, above 5")
    assert notes[1].startswith("[b] Firth's penalised likelihood")


def test_table_3_is_laid_out_as_printed(files, results):
    rows = _printed(files["table3"])

    assert [row[:2] for row in rows[1:10]] == [
        [model, patients]
        for model in ("2D-ResNet-18", "Clinical", "BRAIN")
        for patients in ("Training", "Internal test", "External")
    ]
    cell = next(
        c
        for c in results.evaluation
        if (c.model, c.arm, c.cohort_sites) == ("Clinical", "federated", ("Wuhan",))
    )
    external = _line(rows, "Clinical", "External")
    assert external[0] == f"{cell.positive} / {cell.negative}"
    assert external[1] == f"{cell.auc.value:.3f} ({cell.auc.low:.3f}-{cell.auc.high:.3f})"
    assert external[2:] == [
        f"{measure.value:.3f}"
        for measure in (cell.accuracy, cell.sensitivity, cell.specificity, cell.ppv, cell.npv, cell.f1)
    ]
    brain = _line(rows, "BRAIN", "External")
    assert brain[0] == "21 / 39; without score: 2"
    assert brain[2].endswith(" [b]")
    assert ["[b] Called positive from 9."] in rows
    assert _line(rows, "Clinical", "Training")[0].endswith(" [a]")
    assert _line(rows, "2D-ResNet-18", "Training")[0][-1].isdigit()


def test_the_analyses_hold_every_number_in_full(files, results):
    regression = {(row["variable"], row["level"]): row for row in _rows(files["regression"])}
    assert float(regression["ivh", ""]["multivariable_odds_ratio"]) == 3.557
    assert float(regression["ivh", ""]["multivariable_inflation"]) == 7.31
    assert regression["sex", ""]["multivariable_status"] == ""
    assert regression["location", "Lobar"]["reference"] == "1"
    fitted = _rows(files["fitted"])
    assert {row["arm"] for row in fitted} == {"federated", "local-Chongqing", "local-Nanjing"}
    assert {row["intercept"] for row in fitted if row["arm"] == "local-Nanjing"} == {""}
    pairs = [(one, pair) for one in results.comparisons for pair in one.pairs]
    compared = _rows(files["comparisons"])
    assert len(compared) == len(pairs)
    for row, (one, pair) in zip(compared, pairs, strict=True):
        assert float(row["difference"]) == pair.difference.value
        assert float(row["p_adjusted"]) == pair.p_adjusted
        assert row["cohort"] == " + ".join(one.cohort_sites)
        hidden = pair.specificity.only_first is None
        assert row["specificity_status"] == (f"suppressed: {SMALL.reason}" if hidden else "ok")
        assert (row["specificity_p_value"] == "") is hidden
    assert len(_rows(files["net_benefit_differences"])) == sum(len(pair.net_benefit) for _, pair in pairs)
    judged = [cell for cell in results.evaluation if cell.calibration is not None]
    for row, cell in zip(_rows(files["calibration"]), judged, strict=True):
        assert float(row["brier"]) == cell.calibration.brier.value
        assert row["clipped"] == ("" if cell.calibration.clipped is None else "3")
        assert row["slope_status"] == (
            "ok" if cell.calibration.slope.value is not None else "undefined: separated: no finite value"
        )
    assert len(_rows(files["reliability"])) == sum(len(cell.calibration.points) for cell in judged)
    assert len(_rows(files["decision"])) == sum(len(cell.decision) for cell in results.evaluation)
    lobar = [row for row in _rows(files["subgroups"]) if row["level"] == "Lobar"]
    assert lobar
    assert {(row["auc"], row["positive"]) for row in lobar} == {("", "")}
    (spread,) = _rows(files["heterogeneity"])
    assert (float(spread["q"]), float(spread["i_squared"]), spread["per_site"]) == (4.217, 0.289, "1")
    assert spread["difference"] == ""
    (out,) = [row for row in _rows(files["centre_aucs"]) if row["compared"] != "ok"]
    assert (out["site"], out["auc"]) == (results.sites[-1].name, "1.0")
    assert out["compared"].startswith("undefined: an AUC of 1 has no logit")


def test_a_cohort_is_told_by_its_part(files):
    parts = {(row["site"], row["part"]) for row in _rows(files["cohort"])}

    assert {("all", "training"), ("all", "internal"), ("all", "external"), ("all", "whole")} <= parts
    assert ("Wuhan", "whole") in parts


def test_missing_scores_and_thresholds_stand_beside_the_performance(files):
    given = [row for row in _rows(files["performance"]) if row["relation"] == "given"]

    assert {(row["missing"], row["threshold"]) for row in given} == {("2", "9.0")}


def test_hidden_analyses_are_blank_in_the_tables(tmp_path):
    make = Make(suppressed=True, models=("net",), logistic=("Clinical",), full=True)

    files = {path.stem: path for path in write_tables(make_study(make), tmp_path)}

    assert {row["univariate_odds_ratio"] for row in _rows(files["regression"])} == {""}
    assert {row["model_status"] for row in _rows(files["fitted"])} == {f"suppressed: {SMALL.reason}"}
    assert {row["difference"] + row["omnibus_p_value"] for row in _rows(files["comparisons"])} == {""}
    rows = _printed(files["table2"])
    hidden = ["withheld", "withheld [a]", "withheld", "withheld [a]", "withheld"]
    assert _line(rows, "IVH", "") == hidden
