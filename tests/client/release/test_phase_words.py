from client.release.phase_words import PHASE_WORDS, explain_phases
from common.messages.catalogue import Operation


def test_every_kind_of_question_has_words():
    assert set(PHASE_WORDS) == set(Operation)
    assert len(set(PHASE_WORDS.values())) == len(Operation)


def test_the_kinds_that_occur_are_explained_once():
    assert list(explain_phases(["newton", "guard regression", "guard cohort", "training"])) == [
        "guard: how many patients stand behind what is asked next",
        "newton: one step of fitting regressions",
    ]
