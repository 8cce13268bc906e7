"""The chapter on reproducibility: every reader's agreement, and what became of the features."""

import csv
import xml.etree.ElementTree as ET

import pytest
from studies.page import Page, decode_picture, render_chapter, render_words
from studies.results import Make, make_study
from studies.svg_styles import list_styled

from common.cohort.schema import BY_NAME
from common.plan.agreement import list_comparisons
from common.plan.sections import Agreement
from common.radiomics.features import FEATURES
from common.stats.estimate import Estimate, Status
from server.report import write_tables
from server.report.icc_strips import CLASSES, IccPanel, class_of, draw_icc_strips
from server.report.reproducibility import build_reproducibility, find_lowest
from server.report.subject import subject_of
from server.results.readings import (
    FeatureFilter,
    FeatureIcc,
    FeatureReading,
    ReadingAgreement,
    Reproducibility,
)

FEW = Status(kind="suppressed", reason="fewer than 10 patients")
USED = 43
PAPERS = Agreement()


def agreements(plan=PAPERS, **changes):
    return tuple(
        ReadingAgreement(
            kind=one.kind,
            name=one.name,
            label=BY_NAME[one.name].label,
            reader=one.reader,
            readings=one.readings,
            sites=2,
            used=USED,
            missing=0,
            method="ICC(2,1)" if one.kind == "volume" else "Cohen's kappa, unweighted",
            agreement=Estimate(value=0.5 + place / 100, low=0.4, high=0.95),
        ).model_copy(update=changes)
        for place, one in enumerate(list_comparisons(plan))
    )


def reading(name, value, sites=("Chongqing", "Nanjing"), used=31):
    """Feature 0 always at -0.2, feature 1 without a value; the others at this value, bounds 0.1 below."""
    values = [-0.2, None, *[value] * (len(FEATURES) - 2)]
    features = (
        FeatureIcc(name=feature, icc=icc, low=None if icc is None else icc - 0.1, high=None)
        for feature, icc in zip(FEATURES, values, strict=True)
    )
    return FeatureReading(reading=name, sites=sites, used=used, features=tuple(features))


def a_filter(*readings, arm="federated", **changes):
    settings = {
        "arm": arm,
        "sites": ("Chongqing", "Nanjing"),
        "form": "ICC(2,1)",
        "threshold": 0.8,
        "judged": "value",
        "readings": readings,
        "retained": FEATURES[2:],
        "left_out": (),
    }
    return FeatureFilter.model_validate(settings | changes)


def a_study(found):
    return make_study(Make(models=("net",), rounds=2)).model_copy(update={"reproducibility": found})


def record(filters=(), agreements=(), *, same_readers=True):
    return Reproducibility(same_readers=same_readers, agreements=agreements, filters=filters)


def lines(table):
    return {
        line.label: [entry.write_plain() for entry in line.entries] for line in table.lines if line.entries
    }


def test_a_study_that_did_not_ask_has_no_such_chapter():
    page = Page(render_words(a_study(None)))

    assert not [one for one in page.all("section") if one.get("id") == "reproducibility"]


def test_each_line_has_both_readings_and_both_comparisons_of_the_suggestion():
    view = build_reproducibility(subject_of(a_study(record(agreements=agreements()))))

    found = lines(view.agreement)
    assert len(found) == 11
    of = {(one.kind, one.name, one.reader): one.agreement.value for one in agreements()}
    for name, kind, others in (
        ("ich_volume_ml", "volume", ()),
        ("hypodensity", "marker", (("suggestion", "first"), ("suggestion", "inter"))),
    ):
        places = ((kind, "intra"), (kind, "inter"), *others)
        entries = found[BY_NAME[name].label]
        for entry, (what, reader) in zip(entries, places, strict=False):
            assert entry.startswith(f"{of[what, name, reader]:.3f} (0.400\N{EN DASH}0.950); n = {USED}")
    assert found["ICH volume"][2:] == ["\N{EN DASH}", "\N{EN DASH}"]
    assert view.agreement.footnotes == (("a", "ICC(2,1)."),)
    assert (view.filters, view.figure) == (None, None)


def test_results_of_version_1_name_their_pairs_by_the_repeated_reading_alone():
    old = tuple(one.model_copy(update={"readings": ()}) for one in agreements())

    view, before = (
        build_reproducibility(subject_of(a_study(record(agreements=found)))) for found in (agreements(), old)
    )

    assert lines(view.agreement) == lines(before.agreement)
    assert view.agreement.groups == before.agreement.groups


def test_any_number_of_readers_and_sessions_has_a_column_for_each_comparison():
    readers = Agreement(readers=({"name": "Ning", "sessions": 3}, {"name": "Yu"}, {}))
    found = record(agreements=agreements(readers)).model_copy(update={"readers": ("Ning", "Yu", "")})

    view = build_reproducibility(subject_of(a_study(found)))

    compared, suggested = view.agreement.groups
    assert (compared.title, compared.columns) == (
        "Compared readings",
        (
            "Ning, sessions 1 and 2",
            "Ning, sessions 1 and 3",
            "Ning, sessions 2 and 3",
            "Ning, sessions 1, 2 and 3",
            "Ning and Yu",
            "Ning and third reader",
            "Yu and third reader",
            "All 3 readers",
        ),
    )
    assert suggested.columns == ("Ning", "Yu", "Third reader")
    assert len(lines(view.agreement)["Hypodensity"]) == 11
    assert "NCCT markers (Cohen's kappa; of three or more readings, Fleiss' kappa)" in [
        line.label for line in view.agreement.lines
    ]


def test_features_of_several_readers_are_counted_under_their_names():
    filtered = a_filter(reading("all-readers", 0.95), reading("reader3-session1", 0.79), retained=())
    named = record((filtered,)).model_copy(update={"readers": ("Ning", "Yu", "Fan")})

    titles = [
        [group.title for group in build_reproducibility(subject_of(a_study(found))).filters.groups]
        for found in (named, record((filtered,)))
    ]

    assert titles == [
        ["Ning and Fan", "All readers", "Every reading"],
        ["Third reader", "All readers", "Every reading"],
    ]


def test_fleiss_kappa_s_error_and_p_under_chance_go_into_the_csv_file(tmp_path):
    readers = Agreement(readers=({}, {}, {}))
    found = tuple(
        one.model_copy(update={"null_error": 0.05, "p": 1e-9} if len(one.readings) > 2 else {})
        for one in agreements(readers)
    )

    files = {path.stem: path for path in write_tables(a_study(record(agreements=found)), tmp_path)}

    with files["agreement"].open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "hypodensity" and row["p"]]
    assert [(row["readings"], row["null_error"], row["p"]) for row in rows] == [
        ("first + inter + reader3-session1", "0.05", "1e-09")
    ]


def test_suggestions_are_labelled_so_that_nobody_takes_them_for_a_reader():
    results = a_study(record(agreements=agreements()))
    page, view = (
        Page(render_chapter(results, "reproducibility")).text,
        build_reproducibility(subject_of(results)),
    )

    readers, suggestions = view.agreement.groups
    assert suggestions.title == "Computed suggestion against"
    assert "suggest" not in f"{readers.title} {readers.columns}"
    assert "Computed suggestion against" in page
    assert "never stands in their place" in page


def test_withheld_agreement_is_a_word_with_its_reason():
    hidden = Estimate(value=None, standing=FEW)
    view = build_reproducibility(
        subject_of(a_study(record(agreements=agreements(agreement=hidden, used=None))))
    )

    assert set(lines(view.agreement)["Hypodensity"]) == {"withheld [a]"}
    assert view.agreement.footnotes == (("a", "Withheld: fewer than 10 patients."),)


def test_agreement_without_interval_says_why_beside_the_form_of_a_correlation():
    """1.000 (1.000-1.000) stood there as if it were certain."""
    why = "no interval: no disagreement was seen"
    perfect = Estimate(1.0, method="Cohen's kappa, unweighted", standing=Status("ok", why))
    view = build_reproducibility(subject_of(a_study(record(agreements=agreements(agreement=perfect)))))
    notes = dict(view.agreement.footnotes)

    (entry,) = set(lines(view.agreement)["Hypodensity"])
    assert entry[:-2] == "1.000; n = 43 ["
    assert notes[entry[-2]] == "No interval: no disagreement was seen."
    (volume,) = {text for text in lines(view.agreement)["ICH volume"] if "[" in text}
    marks = volume[volume.index("[") + 1 : -1].split(",")
    assert [notes[mark] for mark in marks] == ["No interval: no disagreement was seen.", "ICC(2,1)."]


def test_features_are_counted_reading_by_reading_and_drawn():
    found = record((a_filter(reading("intra", 0.95), reading("inter", 0.79), retained=()),))

    view = build_reproducibility(subject_of(a_study(found)))

    assert lines(view.filters) == {"Federated": ["31", "849 of 851", "31", "0 of 851", "0 of 851"]}
    assert "Same reader, second session: 849 of 850; Second reader: 0 of 850" in view.figure.alt
    assert "ICC(2,1) above 0.80" in view.filters.caption


def test_the_lower_bound_is_counted_where_the_plan_judges_it():
    found = record((a_filter(reading("inter", 0.85), judged="low", retained=()),))

    view = build_reproducibility(subject_of(a_study(found)))

    assert lines(view.filters)["Federated"] == ["31", "0 of 851", "0 of 851"]
    assert "Lower 95% bound of ICC(2,1)" in view.figure.alt


def test_of_centres_judged_apart_the_least_counts():
    one = a_filter(
        reading("inter", 0.95, ("Chongqing",), 24),
        reading("inter", 0.7, ("Nanjing",), 21),
        left_out=("X: few",),
    )

    view = build_reproducibility(subject_of(a_study(record((one,), same_readers=False))))

    assert dict(find_lowest(one, "inter"))[FEATURES[5]] == 0.7
    assert FEATURES[1] not in dict(find_lowest(one, "inter"))
    assert lines(view.filters)["Federated"] == ["24 + 21", "0 of 851", "849 of 851 [a]"]
    assert view.filters.footnotes == (("a", "Not judged at X: few."),)
    assert "readers of its own" in view.readers


def test_every_arm_is_a_line_and_the_figure_says_which_it_is():
    arms = (
        a_filter(arm="federated-without-Nanjing", standing=FEW, retained=()),
        a_filter(reading("inter", 0.9), arm="federated-without-Wuhan"),
    )
    results = a_study(record(arms))

    view = build_reproducibility(subject_of(results))

    assert lines(view.filters) == {
        "Federated without Nanjing": ["\N{EN DASH}", "\N{EN DASH}", "withheld [a]"],
        "Federated without Wuhan": ["31", "849 of 851", "849 of 851"],
    }
    assert view.figure_arm == "Federated without Wuhan"
    assert "Federated without Wuhan. Each dot" in Page(render_chapter(results, "reproducibility")).text


def test_every_feature_is_a_row_and_an_arm_without_any_says_why(tmp_path):
    arms = (
        a_filter(reading("intra", 0.95), reading("inter", 0.9)),
        a_filter(arm="federated-without-Wuhan", standing=FEW, retained=()),
    )
    files = {path.stem: path for path in write_tables(a_study(record(arms)), tmp_path)}

    assert "agreement" not in files
    with files["feature_agreement"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 851 + 1
    assert rows[0] | {"high": ""} == {
        "arm": "federated",
        "reading": "intra",
        "sites": "Chongqing + Nanjing",
        "used": "31",
        "form": "ICC(2,1)",
        "feature": FEATURES[0],
        "icc": "-0.2",
        "low": str(-0.2 - 0.1),
        "high": "",
        "retained": "0",
        "status": "ok",
    }
    assert rows[1]["icc"] == ""
    assert rows[2]["retained"] == "1"
    assert (rows[-1]["arm"], rows[-1]["status"]) == ("federated-without-Wuhan", f"suppressed: {FEW.reason}")


def test_all_features_have_a_class():
    counts = [sum(class_of(name) == place for name in FEATURES) for place in range(len(CLASSES))]

    assert counts == [14, 18, 75, 744]


@pytest.mark.parametrize("threshold", [0.8, 0.75])
def test_each_feature_is_one_dot_at_its_value(threshold):
    values = {
        "original_shape_Elongation": 0.25,
        "original_glcm_Contrast": 0.5,
        "wavelet-LLL_glcm_Contrast": 1.0,
    }
    picture = draw_icc_strips([IccPanel("Readers", tuple(values.items()))], threshold, "ICC(2,1)", "alt")

    svg = ET.fromstring(decode_picture(picture.source))  # noqa: S314 - our own picture
    dots = [
        (float(one.get("x")), float(one.get("y")))
        for one in list_styled(svg, "fill: #0072b2")
        if one.tag == "{http://www.w3.org/2000/svg}use"
    ]
    (left, low), (middle, mid), (right, high) = sorted(dots)
    assert (middle - left) / (right - left) == pytest.approx((0.5 - 0.25) / (1 - 0.25), abs=1e-3)
    # Classes from top to bottom; a dot lies within its strip
    assert low < mid < high
