from __future__ import annotations

import base64
import csv
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import PIXEL_PNG, SMALL, Arm, Make, absent, make_study, measure

from server.records import Described, Standing
from server.report import words, write_report, write_tables
from server.report.figures import Picture, TimedCurve, loss_picture, roc_picture
from server.report.headline import findings, headline
from server.report.page import render
from server.report.palette import ArmStyle, arm_styles, auc_tint
from server.report.views import fair_cohorts, model_views, printed_cells
from server.results import Cell, Results

VOID = {"meta", "img", "br", "line", "rect"}
SMALL_STUDY = Make(models=("2D-ResNet-18",), rounds=3)
PAPER = Make(training=("center-1",), external=("center-2",), models=("2D-ResNet-101",), pooled=False)
LEAVE_OUT = Make(
    training=("Alpha", "Beta", "Gamma"),
    external=("Delta",),
    design="leave-one-out",
    models=("net",),
    rounds=2,
)
SOMETHING = Make(training=("Solo",), pooled=False, models=("net",), rounds=2)


class Page(HTMLParser):
    """A page taken apart; refuses unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [found for _, found in self.elements if name in found.get("class", "").split()]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(make_study()))


def _replaced(results: Results, cell: Cell, **changes: object) -> Results:
    changed = tuple(one.model_copy(update=changes) if one is cell else one for one in results.evaluation)
    return results.model_copy(update={"evaluation": changed})


def test_the_page_needs_nothing_else(page):
    sources = [found[name] for _, found in page.elements for name in ("src", "href") if name in found]

    assert sources
    assert all(source.startswith(("data:image/", "#")) for source in sources)
    assert not page.all("script")
    assert not page.all("link")
    assert "@import" not in render(make_study(SMALL_STUDY))
    assert any("default-src 'none'" in found.get("content", "") for found in page.all("meta"))


def test_links_lead_somewhere_and_identifiers_are_unique(page):
    identifiers = [found["id"] for _, found in page.elements if "id" in found]
    targets = [found["href"][1:] for found in page.all("a")]

    assert len(set(identifiers)) == len(identifiers)
    assert set(targets) <= set(identifiers)
    assert len(page.all("section")) == 10


def test_every_picture_says_what_it_shows(page):
    pictures = page.all("img")

    assert len(pictures) == 2 * 2 + 2 * 4 + 8  # learning curves, ROC panels, attention maps
    assert all(len(picture["alt"]) > 20 for picture in pictures)


ELSEWHERE = """
import sys
from pathlib import Path
from studies import Make, make_study
from server.report import write_report

write_report(make_study(Make(models=("2D-ResNet-18",), rounds=3)), Path(sys.argv[1]))
sys.exit(any(name in sys.modules for name in ("torch", "SimpleITK", "flwr", "matplotlib.pyplot")))
"""


def test_any_process_writes_the_same_bytes_without_torch_or_images(tmp_path):
    root = Path(__file__).parents[2]
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

    page = Page(render(results))

    assert not page.all("script")
    assert page.text.count(wicked) == 3  # title, heading, note
    assert json.dumps(wicked) in page.text  # plan


def test_site_and_model_names_are_escaped_too():
    wicked = "</td><b>x"
    results = make_study(Make(training=(wicked, "B"), models=(wicked,), rounds=2))

    page = Page(render(results))

    assert wicked in page.text
    assert any(wicked in picture["alt"] for picture in page.all("img"))


def test_simulated_patients_are_announced_and_only_they():
    assert "Simulated patients." in Page(render(make_study(SMALL_STUDY))).text
    real = Make(profile="standard", synthetic=False, models=("net",), rounds=2)
    assert not Page(render(make_study(real))).of_class("banner")


def test_attention_maps_are_shown_only_if_every_centre_is_synthetic():
    results = make_study(SMALL_STUDY)
    real = results.sites[0].model_copy(update={"synthetic": False})
    picture = base64.b64encode(PIXEL_PNG).decode()

    mixed = render(results.model_copy(update={"sites": (real, *results.sites[1:])}))

    assert picture in render(results)
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

    sentences = [finding.sentence for finding in headline(findings(model_views(results)[0]))]

    bounds = words.interval(measure(0.75, 100))
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

    worse = findings(model_views(_replaced(results, cell, auc=measure(0.2, 200)))[0])
    hidden = findings(model_views(_replaced(results, cell, auc=absent(), positive=None))[0])

    assert worse[0].sentence.endswith("worse than chance.")
    assert hidden[0].sentence.endswith(f"its AUC is withheld: {SMALL.reason}.")


def test_leaving_centres_out_opens_with_the_federation_carried_over():
    found = headline(findings(model_views(make_study(LEAVE_OUT))[0]))

    carried = [finding.cell for finding in found if finding.cell.relation == "external"]

    assert carried
    assert {cell.kind for cell in carried} == {"federated"}
    assert any(cell.arm == "federated-without-Beta" and cell.cohort_sites == ("Beta",) for cell in carried)


def test_suppressed_numbers_appear_nowhere():
    results = make_study(Make(suppressed=True, profile="standard", synthetic=False))

    page = Page(render(results))

    assert f"withheld: {SMALL.reason}" in page.text
    assert not re.findall(r"AUC (?:of )?\d\.\d{3}", page.text)
    assert not [found for found in page.of_class("cell") if "background" in found.get("style", "")]
    assert "None" not in page.text
    assert "Withheld numbers: a count below the minimum." in page.text


def test_every_cell_of_the_matrix_shows_its_number_and_what_it_is():
    results = make_study(SMALL_STUDY)

    page = Page(render(results))

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

    page = Page(render(results.model_copy(update={"evaluation": kept})))

    assert "stayed at its centre" in page.text


def test_curves_are_compared_only_on_patients_that_trained_none_of_them():
    for make in (SMALL_STUDY, LEAVE_OUT, PAPER):
        (model,) = model_views(make_study(make))
        cohorts = fair_cohorts(model)
        assert cohorts
        for cohort in cohorts:
            assert {cell.relation for cell in cohort.cells} <= {"internal", "external"}
            assert len({(cell.cohort_sites, cell.part) for cell in cohort.cells}) == 1


def test_the_papers_design_gives_the_rows_of_its_table_3():
    (model,) = model_views(make_study(PAPER))

    ((label, cells),) = printed_cells(model)

    assert label == "center-1 alone"
    assert [(cell.relation, cell.cohort_sites) for cell in cells] == [
        ("apparent", ("center-1",)),
        ("internal", ("center-1",)),
        ("external", ("center-2",)),
    ]


@pytest.mark.parametrize("make", [PAPER, SOMETHING, LEAVE_OUT])
def test_other_designs_give_whole_pages(make):
    page = Page(render(make_study(make)))

    for site in make.sites:
        assert site in page.text
    assert page.of_class("headline")


def test_a_study_without_anything_says_so():
    empty = make_study(SOMETHING).model_copy(
        update={"training": (), "evaluation": (), "overlays": (), "cohort": (), "parts": (), "notes": ()}
    )
    page = Page(render(empty))

    assert "No model was trained." in page.text
    assert "Nothing was evaluated." in page.text


def test_rounds_and_epochs_are_counted_apart_and_drawn_on_one_scale():
    results = make_study(Make(models=("net",), rounds=12))

    page = Page(render(results))

    assert "Federated, round 9 of 12; Chongqing alone, epoch 9 of 12" in page.text
    assert "a round is 2 passes over each centre's" in page.text


@pytest.mark.parametrize(("kind", "epochs"), [("federated", [2, 4, 6]), ("local", [1, 2, 3])])
def test_a_learning_curve_draws_the_losses_at_their_epochs(kind, epochs):
    results = make_study(SMALL_STUDY)
    curve = next(curve for curve in results.training if curve.kind == kind)
    style = arm_styles(results)[curve.arm]

    picture = loss_picture([TimedCurve(curve, 2 if kind == "federated" else 1)], {curve.arm: style}, "title")

    drawn = _drawn(picture, style)
    (left, bottom), (right, top) = drawn[0], drawn[-1]
    losses = [point.loss for point in curve.points]
    for (x, y), epoch, loss in zip(drawn, epochs, losses, strict=True):
        assert (x - left) / (right - left) == pytest.approx((epoch - epochs[0]) / (epochs[-1] - epochs[0]))
        assert (y - bottom) / (top - bottom) == pytest.approx(
            (loss - losses[0]) / (losses[-1] - losses[0]), abs=1e-4
        )


def test_p_values_have_a_column_only_if_there_are_any():
    results = make_study(SMALL_STUDY)
    bare = tuple(row.model_copy(update={"p_value": None}) for row in results.cohort)

    assert "< .001" in Page(render(results)).text
    assert " P " not in Page(render(results.model_copy(update={"cohort": bare}))).text


def test_a_model_without_curves_says_so():
    results = make_study(SOMETHING)
    bare = tuple(curve.model_copy(update={"points": ()}) for curve in results.training)

    assert "There are no learning curves." in Page(render(results.model_copy(update={"training": bare}))).text


def test_eight_models_in_seven_arms_fill_eight_matrices():
    names = tuple(f"{d}D-net-{n}" for d in (2, 3) for n in range(4))
    make = Make(training=("A", "B", "C"), design="leave-one-out", models=names, rounds=2)
    results = make_study(make)

    page = Page(render(results))

    assert len(make.arms) == 7
    assert len(page.of_class("matrix")) == 8 + 1  # and the models side by side
    assert len(arm_styles(results)) == 7
    assert len({(style.colour, style.dashes) for style in arm_styles(results).values()}) == 7


def test_the_flow_chart_prints_every_reason_and_number():
    results = make_study(SMALL_STUDY)

    page = Page(render(results))

    for chart in results.flow:
        for excluded in chart.excluded:
            assert f"{excluded.reasons[0]} {excluded.patients}" in page.text
        assert f"Screened {chart.screened}" in page.text
        assert f"rHE {chart.positive} non-rHE {chart.negative}" in page.text


def _drawn(picture: Picture, style: ArmStyle) -> list[tuple[float, float]]:
    """The vertices of the one line of that colour, in the picture's own units."""
    code = base64.b64decode(picture.source.split(",", 1)[1])
    assert b"date" not in code
    svg = ET.fromstring(code)  # noqa: S314 - our own picture
    (path,) = [
        element.get("d")
        for element in svg.iter("{http://www.w3.org/2000/svg}path")
        if f"stroke: {style.colour.lower()}" in element.get("style", "").lower() and element.get("clip-path")
    ]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]


def test_a_roc_picture_draws_the_curve_that_it_was_given():
    results = make_study(SMALL_STUDY)
    cell = next(c for c in results.evaluation if c.arm == "federated" and c.part == "whole")
    style = arm_styles(results)[cell.arm]

    picture = roc_picture([cell], {cell.arm: style}, "title")

    drawn = _drawn(picture, style)
    assert len(drawn) == len(cell.roc)
    (left, bottom), (right, top) = drawn[0], drawn[-1]
    for (x, y), point in zip(drawn, cell.roc, strict=True):
        assert (x - left) / (right - left) == pytest.approx(point.false_positive_rate, abs=1e-5)
        assert (bottom - y) / (bottom - top) == pytest.approx(point.true_positive_rate, abs=1e-5)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@given(st.floats(min_value=0, max_value=1))
def test_text_on_every_tint_has_the_contrast_that_wcag_asks_for(auc):
    assert _contrast(auc_tint(auc), "#2a3742") >= 4.5


def test_lines_have_the_contrast_that_wcag_asks_for():
    many = make_study(Make(training=tuple("ABCDEFG"), models=("net",), rounds=1))

    assert all(_contrast(style.colour, "#ffffff") >= 3 for style in arm_styles(many).values())


def test_kinds_of_arm_differ_without_colour():
    styles = arm_styles(make_study(SMALL_STUDY))

    dashes = [styles[arm].dashes for arm in ("federated", "local-Nanjing", "pooled")]

    assert len(set(dashes)) == 3


def test_tints_tell_above_from_below_chance():
    assert auc_tint(0.5) == "#ffffff"
    assert auc_tint(1.0) == "#7fb8e3"
    assert auc_tint(0.0) == "#f3a96b"


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

    assert words.arm_label(named) == label


def test_numbers_in_words():
    assert words.join_words([]) == ""
    assert words.join_words(["a", "b", "c"]) == "a, b and c"
    assert words.count(None) == "withheld"
    assert words.count(12345) == "12,345"
    assert words.pair(3, None) == "3 / withheld"
    assert words.pair(None, None) == "withheld"
    assert words.p_value(0.0001) == "< .001"
    assert words.p_value(0.0312) == ".031"
    assert words.duration(59.9) == "59.9 s"
    assert words.duration(3725) == "1 h 2 min"
    assert words.data_volume(999) == "999 B"
    assert words.data_volume(12_345_678) == "12.3 MB"
    assert words.clock("2026-03-01T12:03:20+00:00") == "2026-03-01 12:03 UTC"


def test_groups_as_the_papers_table_1_prints_them():
    assert words.described(Described(patients=14, percent=66.67), 2) == "14 (66.7)"
    assert words.described(Described(mean=63.031, sd=12.2), 2) == "63.03 ± 12.20"
    volume = Described(median=18.4, first_quartile=8.1, third_quartile=33.94)
    assert words.described(volume, 1) == "18.4 (8.1, 33.9)"
    assert words.described(Described(standing=SMALL), 2) == f"withheld: {SMALL.reason}"
    assert words.described(Described(standing=Standing(kind="undefined")), 2) == "not defined"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_tables_hold_every_number_in_full(tmp_path):
    results = make_study(SMALL_STUDY)

    files = {path.stem: path for path in write_tables(results, tmp_path / "tables")}

    assert set(files) == {"flow", "parts", "cohort", "training", "performance", "roc"}
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


def test_hidden_numbers_are_blank_in_the_tables(tmp_path):
    results = make_study(Make(suppressed=True, models=("net",)))

    files = {path.stem: path for path in write_tables(results, tmp_path)}

    for row in _rows(files["performance"]):
        assert row["auc"] == row["positive"] == row["true_positive"] == ""
        assert row["auc_status"] == f"suppressed: {SMALL.reason}"
    assert {row["patients"] for row in _rows(files["flow"])} == {""}
