"""The note that counts the tests of a study."""

import pytest
from studies.results import Make, make_study

from common.stats.estimate import Estimate, PEstimate, PValue, absent, undefined
from server.results.multiplicity import _list_p_values, note_multiplicity
from server.results.records import Record


@pytest.fixture(scope="module")
def full():
    return make_study(
        Make(models=("net", "other"), logistic=("Clinical",), pooled=False, rounds=1, full=True)
    )


def p_values_of(value):
    """Every p-value of a JSON document, at any depth, that a table prints."""
    if isinstance(value, list):
        return sum(p_values_of(part) for part in value)
    if not isinstance(value, dict):
        return 0
    names = ("p_value", "p_interaction")
    own = sum(value.get(name) is not None for name in names)
    return own + sum(p_values_of(part) for part in value.values())


def test_every_p_value_of_the_file_is_counted(full):
    (note,) = note_multiplicity(full)
    document = full.model_dump(mode="json")

    number = p_values_of(document)
    assert p_values_of(document["fitted"]) > 0
    assert number > 50
    assert note.startswith(f"{number} P-values stand in the tables.")
    assert f"at most about {round(number / 20)} of them" in note
    assert "tests on counts come below it less often; a test that is printed twice counts twice" in note


@pytest.mark.parametrize("adjusted", [True, False])
def test_holm_is_named_where_it_was_asked(full, adjusted):
    comparisons = tuple(
        table.model_copy(
            update={
                "pairs": tuple(
                    pair if adjusted else pair.model_copy(update={"p_adjusted": None}) for pair in table.pairs
                )
            }
        )
        for table in full.comparisons
    )

    (note,) = note_multiplicity(full.model_copy(update={"comparisons": comparisons}))

    assert ("Holm's correction over the models of a cohort; otherwise P is not" in note) is adjusted


def test_a_study_without_tests_has_no_note(full):
    nothing = {"cohort": (), "regression": None, "comparisons": (), "subgroups": (), "heterogeneity": ()}
    fitted = {**nothing, "fitted": full.fitted}

    assert list(note_multiplicity(full.model_copy(update={**nothing, "fitted": ()}))) == []
    (note,) = note_multiplicity(full.model_copy(update=fitted))
    assert "fewer than one of them would be below .05" in note


def test_what_a_record_marks_as_a_test_is_counted_wherever_it_stands():
    class Inner(Record):
        p: PEstimate
        other: float

    class Outer(Record):
        inner: tuple[Inner, ...]
        p: PValue | None = None

    known, unknown = Estimate.of(0.04, None, "exact"), absent(undefined("no patients"), "exact")
    inner = (Inner(p=known, other=0.5), Inner(p=unknown, other=0.6))

    assert list(_list_p_values(Outer(inner=inner, p=0.2))) == [0.04, 0.2]
    assert list(_list_p_values(Outer(inner=inner[1:]))) == []
