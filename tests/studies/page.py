"""A report page taken apart."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from html.parser import HTMLParser
from unittest.mock import patch
from urllib.parse import unquote

import pytest
from studies.results import Make, make_study

from server.report import drawing, page
from server.results.file import Results

VOID = {"meta", "img", "br", "line", "rect", "circle"}


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

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [found for _, found in self.elements if name in found.get("class", "").split()]


@cache
def render_study(make: Make) -> str:
    """The page of such a study; a test that changes the results renders its own."""
    return page.render_page(make_study(make))


def render_chapters(results: Results, *names: str) -> str:
    """The page of these chapters alone: the figures of the others take longer than all words."""
    chosen = tuple(chapter for chapter in page.CHAPTERS if chapter.name in names)
    assert len(chosen) == len(names)
    with patch.object(page, "CHAPTERS", chosen):
        return page.render_page(results)


def render_chapter(results: Results, name: str) -> str:
    """One chapter, from its section's first tag to its last."""
    return cut_chapter(render_chapters(results, name), name)


def decode_picture(source: str) -> str:
    """The SVG code of a picture's data URI, with the quotes that it had before it was embedded."""
    letters = source.partition(",")[2]
    tags = re.sub(r"<[^>]*>", lambda tag: tag.group().replace("'", '"').replace("%22", "'"), letters)
    return unquote(tags)


def cut_chapter(html: str, name: str) -> str:
    """A chapter of a page, from its section's first tag to its last."""
    (found,) = re.findall(rf'<section id="{name}">.*?</section>', html, re.DOTALL)
    return found


@cache
def render_study_chapter(make: Make, name: str) -> str:
    """A chapter of the page of such a study."""
    return render_chapter(make_study(make), name)


def render_words(results: Results) -> str:
    """The whole page with empty pictures, of a study whose pictures another test draws."""
    with leave_pictures_empty():
        return page.render_page(results)


@contextmanager
def leave_pictures_empty() -> Iterator[None]:
    """Write pages in full but for the lines of their pictures, which take longer than all else."""

    def leave_empty(_draw: object, _frame: object, alt: str) -> drawing.Picture:
        return drawing.Picture("data:image/svg+xml,", alt)

    draw = drawing.draw_picture
    with pytest.MonkeyPatch.context() as patches:
        for module in [one for one in sys.modules.values() if getattr(one, "draw_picture", None) is draw]:
            patches.setattr(module, "draw_picture", leave_empty)
        yield
