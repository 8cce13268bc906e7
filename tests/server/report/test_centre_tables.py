"""The chapter about differences between centres: two, more, and whoever is left out."""

from functools import cache

import pytest
from studies import analyses
from studies.page import Page, render_chapter
from studies.results import Make, make_study

from common.stats.estimate import Status
from server.report.centre_tables import build_centres
from server.report.subject import subject_of


@cache
def study(**changes):
    """A study of which the page has little else to draw."""
    make = Make(models=("net",), pooled=False, rounds=1, **changes)
    records = tuple(analyses.heterogeneity(("net",), "federated", make.sites, suppressed=False))
    return make_study(make).model_copy(update={"heterogeneity": records, "evaluation": ()})


def of_two():
    return study()


def of_four():
    return study(training=("Chongqing", "Wuhan"), external=("Linz", "Yongchuan"))


def chapter(results):
    return (
        Page(render_chapter(results, "centres"))
        .text.replace("\N{EN DASH}", "-")
        .replace("\N{MINUS SIGN}", "-")
    )


def built(results):
    return build_centres(subject_of(results))


def test_two_centres_have_both_aucs_their_difference_interval_and_p():
    """The demonstration printed 19 rows of "not defined", and left 1.000 against .506 out."""
    text = chapter(of_two())

    line = "net 0.506 (0.310-0.700) 6 / 12 1.000 (0.840-1.000) a 6 / 12 -0.494 (-0.687 to -0.273) b < .001"
    assert line in text
    assert (
        "a Interval: exact binomial (AUC x n successes of n patients; not a valid interval of an AUC)" in text
    )
    assert "b An AUC of 0 or 1 has no variance by DeLong." in text
    assert "P is of one test" in text
    assert "not defined" not in text


def test_four_centres_have_a_mean_a_prediction_and_the_centre_left_out_by_name():
    text = chapter(of_four())

    assert "net 3 left out: 1 0.741 (0.620-0.830) 0.550-0.880 4.22 .239 29% 0.041" in text
    assert "Each centre's AUC" in text
    assert text.count("rHE / non-rHE") == 4
    assert "1.000 (0.840-1.000) a 6 / 12" in text
    assert "at a training centre its test patients, for every arm; at an external centre all" in text
    assert "Yongchuan, not defined: an AUC of 1 has no logit, on which the mean is taken: net." in text


def test_what_bins_leave_open_stands_beside_each_centre_s_auc_the_difference_and_the_mean():
    for results, words in (
        (of_two(), "the difference lies within 0.004 of the printed one."),
        (of_four(), "at each centre, that of the scores themselves lies within 0.0031."),
    ):
        (record,) = results.heterogeneity
        first = record.centres[0].model_copy(update={"auc_error_bound": 0.0031, "interval_bound": 0.02})
        two = {"difference_bound": 0.004} if record.difference else {}
        binned = record.model_copy(update={"centres": (first, *record.centres[1:]), **two})
        text = chapter(results.model_copy(update={"heterogeneity": (binned,)}))

        assert words in text
        assert "lies within 0.0031 of the printed one, each limit within 0.02." in text
        assert "Some scores share bins" not in chapter(results)


def test_a_centre_whose_numbers_are_hidden_has_none_in_the_table():
    (record,) = of_two().heterogeneity
    hidden = record.centres[0].model_copy(update={"positive": None, "negative": None})
    found = built(
        of_two().model_copy(
            update={"heterogeneity": (record.model_copy(update={"centres": (hidden, *record.centres[1:])}),)}
        )
    )

    assert [entry.text for entry in found.pairs.lines[0].entries[1:4:2]] == ["withheld", "6 / 12"]


def test_models_that_one_centre_judges_are_no_rows_and_are_named_together():
    results = of_two()
    (record,) = results.heterogeneity
    stays = Status("undefined", "the model stays at Nanjing")
    alone = record.model_copy(
        update={
            "arm": "local-Nanjing",
            "difference": None,
            "p_value": None,
            "centres": (record.centres[0].model_copy(update={"standing": stays}), record.centres[1]),
        }
    )
    alone = alone.model_copy(
        update={"centres": (alone.centres[0].model_copy(update={"auc": alone.auc}), alone.centres[1])}
    )
    of_all = results.model_copy(update={"heterogeneity": (record, alone)})

    found = built(of_all)

    assert len(found.pairs.lines) == 1
    assert found.means is None
    site = record.centres[0].site
    assert found.left_out == (f"{site}, not defined: the model stays at Nanjing: net, Nanjing alone.",)


def test_pairs_of_different_centres_say_whose_they_are():
    results = of_four()
    (record,) = results.heterogeneity
    centres = record.centres
    small = Status("suppressed", "fewer than 20 patients")

    def pair(arm, *out):
        return record.model_copy(
            update={
                "arm": arm,
                "q": None,
                "difference": record.auc,
                "centres": tuple(
                    centre.model_copy(update={"standing": small if place in out else Status("ok")})
                    for place, centre in enumerate(centres)
                ),
            }
        )

    pairs = (pair("federated", 0, 1), pair("local-Wuhan", 2, 3))
    found = built(results.model_copy(update={"heterogeneity": pairs}))

    names = [[entry.below for entry in line.entries[:4:2]] for line in found.pairs.lines]
    sites = [centre.site for centre in centres]
    assert names == [sites[2:], sites[:2]]
    assert "not adjusted for the 2 models" in found.pairs.caption


@pytest.mark.parametrize("sites", [2, 3])
def test_a_record_of_an_earlier_version_is_shown_as_far_as_it_goes(sites):
    results = of_two()
    (record,) = results.heterogeneity
    old = record.model_copy(update={"centres": (), "difference": None, "sites": sites, "p_value": 0.239})

    found = built(results.model_copy(update={"heterogeneity": (old,)}))

    assert (found.pairs, found.values, found.left_out) == (None, None, ())
    assert found.means.lines[0].entries[4].text == ".239"
    assert "Of two centres: P of their difference." in [text for _, text in found.means.footnotes]


def test_a_study_of_one_centre_has_no_such_chapter():
    assert built(of_two().model_copy(update={"heterogeneity": ()})) is None
