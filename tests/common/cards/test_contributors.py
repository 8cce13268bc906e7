import pytest

from common.cards.contributors import describe_absence, describe_trainers, is_partial


@pytest.mark.parametrize(
    ("rounds", "trained", "absence"),
    [
        ({"a": 8, "b": 8}, "trained by a and b", ""),
        ({"a": 8}, "trained by a", ""),
        (
            {"center1": 8, "center2": 8, "center3": 0},
            "trained by center1 and center2; center3 joined no round",
            "center3 joined no round",
        ),
        (
            {"a": 8, "b": 3, "c": 0, "d": 0},
            "trained by a and b; c and d joined no round; b joined 3 of the 8 rounds",
            "c and d joined no round; b joined 3 of the 8 rounds",
        ),
    ],
)
def test_who_trained_and_who_was_missing_in_words(rounds, trained, absence):
    assert describe_trainers(rounds, 8) == trained
    assert describe_absence(rounds, 8) == absence
    assert is_partial(rounds, 8) is bool(absence)


def test_of_whom_nothing_was_recorded_nothing_is_said():
    assert describe_trainers({}, 8) == ""
    assert not is_partial({}, 8)
