"""What a screen reader, a keyboard and a narrow window need: names of regions, headings, landmarks."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from studies.page import Page, leave_pictures_empty, render_chapter
from studies.results import Make, make_study

import server.report
from server.report.matrix_table import build_matrices
from server.report.page import render_page
from server.report.subject import subject_of
from server.report.words import format_probability, has_digit

CSS = (Path(server.report.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")
CROSSED = Make(models=("2D-net", "3D-net"), logistic=("Clinical",), scores=("Volume",), rounds=2, full=True)
MANY = Make(
    training=("Alpha", "Beta", "Gamma"),
    external=("Delta", "Epsilon"),
    design="leave-one-out",
    models=("2D-net",),
    logistic=("Clinical",),
    pooled=False,
    rounds=2,
    full=True,
)


@cache
def rendered(make):
    with leave_pictures_empty():
        return render_page(make_study(make))


@pytest.mark.parametrize("make", [CROSSED, MANY])
def test_no_two_regions_have_the_same_name(make):
    """Bars and net benefits of several arms on one cohort had the same name."""
    results = make_study(make)
    first = results.comparisons[0]
    other = next(pair.second_arm for pair in first.pairs if pair.second_model == pair.first_model)
    pairs = tuple(
        pair.model_copy(update={"first_arm": other}) for pair in first.pairs if pair.second_arm != other
    )
    several = results.model_copy(
        update={"comparisons": (*results.comparisons, first.model_copy(update={"pairs": pairs}))}
    )
    with leave_pictures_empty():
        html = render_page(several)
    names = Counter(found["aria-label"] for _, found in Page(html).elements if "aria-label" in found)

    assert len(names) > 20
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("make", [CROSSED, MANY])
def test_every_heading_of_a_column_says_something_to_a_screen_reader(make):
    """Groups without a title were empty headings; the drawn axis was a heading hidden from readers."""
    headings = re.findall(r"<th\b[^>]*>(.*?)</th>", rendered(make), re.DOTALL)
    hidden = r'<(span|svg)[^>]*aria-hidden="true"[^>]*>.*?</\1>|<[^>]+>'

    empty = [heading for heading in headings if not re.sub(hidden, "", heading, flags=re.DOTALL).strip()]

    assert len(headings) > 100
    assert empty == []


def test_warnings_are_landmarks():
    results = make_study(Make(models=("net",), rounds=1))
    bare = results.model_copy(update={"study": results.study.model_copy(update={"hiding": None})})
    with leave_pictures_empty():
        page = Page(render_page(bare))

    asides = [found["aria-label"] for found in page.all("aside") if "banner" in found["class"]]
    assert asides == ["Simulated patients", "Not hidden"]


def test_a_scroller_can_be_reached_by_the_keyboard_and_says_that_it_scrolls():
    for found in Page(rendered(CROSSED)).of_class("scroll"):
        assert (found["tabindex"], found["role"]) == ("0", "region")
        assert found["aria-label"]
    assert '.scroll.wide::before, .drawn::before { content: "Scrolls sideways' in CSS
    # Paper does not scroll
    assert re.findall(r"@media (\S+)[^{]*\(max-width", CSS) == ["screen"] * 3


def test_words_of_a_table_may_break_where_a_number_with_its_unit_may_not():
    """Words that could not break made the table of every model wider than a window of 1,200 pixels."""
    entries = re.findall(r"<td[^>]*>(?:<b>)?([^<]+)", render_chapter(make_study(CROSSED), "summary"))

    assert {"Not shown to carry over", "Ranks patients only"} & set(entries)
    assert not [entry for entry in entries if "\u00a0" in entry and not has_digit(entry)]
    assert has_digit("< .001")
    assert not has_digit("too high")


def test_arms_that_were_carried_over_come_first():
    """On a narrow screen the first columns are the ones that are seen."""
    matrix = build_matrices(subject_of(make_study(CROSSED)))[0]

    assert [style.label for style in matrix.columns] == [
        "Chongqing alone",
        "Nanjing alone",
        "Federated",
        "Pooled data",
    ]
    for row in matrix.rows:
        for style, cell in zip(matrix.columns, row.cells, strict=True):
            assert cell is None or style == subject_of(make_study(CROSSED)).arm_styles[cell.arm]
    first = next(row for row in matrix.rows if row.size.part == "whole")
    assert "external" in {cell.relation for cell in first.cells[:2]}


def test_many_directions_stand_in_one_line_each_before_their_cards():
    """With six cards or more the first two screens held some of the answers alone."""
    chapter = render_chapter(make_study(MANY), "summary")
    table = chapter.partition('aria-label="Every direction in one line"')[2].partition("</table>")[0]

    assert 0 < chapter.index("Every direction in one line") < chapter.index('class="verdicts"')
    assert table.count("<tr ") == chapter.count('<article class="verdict ') > 3
    assert "Every direction in one line" not in render_chapter(make_study(CROSSED), "summary")


def test_a_card_leads_to_the_chapters_with_more():
    cards = rendered(CROSSED).partition('class="verdicts"')[2].partition("</article>")[0]

    assert re.findall(r'<dt><a href="#(\w+)"', cards)[:2] == ["roc", "matrix"]


@pytest.mark.parametrize(
    ("risk", "words"), [(0.0, "0.00"), (4e-5, "< 0.01"), (0.316, "0.32"), (0.9999, "> 0.99"), (1.0, "1.00")]
)
def test_a_risk_that_is_not_zero_is_not_printed_as_zero(risk, words):
    assert format_probability(risk) == words


def test_printed_headings_keep_what_follows_on_their_page():
    printed = CSS.partition("@media print")[2]

    assert 'h2::after, h3::after, h4::after { content: ""; display: block; height: 62mm;' in printed
    assert ".across { page: across; }" in printed
    assert "A4 landscape" in printed
