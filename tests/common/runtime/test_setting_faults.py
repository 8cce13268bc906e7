"""Each fault of a settings file is told with what was probably meant, and where a key belongs."""

from __future__ import annotations

import pytest

from common.errors import PlanError
from common.plain_text import find_similar
from common.runtime.settings_file import Section, load_settings


class Wheel(Section):
    """One wheel."""

    spokes: int = 36
    """How many spokes it has, e.g. 36. More are stronger."""
    colour: str = "black"
    """Its colour."""


class Bicycle(Section):
    """A bicycle."""

    name: str
    """What it is called."""
    gears: int = 8
    """How many gears it has."""
    wheels: tuple[Wheel, ...] = ()
    """Its wheels."""
    frame: Wheel = Wheel()
    """What holds it together."""


def find_faults(folder, text):
    path = folder / "b.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        load_settings(path, Bicycle, PlanError)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 1", "1: name: must be text -> write it in quotes (found 1; name is: What it is called)"),
        (
            'name = "x"\ngears = "8 or so"',
            "2: gears: must be a whole number -> write it without quotes (found",
        ),
        ('name = "x"\ngeers = 8', '2: geers: unknown key -> did you mean "gears"? (found 8)'),
        (
            'name = "x"\n[frame]\ngears = 8',
            "3: frame.gears: unknown key -> it belongs at the top of the file, above the first [table]",
        ),
        (
            'name = "x"\nspokes = 8',
            "2: spokes: unknown key -> it belongs below [[wheels]] or below [frame] (found 8)",
        ),
        (
            'name = "x"\n[[wheels]]\nname = "front"\nspokes = 1.5',
            "-> round it (of 'front'; found 1.5; spokes is: How many spokes it has, e.g. 36)",
        ),
        (
            'name = "x"\nlamp = 1',
            "remove it or correct its spelling; here are known: name, gears, wheels, frame",
        ),
        ('name = "x"\nframe = 1', "2: frame: must be a table -> write it in brackets as a heading"),
        (
            'name = "x"\nwheels = 1',
            "2: wheels: must be a list -> write it in brackets, as wheels = [1] (found 1",
        ),
    ],
)
def test_a_fault_says_what_was_meant(tmp_path, text, said):
    assert any(said in fault for fault in find_faults(tmp_path, text))


def test_faults_stand_in_the_order_of_the_file(tmp_path):
    faults = find_faults(tmp_path, 'geers = 1\nname = "x"\ngears = "y"\n[frame]\nspoks = 1\n')
    assert [fault.split(":")[0] for fault in faults] == ["1", "3", "5"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [("Ruonds", "rounds"), ("seeed", "seed"), ("xyz", None), ("", None), ("ROUNDS", "rounds")],
)
def test_only_what_is_near_is_suggested(word, meant):
    assert find_similar(word, ["rounds", "local_epochs", "seed"]) == meant
