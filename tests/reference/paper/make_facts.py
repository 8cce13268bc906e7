"""Writes what `rhe-simulate paper-tables` ships of the transcriptions beside this script.

    python tests/reference/paper/make_facts.py simulations/paper

`printed.csv`: every printed cell of Tables 1 to 3, and what can be claimed of it; for the comparison alone.
`wins.csv`: per model and cohort the confusion matrix, and the doubled number of pairs that the patient with
expansion wins (a tie is half a win): of those that the matrix allows, the nearest to the printed AUC.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = "Ning et al. (2025), Scientific Reports"

KEY = ("table", "row", "level", "cohort", "cell", "printed", "claim")
METRICS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
CONTINUOUS = {
    "Age",
    "Onset to baseline CT time interval",
    "Admission SBP",
    "Admission DBP",
    "INR",
    "ICH volume",
    "IVH volume",
}
SUMMARIES = {"mean_sd": ("mean", "sd"), "median_iqr": ("median", "iqr")}


def rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table_one() -> Iterator[tuple[str, ...]]:
    for row in rows("table1.csv"):
        level = "" if row["level"] == "(overall)" else row["level"].lower()
        key = ("1", row["variable"], level, row["cohort"])
        for printed, group in (("nonrhe", "negative"), ("rhe", "positive")):
            if row["summary"] == "count_pct":
                yield (*key, f"{group}_count", row[f"{printed}_count"], "input")
                yield (*key, f"{group}_percent", row[f"{printed}_pct"], "computed")
            elif row["summary"] in SUMMARIES:
                centre, spread = SUMMARIES[row["summary"]]
                yield (*key, f"{group}_{centre}", row[f"{printed}_centre"], "input")
                yield (*key, f"{group}_{spread}", row[f"{printed}_spread"], "input")
        if row["p_printed"]:
            yield (*key, "p", row["p_printed"], "ranks" if row["summary"] == "median_iqr" else "computed")


def table_two() -> Iterator[tuple[str, ...]]:
    for row in rows("table2.csv"):
        if row["reference"] == "yes":
            continue
        key = ("2", row["variable"], row["level"].lower(), "training")
        univariate = (row["uni_or"], row["uni_lo"], row["uni_hi"], row["uni_p_printed"])
        multivariable = (row["multi_or"], row["multi_lo"], row["multi_hi_printed"], row["multi_p_printed"])
        claims = ("values" if row["variable"] in CONTINUOUS else "computed", "joint")
        for model, cells, claim in zip(
            ("univariate", "multivariable"), (univariate, multivariable), claims, strict=True
        ):
            for cell, printed in zip(("or", "low", "high", "p"), cells, strict=True):
                if printed:
                    yield (*key, f"{model}_{cell}", printed.replace(" ", ""), claim)


def table_three() -> Iterator[tuple[str, ...]]:
    for row in rows("table3.csv"):
        key = ("3", row["model"], "", row["cohort"])
        yield (*key, "auc", row["auc"], "input")
        yield (*key, "auc_low", row["auc_lo"], "computed")
        yield (*key, "auc_high", row["auc_hi"], "computed")
        for metric in METRICS:
            yield (*key, metric, row[metric], "computed")


def wins() -> Iterator[tuple[str, ...]]:
    for row in rows("table3.csv"):
        tp, fn, tn, fp = (int(row[f"{cell}_recovered"]) for cell in ("tp", "fn", "tn", "fp"))
        pairs = (tp + fn) * (tn + fp)
        nearest = round(Fraction(row["auc"]) * 2 * pairs)
        # Every positive call beats every negative call, whatever the ranks on either side.
        doubled = min(max(nearest, 2 * tp * tn), 2 * (pairs - fn * fp))
        yield (row["model"], row["cohort"], *(str(n) for n in (tp, fn, tn, fp, doubled)))


def write(path: Path, comment: str, header: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {SOURCE}, {comment}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(lines)


def main(folder: Path) -> None:
    write(
        folder / "printed.csv",
        "Tables 1 to 3 as printed. claim: computed, input (rows are made from it), "
        "ranks, values or joint (needs these, which are not printed).",
        KEY,
        (cell for table in (table_one(), table_two(), table_three()) for cell in table),
    )
    write(
        folder / "wins.csv",
        "Table 3: counts recovered from the printed metrics; doubled_wins is the nearest to the printed AUC.",
        ("model", "cohort", "tp", "fn", "tn", "fp", "doubled_wins"),
        wins(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
