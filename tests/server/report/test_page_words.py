"""One word for one set of patients, who stands in a table, whence the reference, whose interval."""

import pytest
from studies.results import Make, make_study

from common.stats.estimate import Estimate
from server.report.auc_words import describe_other_interval, name_other_interval
from server.report.characteristics import build_table_one
from server.report.headline import build_summary
from server.report.performance import build_performance
from server.report.printed import Footnotes, enter_auc
from server.report.reference_words import describe_reference
from server.report.subject import subject_of
from server.results.cohort import PartOfCohort
from server.results.file import ValidationResult

MAKE = Make(models=("net",), logistic=("Clinical",), external=("Wuhan",), pooled=False, rounds=1, full=True)


def study():
    return make_study(MAKE)


def study_without_validation():
    return study().model_copy(
        update={
            "parts": tuple(
                PartOfCohort(site=part.site, part=part.part, positive=0, negative=0)
                if part.part == "validation"
                else part
                for part in study().parts
            )
        }
    )


def reference_of(results, **changes):
    summary = results.study.model_copy(update=changes)
    return describe_reference(subject_of(results.model_copy(update={"study": summary})))


def titles(results):
    return [group.title for group in build_table_one(subject_of(results)).groups]


def test_training_patients_of_table_1_are_not_those_of_table_3_where_some_validate():
    """84 were called training in Tables 1 and 2, and 68 in Table 3."""
    subject = subject_of(study())
    table = build_performance(subject).table
    training = {line.parent: line for line in table.lines if line.label == "Training"}
    notes = dict(table.footnotes)

    assert titles(study())[0].startswith("Training and validation set (n = ")
    assert training["net"].entries[0].mark == ""
    assert notes[training["Clinical"].entries[0].mark] == (
        "Fitted on training and validation patients; judged here on the training patients alone."
    )
    assert subject.centres.untested == "training and validation"


def test_without_validation_patients_training_is_one_set():
    results = study_without_validation()
    subject = subject_of(results)

    assert titles(results)[0].startswith("Training set (n = ")
    assert "Fitted on" not in str(build_performance(subject).table.footnotes)
    assert subject.centres.untested == "training"


def test_the_table_says_who_stands_in_it():
    inner = make_study(Make(training=("Solo",), models=("net",), pooled=False, rounds=1))
    crossed = make_study(Make(models=("net",), pooled=False, rounds=1))

    assert build_performance(subject_of(study())).patients == (
        "Training patients, internal tests and external centres"
    )
    assert build_performance(subject_of(inner)).patients == "Training patients and internal tests"
    assert build_performance(subject_of(crossed)).patients.endswith("internal tests and external centres")


def test_means_or_medians_say_on_whom_they_were_chosen():
    rows = tuple(row.model_copy(update={"chosen_on": "all patients together"}) for row in study().cohort)

    notes = [
        text for _, text in build_table_one(subject_of(study().model_copy(update={"cohort": rows}))).footnotes
    ]

    assert sum("chosen on all patients together" in text for text in notes) == 1
    assert not any("chosen on" in text for _, text in build_table_one(subject_of(study())).footnotes)


@pytest.mark.parametrize(
    ("origin", "equals", "words"),
    [
        ("plan", (), "net is the reference: the plan names it."),
        ("first model", (), "no network was validated, and it is the plan's first model"),
        ("validation AUC", (), "its validation AUC is the highest of the networks. No test cohort"),
        (
            "validation AUC",
            ("other", "third"),
            "as high as that of other and third, of which it is the first",
        ),
        (None, (), "named in the plan or chosen by validation AUC"),
    ],
)
def test_where_the_reference_comes_from_is_said(origin, equals, words):
    assert words in reference_of(study(), reference_origin=origin, reference_equals=equals)
    assert reference_of(study(), reference_origin=origin, reference_model=None) == ""


def test_the_validation_aucs_that_chose_the_reference_stand_beside_it():
    """The page said that the reference's validation AUC is the highest, not by how much nor of whom."""
    validated = (
        ValidationResult(model="net", arm="federated", auc=0.8123, positive=6, negative=10),
        ValidationResult(model="other", arm="federated", auc=None, positive=None, negative=None),
    )

    words = reference_of(study(), reference_origin="validation AUC", validated=validated)

    assert "highest of the networks. Validation AUCs, of scores in bins (rHE / non-rHE): net 0.812" in words
    assert "net 0.812 (6 / 10), other withheld (withheld). No test cohort took part" in words
    summary = build_summary(
        subject_of(
            study().model_copy(
                update={
                    "study": study().study.model_copy(
                        update={"reference_origin": "validation AUC", "validated": validated}
                    )
                }
            )
        )
    )
    assert summary.origin == words


def test_the_only_network_is_not_called_the_highest_of_several():
    validated = (ValidationResult(model="net", arm="federated", auc=0.8123, positive=5, negative=10),)

    words = reference_of(study(), reference_origin="validation AUC", validated=validated)

    assert words.startswith("net is the reference: it is the only network that was validated. Validation AUC")
    assert words.endswith("net 0.812 (5 / 10).")
    assert "highest" not in words


@pytest.mark.parametrize("resolution", [0.01, None])
def test_values_that_were_rounded_before_they_were_ranked_say_so(resolution):
    """P of volumes was .377 on a grid of 0.01 ml and .388 of the volumes themselves."""
    rows = tuple(
        row.model_copy(update={"resolution": resolution}) if row.unit else row for row in study().cohort
    )

    table = build_table_one(subject_of(study().model_copy(update={"cohort": rows})))

    notes = dict(table.footnotes)
    marks = {
        line.label: [notes[mark] for mark in line.entries[2].mark.split(",") if mark]
        for line in table.lines
        if line.entries
    }
    rounded = "Values were rounded to 0.01 mL before they were ranked: medians, quartiles and P are of these."
    assert (rounded in marks["Baseline ICH volume (mL)"]) is (resolution is not None)
    # A mean and its t-test are of the values as they are
    assert not any("rounded" in text for text in marks["Age (year)"])


@pytest.mark.parametrize(
    ("estimate", "usual", "method"),
    [
        (Estimate(1.0, 0.8, 1.0, "mc_binomial"), "logit-delong", "exact binomial"),
        (Estimate(1.0, 0.8, 1.0, "mc_binomial"), "mc_binomial", ""),
        (Estimate(0.8, 0.7, 0.9, "logit-delong"), "logit-delong", ""),
        (Estimate(0.8, 0.7, 0.9, "wilson"), "logit-delong", ""),
    ],
)
def test_an_interval_of_another_method_than_the_page_s_is_named(estimate, usual, method):
    notes = Footnotes()

    assert name_other_interval(estimate, usual) == method
    assert bool(enter_auc(estimate, usual, notes).mark) is bool(method)
    if method:
        assert "An AUC of 0 or 1 has no variance by DeLong." in describe_other_interval(estimate, usual)
