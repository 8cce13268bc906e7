"""Sites and models stand on the page, and in its printed tables, as people write them."""

import re
from functools import cache

from studies.page import Page, leave_pictures_empty
from studies.results import Make, make_study

from server.report.closing_words import list_found
from server.report.page import render_page
from server.report.printed_tables import build_printed_tables
from server.report.tables import write_tables
from server.report.written_names import find_written_names, write_names

SITES = {"Klinikum-Koeln": "Klinikum Köln", "West-China": "West China", "Lyon-3": "Lyon (3)"}
MODELS = {"2D-ResNet-a": "2D ResNet <a>", "Vendor-X": "Vendor X", "Clinical-3": "Clinical & 3"}
WRITTEN = {**SITES, **MODELS}
MAKE = Make(
    training=("Klinikum-Koeln", "West-China"),
    external=("Lyon-3",),
    design="leave-one-out",
    models=("2D-ResNet-a",),
    logistic=("Clinical-3",),
    scores=("Vendor-X",),
    pooled=False,
    rounds=2,
    full=True,
)


@cache
def labelled():
    results = make_study(MAKE)
    plan = {
        "sites": [{"name": name, "label": label} for name, label in SITES.items()],
        "models": [
            {"name": name, "label": label, "covariates": ["age", "score:2D-ResNet-a"]}
            for name, label in MODELS.items()
        ],
    }
    notes = ("The models trained at West-China, and Vendor-X, left. Not-West-China-2 did not.",)
    study = results.study.model_copy(update={"plan": plan})
    return results.model_copy(update={"study": study, "notes": notes})


@cache
def rendered():
    with leave_pictures_empty():
        return render_page(labelled())


def test_no_plain_name_is_on_the_page_but_where_files_are_told_of():
    """Tables and headings had the derived names; a line at the top of the page said whose they were."""
    body = rendered().partition("</header>")[2]
    body = re.sub(r"<pre>.*?</pre>", "", body, flags=re.DOTALL)

    left = [name for name in WRITTEN if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", body)]

    assert left == []
    assert all(label in Page(rendered()).text for label in WRITTEN.values())
    assert "2D ResNet <a> (logit" not in rendered()


def test_the_page_tells_what_the_files_call_them():
    head = Page(rendered().partition("<header>")[2].partition("</header>")[0]).text

    assert head.partition("In the CSV files beside this page: ")[2] == " · ".join(
        f"{label} is {name}" for name, label in WRITTEN.items()
    )
    assert "In the CSV files" not in render_page_of_plain_names().partition("</header>")[0]


def render_page_of_plain_names():
    with leave_pictures_empty():
        return render_page(make_study(Make(models=("net",), rounds=1)))


def test_printed_tables_have_written_names_and_csv_columns_plain_ones(tmp_path):
    printed = build_printed_tables(labelled())
    write_tables(labelled(), tmp_path)
    performance = (tmp_path / "performance.csv").read_text()

    assert any("2D ResNet <a>" in cell for row in printed["table3"] for cell in row)
    assert "2D-ResNet-a" not in str(printed)
    assert "2D-ResNet-a,federated-without-West-China,Klinikum-Koeln," in performance
    assert "2D ResNet" not in performance


def test_the_closing_words_have_written_names():
    assert "Klinikum Köln" in " ".join(list_found(labelled()))
    assert "Klinikum-Koeln" not in " ".join(list_found(labelled()))


def test_a_name_within_another_is_left():
    assert write_names(labelled()).notes == (
        "The models trained at West China, and Vendor X, left. Not-West-China-2 did not.",
    )


def test_arms_and_scores_as_covariates_follow():
    names = find_written_names(labelled().study.plan)

    assert names.name_arm("federated-without-West-China") == "federated-without-West China"
    assert names.name_arm("federated") == "federated"
    assert names.name_covariate("score:2D-ResNet-a") == "score:2D ResNet <a>"
    assert names.name_covariate("2D-ResNet-a (logit of the score)") == "2D ResNet <a> (logit of the score)"
    assert names.name_covariate("age") == "age"
    assert write_names(labelled()).study.plan["models"][0]["covariates"] == ["age", "score:2D ResNet <a>"]


def test_results_of_plain_names_are_the_same_ones():
    results = make_study(MAKE)

    assert write_names(results) is results
