"""The chapter of attention maps says which decision each picture explains."""

from __future__ import annotations

from studies.page import Page, render_words
from studies.results import Make, make_study


def test_a_caption_says_for_which_decision_the_map_speaks_and_an_older_one_does_not():
    study = make_study(Make(models=("net",), rounds=1))
    overlays = study.overlays
    called = [True, False, *[None] * (len(overlays) - 2)]
    told = tuple(
        overlay.model_copy(update={"positive": positive})
        for overlay, positive in zip(overlays, called, strict=True)
    )

    older = Page(render_words(study)).text
    text = Page(render_words(study.model_copy(update={"overlays": told}))).text
    newer = Page(render_words(study.model_copy(update={"overlays": told[:2]}))).text

    assert older.count("the map shows what spoke for") == 0
    assert text.count("the map shows what spoke for rHE") == 1
    assert text.count("the map shows what spoke for non-rHE") == 1
    assert "A picture without a colour bar is of an earlier version" in older
    assert "A picture without a colour bar" not in newer
