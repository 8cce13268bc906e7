"""The forty questions to the report name chapters and places that the page has."""

import re
from pathlib import Path

import pytest

import server.report
from server.report.page import CHAPTERS

ROOT = Path(server.report.__file__).parent
DOCUMENT = Path(__file__).parents[3] / "docs" / "questions-to-the-report.md"
ROWS = re.findall(
    r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
)
WORDS = " ".join(
    path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*")) if path.suffix in {".py", ".html"}
)
TITLES = {chapter.title.partition(":")[0] for chapter in CHAPTERS}


def test_there_are_forty_questions_in_order():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 41))
    assert all(question.endswith("?") for _, question, *_ in ROWS)


@pytest.mark.parametrize(("number", "where"), [(row[0], row[2]) for row in ROWS])
def test_each_is_answered_in_a_chapter_that_the_page_has(number, where):
    named = [
        chapter for chapter in re.findall(r"(?:^|; )([A-Z][^:;]*?)(?=[:;]|$)", where) if chapter in TITLES
    ]

    assert named[:1] == [where.partition(":")[0]], number
    for place in re.findall(r'"([^"]+)"', where):
        assert place in WORDS, f"question {number}: the page has no {place!r}"


def test_none_takes_longer_than_a_minute():
    """Links + unfolded lines + windows, and seconds."""
    for number, _, _, way in ROWS:
        found = re.fullmatch(r"(?:0|(\d)\+(\d)\+(\d)), (\d+) s", way)
        assert found, number
        assert int(found[4]) < 60
        assert sum(int(steps or 0) for steps in found.groups()[:3]) <= 3
