from __future__ import annotations

import base64
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from studies.page import Page, render_chapter, render_study, render_words
from studies.results import PIXEL_PNG, SMALL, Arm, Make, absent, make_study, measure

from common.stats.estimate import Estimate, Status
from server.report import words, write_report, write_tables
from server.report.cohorts import centres_of
from server.report.headline import choose_headline, list_findings
from server.report.page import render_page
from server.report.palette import style_arms
from server.report.views import build_model_views, find_fair_cohorts, list_printed_cells
from server.results.cohort import VariableDescription
from server.results.evaluation import Cell
from server.results.file import Results
from server.results.provenance import RunOfStudy, SiteProvenance
from server.results.training import CentreContribution, LearningCurve

SMALL_STUDY = Make(models=("2D-ResNet-18",), rounds=3)
PAPER = Make(training=("center-1",), external=("center-2",), models=("2D-ResNet-101",), pooled=False)
LEAVE_OUT = Make(
    training=("Alpha", "Beta", "Gamma"),
    external=("Delta",),
    design="leave-one-out",
    models=("net",),
    rounds=2,
)
USUAL = "logit-delong"
SOMETHING = Make(training=("Solo",), pooled=False, models=("net",), rounds=2)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_study(Make()))


def _replaced(results: Results, cell: Cell, **changes: object) -> Results:
    changed = tuple(one.model_copy(update=changes) if one is cell else one for one in results.evaluation)
    return results.model_copy(update={"evaluation": changed})


def test_the_page_needs_nothing_else(page):
    sources = [found[name] for _, found in page.elements for name in ("src", "href") if name in found]

    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert not page.all("script")
    assert not page.all("link")
    assert "@import" not in render_study(SMALL_STUDY)
    assert any("default-src 'none'" in found.get("content", "") for found in page.all("meta"))


def test_links_lead_somewhere_and_identifiers_are_unique(page):
    identifiers = [found["id"] for _, found in page.elements if "id" in found]
    targets = [found["href"][1:] for found in page.all("a")]

    assert len(set(identifiers)) == len(identifiers)
    assert set(targets) <= set(identifiers)
    assert len(page.all("section")) == 11


def test_every_picture_says_what_it_shows(page):
    pictures = page.all("img")

    # learning curves, ROC of all models at home and away, ROC of each model's arms, attention maps
    assert len(pictures) == 2 * 2 + 3 + 2 + 2 * 5 + 8
    assert all(len(picture["alt"]) > 20 for picture in pictures)


ELSEWHERE = """
import sys
from pathlib import Path
from studies.results import Make, make_study
from server.report import write_report

write_report(make_study(Make(models=("2D-ResNet-18",), rounds=3)), Path(sys.argv[1]))
sys.exit(any(name in sys.modules for name in ("torch", "SimpleITK", "flwr", "matplotlib.pyplot")))
"""


def test_any_process_writes_the_same_bytes_without_torch_or_images(tmp_path):
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": f"{root}:{root / 'tests'}"}

    write_report(make_study(SMALL_STUDY), tmp_path / "here.html")
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "there.html")]
    elsewhere = subprocess.run(command, check=False, env=environment, timeout=120)

    assert elsewhere.returncode == 0
    assert (tmp_path / "here.html").read_bytes() == (tmp_path / "there.html").read_bytes()


def test_a_name_cannot_become_markup():
    wicked = '<script>alert("x")</script>&amp;'
    results = make_study(SMALL_STUDY)
    results = results.model_copy(
        update={
            "study": results.study.model_copy(update={"name": wicked, "plan": {"name": wicked}}),
            "notes": (wicked,),
        }
    )

    page = Page(render_words(results))

    assert not page.all("script")
    assert page.text.count(wicked) == 3  # title, heading, note
    assert json.dumps(wicked) in page.text  # plan


def test_site_and_model_names_are_escaped_too():
    wicked = "</td><b>x"
    results = make_study(Make(training=(wicked, "B"), models=(wicked,), rounds=2))

    page = Page(render_page(results))

    assert wicked in page.text
    assert any(wicked in picture["alt"] for picture in page.all("img"))


def test_simulated_patients_are_announced_and_only_they():
    assert "Simulated patients." in Page(render_study(SMALL_STUDY)).text
    real = Make(profile="standard", synthetic=False, models=("net",), rounds=2)
    assert not Page(render_words(make_study(real))).of_class("banner")


def test_it_is_said_how_sums_were_hidden_and_in_red_if_they_were_not():
    results = make_study(SMALL_STUDY)
    bare = results.model_copy(update={"study": results.study.model_copy(update={"hiding": None})})

    hidden, shown = Page(render_study(SMALL_STUDY)), Page(render_words(bare))

    assert "masked (protocol SA1): only sums over at least 2 centres were opened" in hidden.text
    assert "Not hidden by secure aggregation" in hidden.text
    assert not hidden.of_class("bare")
    assert shown.of_class("bare")
    assert "the coordinator saw every centre's own numbers" in shown.text


def test_attention_maps_are_shown_only_if_every_centre_is_synthetic():
    results = make_study(SMALL_STUDY)
    real = results.sites[0].model_copy(update={"synthetic": False})
    picture = base64.b64encode(PIXEL_PNG).decode()

    mixed = render_words(results.model_copy(update={"sites": (real, *results.sites[1:])}))

    assert picture in render_study(SMALL_STUDY)
    assert picture not in mixed
    assert "stay at the centre" in Page(mixed).text


def test_the_headline_says_what_the_numbers_say():
    results = make_study(SMALL_STUDY)
    cell = next(
        c
        for c in results.evaluation
        if c.arm == "federated" and c.part == "test" and len(c.cohort_sites) == 2
    )
    external = next(
        c
        for c in results.evaluation
        if c.arm == "local-Nanjing" and c.cohort_sites == ("Chongqing",) and c.part == "whole"
    )
    results = _replaced(results, cell, auc=measure(0.75, 100), positive=40, negative=60)
    results = _replaced(results, external, auc=measure(0.52, 100))

    sentences = [
        finding.sentence for finding in choose_headline(list_findings(build_model_views(results)[0], USUAL))
    ]

    bounds = words.format_interval(measure(0.75, 100))
    assert sentences[0] == (
        "The federated 2D-ResNet-18, trained at Chongqing and Nanjing without moving a patient, "
        f"reached an AUC of 0.750 (95% CI {bounds}) on the held-out patients of Chongqing and Nanjing, "
        "100 patients; better than chance."
    )
    assert len(sentences) == 3
    carried = next(sentence for sentence in sentences if "trained at Nanjing alone" in sentence)
    assert "carried over to Chongqing, a centre that it had never seen: AUC 0.520" in carried
    assert carried.endswith("not shown to be better than chance.")


def test_worse_than_chance_and_withheld_are_said_so():
    results = make_study(SOMETHING)
    cell = next(c for c in results.evaluation if c.relation == "internal")

    worse = list_findings(build_model_views(_replaced(results, cell, auc=measure(0.2, 200)))[0], USUAL)
    hidden = list_findings(build_model_views(_replaced(results, cell, auc=absent(), positive=None))[0], USUAL)

    assert worse[0].sentence.endswith("worse than chance.")
    assert hidden[0].sentence.endswith(f"its AUC is withheld: {SMALL.reason}.")


def test_leaving_centres_out_opens_with_the_federation_carried_over():
    found = choose_headline(list_findings(build_model_views(make_study(LEAVE_OUT))[0], USUAL))

    carried = [finding.cell for finding in found if finding.cell.relation == "external"]

    assert carried
    assert {cell.kind for cell in carried} == {"federated"}
    assert any(cell.arm == "federated-without-Beta" and cell.cohort_sites == ("Beta",) for cell in carried)


def test_suppressed_numbers_appear_nowhere():
    results = make_study(Make(suppressed=True, profile="standard", synthetic=False))

    page = Page(render_page(results))

    assert f"withheld: {SMALL.reason}" in page.text
    assert not re.findall(r"AUC (?:of )?\d\.\d{3}", page.text)
    assert not [found for found in page.of_class("cell") if "background" in found.get("style", "")]
    assert "None" not in page.text
    assert "Withheld numbers: a count below the minimum." in page.text


def test_every_cell_of_the_matrix_shows_its_number_and_what_it_is():
    results = make_study(SMALL_STUDY)

    page = Page(render_study(SMALL_STUDY))

    shown = page.of_class("cell")
    assert len(shown) == len(results.evaluation)
    for relation in ("external", "apparent", "internal", "selection"):
        marked = [found for found in shown if relation in found["class"].split()]
        assert len(marked) == sum(cell.relation == relation for cell in results.evaluation)
    for cell in results.evaluation:
        assert f"{cell.auc.value:.3f}" in page.text
    assert page.text.count("apparent performance") >= 4


def test_a_model_that_stayed_at_its_centre_leaves_its_other_cells_empty():
    results = make_study(SMALL_STUDY)
    kept = tuple(
        cell
        for cell in results.evaluation
        if cell.kind != "local" or cell.cohort_sites == cell.training_sites
    )

    page = Page(render_chapter(results.model_copy(update={"evaluation": kept}), "matrix"))

    assert "stayed at its centre" in page.text


def test_curves_are_compared_only_on_patients_that_trained_none_of_them():
    for make in (SMALL_STUDY, LEAVE_OUT, PAPER):
        (model,) = build_model_views(make_study(make))
        cohorts = find_fair_cohorts(model)
        assert cohorts
        for cohort in cohorts:
            assert {cell.relation for cell in cohort.cells} <= {"internal", "external"}
            assert len({(cell.cohort_sites, cell.part) for cell in cohort.cells}) == 1


def test_the_papers_design_gives_the_rows_of_its_table_3():
    results = make_study(PAPER)
    (model,) = build_model_views(results)

    printed = list_printed_cells(model, "local-center-1", centres_of(results))

    assert [(one.label, one.cell.relation, one.cell.cohort_sites) for one in printed] == [
        ("Training", "apparent", ("center-1",)),
        ("Internal test", "internal", ("center-1",)),
        ("External", "external", ("center-2",)),
    ]


def test_centres_together_stand_for_each_of_them_in_table_3():
    results = make_study(Make(external=("Wuhan", "Yongchuan"), models=("net",), rounds=2, full=True))
    (model,) = build_model_views(results)

    printed = list_printed_cells(model, "federated", centres_of(results))

    assert [(one.label, one.cell.cohort_sites) for one in printed] == [
        ("Training", ("Chongqing", "Nanjing")),
        ("Internal test", ("Chongqing", "Nanjing")),
        ("External", ("Wuhan", "Yongchuan")),
    ]


def test_centres_that_are_nowhere_together_are_named_in_table_3():
    results = make_study(LEAVE_OUT)
    (model,) = build_model_views(results)

    printed = list_printed_cells(model, "federated-without-Beta", centres_of(results))

    assert [one.label for one in printed if one.role == "external"] == ["External, Beta", "External, Delta"]


def test_a_model_carried_over_to_several_centres_opens_the_page_with_all_of_them():
    results = make_study(Make(external=("Wuhan", "Yongchuan"), models=("net",), rounds=2, full=True))

    found = choose_headline(list_findings(build_model_views(results)[0], USUAL))

    carried = [one for one in found if one.cell.relation == "external"]
    assert [one.cell.cohort_sites for one in carried] == [("Wuhan", "Yongchuan"), ("Wuhan",), ("Yongchuan",)]
    assert "carried over to Wuhan and Yongchuan, centres that it had never seen" in carried[0].sentence


def test_a_study_of_given_scores_reads_as_one():
    scores = Make(models=(), scores=("BRAIN", "Radiologist"), full=True, pooled=False, profile="standard")
    page = Page(render_page(make_study(scores)))

    assert "BRAIN, a score that came with the hospitals' tables, reached an AUC of" in page.text
    assert "on all patients of Chongqing and Nanjing" in page.text
    assert "Nothing was trained: every score came with the hospitals' tables." in page.text
    links = {found["href"] for found in page.all("a")}
    assert not links & {"#training", "#attention", "#calibration", "#decision"}
    assert "Given scores" in page.text


def test_a_study_that_only_describes_its_patients_says_so():
    results = make_study(SOMETHING).model_copy(update={"training": (), "evaluation": (), "overlays": ()})
    page = Page(render_page(results))

    assert "The study describes its patients" in page.text
    assert {found["href"] for found in page.all("a")} == {
        *("#summary", "#patients", "#characteristics", "#run", "#glossary")
    }


@pytest.mark.parametrize("make", [PAPER, SOMETHING, LEAVE_OUT])
def test_other_designs_give_whole_pages(make):
    page = Page(render_study(make))

    for site in make.sites:
        assert site in page.text
    assert page.of_class("headline")


def test_a_study_without_anything_says_so():
    empty = make_study(SOMETHING).model_copy(
        update={"training": (), "evaluation": (), "overlays": (), "cohort": (), "parts": (), "notes": ()}
    )
    page = Page(render_page(empty))

    assert "No model was trained." in page.text
    assert "Nothing was evaluated." in page.text


def test_rounds_and_epochs_are_counted_apart_and_drawn_on_one_scale():
    results = make_study(Make(models=("net",), rounds=12))

    page = Page(render_chapter(results, "training"))

    assert "Federated, round 9 of 12; Chongqing alone, epoch 9 of 12" in page.text
    assert "a round is 2 passes over each centre's" in page.text


def test_p_values_have_a_column_only_if_there_are_any():
    results = make_study(SMALL_STUDY)
    bare = tuple(row.model_copy(update={"p_value": None}) for row in results.cohort)

    assert "< .001" in Page(render_study(SMALL_STUDY)).text
    assert ">P</th>" in render_study(SMALL_STUDY)
    bare_chapter = render_chapter(results.model_copy(update={"cohort": bare}), "characteristics")
    assert ">P</th>" not in bare_chapter


def test_a_model_without_curves_says_so():
    results = make_study(SOMETHING)
    bare = tuple(curve.model_copy(update={"points": ()}) for curve in results.training)

    assert (
        "There are no learning curves."
        in Page(render_chapter(results.model_copy(update={"training": bare}), "training")).text
    )


def test_eight_models_in_seven_arms_fill_eight_matrices():
    names = tuple(f"{d}D-net-{n}" for d in (2, 3) for n in range(4))
    make = Make(training=("A", "B", "C"), design="leave-one-out", models=names, rounds=2)
    results = make_study(make)

    page = Page(render_words(results))

    assert len(make.arms) == 7
    assert len(page.of_class("matrix")) == 2 * 8 + 1  # evidence, the rest, and the models side by side
    assert len(style_arms(results)) == 7
    assert len({(style.colour, style.dashes) for style in style_arms(results).values()}) == 7


def test_the_flow_chart_prints_every_reason_and_number():
    results = make_study(SMALL_STUDY)

    page = Page(render_study(SMALL_STUDY))

    for chart in results.flow:
        for excluded in chart.excluded:
            assert f"{excluded.reasons[0]} {excluded.patients}" in page.text
        assert f"Screened {chart.screened}" in page.text
        assert f"rHE {chart.positive} non-rHE {chart.negative}" in page.text


@pytest.mark.parametrize(
    ("arm", "label"),
    [
        (Arm("federated", "federated", ("A", "B")), "Federated"),
        (Arm("federated-without-B", "federated", ("A", "C")), "Federated without B"),
        (Arm("local-A", "local", ("A",)), "A alone"),
        (Arm("pooled", "pooled", ("A", "B")), "Pooled data"),
    ],
)
def test_arms_in_words(arm, label):
    curve = make_study(SOMETHING).training[0]

    named = curve.model_copy(update={"arm": arm.name, "kind": arm.kind, "sites": arm.sites})

    assert words.name_arm(named) == label


def test_numbers_in_words():
    assert words.join_words([]) == ""
    assert words.join_words(["a", "b", "c"]) == "a, b and c"
    assert words.format_count(None) == "withheld"
    assert words.format_count(12345) == "12,345"
    assert words.format_pair(3, None) == "3 / withheld"
    assert words.format_pair(None, None) == "withheld"
    assert words.format_p_value(0.0001) == "< .001"
    assert words.format_p_value(0.0312) == ".031"
    assert words.format_duration(59.9) == "59.9 s"
    assert words.format_duration(3725) == "1 h 2 min"
    assert words.format_number(-0.1234) == "\N{MINUS SIGN}0.123"
    assert words.format_number(-0.0004) == "0.000"
    assert words.format_ratio(0.0002) == "< 0.001"
    assert words.format_ratio(21034.4) == "21,034"
    assert words.format_interval(Estimate(value=0.1, low=0.0, high=0.2)) == "0.000\N{EN DASH}0.200"
    assert words.format_interval(Estimate(value=0.1, low=-0.1, high=0.2)) == "\N{MINUS SIGN}0.100 to 0.200"
    assert words.format_data_volume(999) == "999 B"
    assert words.format_data_volume(12_345_678) == "12.3 MB"
    assert words.format_moment("2026-03-01T12:03:20+00:00") == "2026-03-01 12:03 UTC"


def test_groups_as_the_papers_table_1_prints_them():
    assert words.describe_group(VariableDescription(patients=14, percent=66.67), 2) == "14 (66.7)"
    assert words.describe_group(VariableDescription(mean=63.031, sd=12.2), 2) == "63.03 ± 12.20"
    volume = VariableDescription(median=18.4, first_quartile=8.1, third_quartile=33.94)
    assert words.describe_group(volume, 1) == "18.4 (8.1, 33.9)"
    assert words.describe_group(VariableDescription(standing=SMALL), 2) == f"withheld: {SMALL.reason}"
    assert words.describe_group(VariableDescription(standing=Status(kind="undefined")), 2) == "not defined"
    assert words.describe_group(VariableDescription(used=0, missing=0), 2) == words.DASH


def _make_partial(results: Results, model: str, absent: str) -> Results:
    """The results of a study in which one centre took no part in the federated training of one model."""

    def rest(record: Cell | LearningCurve) -> dict[str, object]:
        if (record.model, record.arm) != (model, "federated"):
            return {}
        sites = record.training_sites if isinstance(record, Cell) else record.sites
        left = tuple(site for site in sites if site != absent)
        if isinstance(record, Cell):
            return {"partial": True, "training_sites": left}
        rounds = {site: record.chosen if site in left else 0 for site in sites}
        parts = [CentreContribution(site=site, rounds=number, patients=40) for site, number in rounds.items()]
        return {"partial": True, "sites": left, "contributions": tuple(parts)}

    return results.model_copy(
        update={
            "training": tuple(curve.model_copy(update=rest(curve)) for curve in results.training),
            "evaluation": tuple(cell.model_copy(update=rest(cell)) for cell in results.evaluation),
        }
    )


def test_a_partial_model_is_marked_wherever_it_is_named_and_no_other_is():
    whole = make_study(Make(training=("Alpha", "Beta", "Gamma"), models=("net", "other"), rounds=3))
    results = _make_partial(whole, "net", "Gamma")
    page, known = render_page(results), {"net": 0, "other": 0}
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))

    assert (
        "The federated net, trained at Alpha and Beta without moving a patient (PARTIAL: Gamma joined" in text
    )
    assert "Federated (PARTIAL): trained by Alpha and Beta; Gamma joined no round." in text
    assert "Training patients: Alpha 40, Beta 40, Gamma 40." in text
    for heading in re.findall(r"<(?:h3|summary|caption|figcaption)>(.*?)<", page):
        for name in known:
            if re.match(rf"{name}\b", heading.strip()):
                known[name] += 1
                assert ("PARTIAL" in heading) == (name == "net"), heading
    assert min(known.values()) >= 3
    assert "net (PARTIAL) is the reference" in text
    assert "Reference model net (PARTIAL)" in text
    # Columns of the matrix, legends, details of Table 3, ROC curves
    assert text.count("Federated (PARTIAL)") >= 5
    assert "PARTIAL" not in render_words(whole)


def test_tables_tell_who_trained_a_partial_model(tmp_path):
    results = _make_partial(make_study(SMALL_STUDY), SMALL_STUDY.models[0], "Nanjing")
    files = {path.stem: path for path in write_tables(results, tmp_path)}
    trained = list(csv.DictReader(files["contributors"].read_text().splitlines()))
    performance = list(csv.DictReader(files["performance"].read_text().splitlines()))

    assert [(row["site"], row["rounds"], row["partial"]) for row in trained] == [
        ("Chongqing", "3", "1"),
        ("Nanjing", "0", "1"),
    ]
    partial = [row for row in performance if row["partial"] == "1"]
    assert {(row["arm"], row["trained_by"]) for row in partial} == {("federated", "Chongqing")}
    assert len(partial) < len(performance)


def test_the_page_counts_all_runs_and_says_which_versions_differ():
    whole = make_study(SMALL_STUDY)
    first = RunOfStudy(
        started="2026-03-01T09:00:00+00:00",
        last_heard="2026-03-01T09:20:00+00:00",
        seconds=1200,
        rounds=44,
        versions={"rhe": "0.2.0"},
    )
    second = first.model_copy(update={"started": "2026-03-02T08:00:00+00:00", "seconds": 90, "rounds": 227})
    differ = "torch: 2.13.0+cpu at the coordinator, a; 2.13.0+cu126 at b."
    provenance = whole.provenance.model_copy(
        update={
            "runs": (first, second),
            "message_rounds": 271,
            "differences": (differ,),
            "earlier_runs": True,
        }
    )

    text = Page(render_chapter(whole.model_copy(update={"provenance": provenance}), "run")).text

    assert "2, of which the last finished the study: 2026-03-01 09:00 UTC, 20 min, 44 rounds;" in text
    assert "2026-03-02 08:00 UTC, 2 min, 227 rounds" in text
    assert "in 271 rounds" in text
    assert f"Versions differ {differ}" in text
    assert "Earlier runs left no record" in text
    assert provenance.describe_rounds().startswith("271 rounds of messages in 2 runs: ")
    assert "Versions differ" not in Page(render_study(SMALL_STUDY)).text


@pytest.mark.parametrize(
    ("users", "line"),
    [
        ((None, None), None),
        (("two users", "two users"), "two users at a, b: the link cannot read the centre's files"),
        (("one user", None), "one user at a: whoever takes over the link there can read the centre's files"),
        (
            ("two users", "one user"),
            "one user at b: whoever takes over the link there can read the centre's files; two users at a",
        ),
    ],
)
def test_the_centres_whose_engine_and_link_were_one_user_are_named(users, line):
    whole = make_study(Make(training=("Alpha", "Beta"), models=("net",)))
    sites = tuple(
        SiteProvenance(name=name, device="cpu", versions={}, users=of_site)
        for name, of_site in zip(("a", "b"), users, strict=True)
    )
    provenance = whole.provenance.model_copy(update={"sites": sites})
    text = Page(render_chapter(whole.model_copy(update={"provenance": provenance}), "run")).text
    assert ("Engine and link" in text) == (line is not None)
    assert line is None or f"Engine and link {line}" in text
