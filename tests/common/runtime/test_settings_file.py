import os
import time
from pathlib import Path

import pytest

from common.errors import PlanError
from common.plan.study import load_plan
from common.runtime.settings_file import parse_toml

PLAN = """\
name = "A study"
seed = 1
two_site_ack = true

[[sites]]
name = "a"
role = "train"

[[sites]]
name = "b"
role = "external"

[[models]]
name = "m"
family = "resnet18"

[models.training]
learning_rate = 0.01
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, old: str, new: str) -> str:
    if old not in PLAN:
        raise ValueError(old)
    with pytest.raises(PlanError) as caught:
        load_plan(write(folder, PLAN.replace(old, new, 1)))
    return str(caught.value)


def test_a_valid_plan_is_read(tmp_path):
    plan = load_plan(write(tmp_path, PLAN))

    assert plan.site_names == ("a", "b")
    assert plan.models[0].settings.learning_rate == 0.01


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("seed = 1", "sede = 1", 2, "sede: unknown key"),
        ('role = "external"', 'role = "extern"', 11, "sites.1.role"),
        ("learning_rate = 0.01", "learning_rate = 0", 17, "learning_rate must be positive"),
        ('family = "resnet18"', 'family = "vgg"', 15, "models.0.family"),
        ('name = "b"', 'name = "a"', 1, "two sites have the same name"),
        ("two_site_ack = true", "", 1, "two_site_ack"),
        ('role = "train"', 'role = "external"', 1, "no site has role"),
        ('name = "m"', 'name = "../m"', 14, "models.0.name"),
    ],
)
def test_a_violation_names_file_line_and_key(tmp_path, old, new, line, said):
    message = refusal(tmp_path, old, new)

    assert any(f"study.toml:{line}: " in told and said in told for told in message.splitlines())
    assert "Tuple should have" not in message


def test_all_violations_are_told_at_once(tmp_path):
    broken = PLAN.replace("seed = 1", "seed = -1").replace('role = "train"', 'role = "x"')

    with pytest.raises(PlanError) as caught:
        load_plan(write(tmp_path, broken))

    assert len(str(caught.value).splitlines()) == 2


def test_text_that_is_no_toml_is_refused(tmp_path):
    assert "not valid TOML" in refusal(tmp_path, "seed = 1", "seed = ")
    assert "not valid TOML: nested too deeply" in refusal(tmp_path, "seed = 1", "seed = " + "[" * 100_000)
    assert "not valid TOML" in refusal(tmp_path, "seed = 1", r'seed = "\ud800"')


def test_the_line_that_is_no_toml_is_shown_with_what_to_write(tmp_path):
    said = refusal(tmp_path, 'name = "a"', "name = a")
    assert "study.toml:6: not valid TOML: 'name = a': " in said
    assert said.endswith(" -> text stands in quotes, true and false do not")
    behind = "-> nothing stands behind a value: one setting a line, decimals with a point"
    assert refusal(tmp_path, "seed = 1", "seed = 1,").endswith(behind)
    assert refusal(tmp_path, "seed = 1", "seed = 0,5").endswith(behind)
    curly = refusal(tmp_path, 'name = "a"', "name = \u201ca\u201d")
    assert "-> write straight quotes" in curly
    assert refusal(tmp_path, "seed = 1", "seed = 1\n[[models]]\n[models]").endswith(
        "-> [[models]] begins another one"
    )
    assert refusal(tmp_path, "seed = 1", "seed = 1\nseed = 2").endswith(
        " -> write each key and each table once"
    )


def test_a_byte_order_mark_is_no_part_of_a_plan(tmp_path):
    plan = load_plan(write(tmp_path, "\ufeff" + PLAN))
    assert plan.seed == 1
    assert parse_toml("\ufeff" + PLAN) == parse_toml(PLAN)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("two_site_ack = true", 'two_site_ack = true\nphases = "cohort"', 'as phases = ["cohort"] (found'),
        ('name = "m"', 'name = "a/model"', "models.0.name: is no name -> a letter or digit first"),
    ],
)
def test_violations_are_told_in_words(tmp_path, old, new, said):
    assert said in refusal(tmp_path, old, new)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PlanError, match="no such file"):
        load_plan(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "study.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(PlanError, match="is not UTF-8 text -> "):
        load_plan(path)

    with pytest.raises(PlanError, match=r"cannot be read \(Is a directory\) -> "):
        load_plan(tmp_path)


# Bounds before anything is parsed


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 50_000) + " = 1",
        "[" + " . ".join(['"a.b"'] * 50_000) + "]\n",
        "x = {" + "\t.\t".join(["'a'"] * 50_000) + " = 1}",
        "a = [" + "[" * 40_000,
        "x" * 1_000_001,
    ],
    ids=["dotted", "header", "inline", "nested", "long"],
)
def test_text_that_would_take_minutes_is_refused_at_once(tmp_path, text):
    start = time.perf_counter()
    with pytest.raises(PlanError) as refusal:
        load_plan(write(tmp_path, text))

    assert time.perf_counter() - start < 1
    assert str(refusal.value).count("\n") == 0
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "text", ["a" * 900_000, '"' * 900_000, "a." * 30 + "b = " + "1.5, " * 150_000, "a " * 450_000]
)
def test_looking_for_long_keys_takes_no_time(text):
    start = time.perf_counter()
    with pytest.raises(ValueError, match="at line|at end"):
        parse_toml(text)
    assert time.perf_counter() - start < 1


def test_ordinary_text_with_dots_is_no_long_key():
    text = "See e.g. a.b.c, v1.2.3 and so on. " * 40
    parsed = parse_toml(f'a.b.c = 1\nabout = "{text}"\nnumbers = [{"1.5, " * 100}]\n')
    assert parsed["a"] == {"b": {"c": 1}}
    assert len(parsed["numbers"]) == 100


def test_a_pipe_is_no_settings_file_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "study.toml")
    with pytest.raises(PlanError, match=r"cannot be read \(it is no file\)"):
        load_plan(tmp_path / "study.toml")
