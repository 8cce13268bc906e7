"""The lists with hashes name what constraints.txt names, and nothing else."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from tests.house.pinned import CONSTRAINTS, CPU, CUDA, SOURCES, WHEELS, PinnedFile, read_pins, write_pins


def read_list(*paths):
    pins = {}
    for path in paths:
        for requirement, hashes in read_pins(path.read_text()).items():
            name, _, version = requirement.partition("==")
            key = f"{canonicalize_name(name)}=={version.partition('+')[0]}"
            assert key not in pins
            pins[key] = hashes
    return pins


def test_every_pinned_release_has_its_hashes_and_nothing_else_has():
    constraints = read_list(CONSTRAINTS)
    assert not any(constraints.values())
    locked = read_list(WHEELS, SOURCES, CPU)
    assert locked.keys() == constraints.keys()
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for hashes in locked.values() for digest in hashes)
    assert all(locked.values())


def test_the_build_for_cuda_is_of_the_same_release_and_brings_its_libraries():
    cuda, (torch,) = read_list(CUDA), read_list(CPU)
    assert torch in cuda
    assert all(cuda.values())
    assert not (cuda.keys() - {torch}) & read_list(WHEELS, SOURCES).keys()


def test_each_list_has_one_file_for_a_release():
    for path in (WHEELS, SOURCES, CPU, CUDA):
        assert {len(hashes) for hashes in read_list(path).values()} == {1}, path


def test_what_is_written_is_read():
    files = [PinnedFile("b==1", "b.whl", "1" * 64), PinnedFile("A==2+cpu", "a.whl", "2" * 64)]
    text = write_pins([*files, PinnedFile("b==1", "b.tar.gz", "3" * 64)], "A list.")
    assert text.splitlines()[0] == "# A list."
    assert read_pins(text) == {"A==2+cpu": {"2" * 64}, "b==1": {"1" * 64, "3" * 64}}
