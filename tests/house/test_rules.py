"""Each rule of the house goes red on a small tree that breaks it, and the project keeps them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.rules import MIRRORED_NAMES, breaches

ROOT = Path(__file__).parents[2]


def make(root: Path, **files: str) -> Path:
    """A tree of modules; two underscores in a name stand for a slash."""
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def rules(root: Path) -> list[str]:
    return [breach.rule for breach in breaches(root)]


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        ("class Cohort: ...", "class Cohort: ...", "one class or alias, one module"),
        ("class Cohort: ...", "Cohort: TypeAlias = str", "one class or alias, one module"),
        ("def compare(): ...", "def compare(): ...", "one function, one module"),
        ("LIMIT = 1", "LIMIT: int = 2", "one constant, one module"),
        ("class Cohort: ...", "if True:\n    class Cohort: ...", "one class or alias, one module"),
        ("def compare(): ...", "async def compare(): ...", "one function, one module"),
    ],
)
def test_a_name_is_declared_once(tmp_path, first, second, rule):
    assert rules(make(tmp_path, common__plan=first, server__results=second)) == [rule]


def test_what_people_type_and_private_names_may_recur(tmp_path):
    text = "def init(): ...\ndef _helper(): ...\nclass _Row: ..."
    assert rules(make(tmp_path, client__cli=text, server__commands=text)) == []


@pytest.mark.parametrize("name", ["told", "_opened", "merged_bins", "riding", "whole_sum"])
def test_a_function_begins_with_a_verb(tmp_path, name):
    assert rules(make(tmp_path, common__a=f"def {name}(): ...")) == ["a function begins with a verb"]


def test_an_async_function_begins_with_a_verb_too(tmp_path):
    assert rules(make(tmp_path, common__a="async def opened(): ...")) == ["a function begins with a verb"]


@pytest.mark.parametrize("name", ["embed", "read_table", "needs_scan", "feed", "hidden_sums_of"])
def test_verbs_that_end_like_participles_and_accessors_pass(tmp_path, name):
    assert rules(make(tmp_path, common__a=f"def {name}(): ...")) == []


def test_a_property_may_be_a_participle(tmp_path):
    assert rules(make(tmp_path, common__a="class A:\n    @property\n    def hidden(self): ...")) == []


def test_file_names_recur_a_few_times_only(tmp_path):
    for number in range(MIRRORED_NAMES + 1):
        make(tmp_path, **{f"client__answers__a{number}": "", f"server__phases__a{number}": ""})
    assert rules(tmp_path) == [f"at most {MIRRORED_NAMES} file names recur"]


def test_no_file_lies_beside_the_room_of_its_name(tmp_path):
    make(tmp_path, server__results="", server__results__file="")
    assert rules(tmp_path) == ["no file lies loose beside its room"]


def test_a_docstring_does_not_make_a_function_long(tmp_path):
    text = 'def walk():\n    """Walk.\n\n' + "    Far.\n" * 60 + '    """\n    return 1\n'
    assert rules(make(tmp_path, common__a=text)) == []


def test_files_and_functions_are_short(tmp_path):
    long = "def walk():\n" + "    x = 1\n" * 50
    assert rules(make(tmp_path, common__a=long, common__b="x = 1\n" * 451)) == [
        "a function has at most 50 lines",
        "a file has at most 450 lines",
    ]


IN_ANOTHER_SECTION = '''"""
    Attributes
    ----------
    Notes
    -----
    dose : float
        In mg.
    """
    dose: float'''


@pytest.mark.parametrize(
    ("body", "described"),
    [
        ('"""A dose."""\n    dose: float', False),
        ('"""A dose."""\n    dose: float\n    """In mg."""', True),
        (
            '"""\n    Attributes\n    ----------\n    dose : float\n        In mg.\n    """\n    dose: float',
            True,
        ),
        ('"""A dose."""\n    _dose: float', True),
        ('"""\n    Attributes\n    ----------\n    dose : float\n    """\n    dose: float', False),
        (IN_ANOTHER_SECTION, False),
    ],
)
def test_public_attributes_are_described(tmp_path, body, described):
    found = rules(make(tmp_path, common__a=f"class Dose:\n    {body}"))
    assert found == ([] if described else ["a public attribute is described"])


def test_the_project_keeps_them():
    assert breaches(ROOT) == []
