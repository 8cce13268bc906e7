import hashlib
import json
import multiprocessing
import os
import stat

import pytest

from common.errors import StorageError
from common.runtime.chained_file import ChainedFile, DamagedChainError, list_chain


@pytest.fixture
def path(tmp_path):
    return tmp_path / "chain"


def entries(path):
    return [
        {name: line[name] for name in line if name not in {"number", "previous"}} for line in list_chain(path)
    ]


def test_entries_come_back_in_order(path):
    for number in range(3):
        ChainedFile(path).append({"n": number})

    assert entries(path) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert len(list_chain(path)) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_file_is_an_empty_chain(path):
    assert list_chain(path) == []


def test_every_entry_is_noticed_once_also_of_another_process(path):
    seen = []
    chain = ChainedFile(path, seen.append)
    chain.append({"n": 0})
    ChainedFile(path).append({"n": 1})
    chain.append({"n": 2})
    chain.refresh()

    assert [line["n"] for line in seen] == [0, 1, 2]
    assert chain.count == 3


def test_half_a_line_of_a_killed_process_is_left_out(path):
    chain = ChainedFile(path)
    chain.append({"n": 0})
    with path.open("ab") as file:
        file.write(b'{"entry":{"n":1')

    assert len(list_chain(path)) == 1
    ChainedFile(path).append({"n": 2})
    assert entries(path) == [{"n": 0}, {"n": 2}]


@pytest.mark.parametrize(
    "damaged", [b'{"n":7}\n', b"\n", b"no json\n", b'{"entry":7,"hash":"","previous":""}\n']
)
def test_line_that_is_none_is_found(path, damaged):
    chain = ChainedFile(path)
    chain.append({"n": 0})
    with path.open("ab") as file:
        file.write(damaged)

    with pytest.raises(DamagedChainError, match="line 2: .* backup"):
        list_chain(path)


def test_lines_that_are_gone_are_noticed_by_who_saw_them(path):
    chain = ChainedFile(path)
    chain.append({"n": 0})
    before = path.read_bytes()
    chain.append({"n": 1})
    path.write_bytes(before)

    with pytest.raises(DamagedChainError, match="has 1 lines, 2 were written"):
        chain.refresh()
    path.unlink()
    with pytest.raises(DamagedChainError, match="has 0 lines, 2 were written"):
        chain.refresh()
    with pytest.raises(DamagedChainError):
        chain.append({"n": 2})


def test_a_line_before_the_last_that_is_altered_is_noticed_before_the_next_is_written(path):
    chain = ChainedFile(path)
    for number in range(3):
        chain.append({"n": number})
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":7'))
    os.utime(path, ns=(0, 0))

    with pytest.raises(DamagedChainError, match="line 2: was altered"):
        chain.append({"n": 3})
    with pytest.raises(DamagedChainError, match="line 3: does not follow"):
        ChainedFile(path).append({"n": 3})
    assert len(path.read_bytes().splitlines()) == 3


def test_a_chain_made_anew_is_another_than_was_read(path):
    chain = ChainedFile(path)
    for number in range(3):
        chain.append({"n": number})
    path.unlink()
    other = ChainedFile(path)
    for number in range(4):
        other.append({"n": -number})

    with pytest.raises(DamagedChainError, match="line 2: was altered"):
        chain.append({"n": 3})


def test_untouched_lines_are_not_read_again(path, monkeypatch):
    chain = ChainedFile(path)
    for number in range(3):
        chain.append({"n": number})
    parsed = []
    monkeypatch.setattr(chain, "_check", lambda *arguments: parsed.append(arguments))
    chain.append({"n": 3})
    chain.refresh()

    assert parsed == []
    assert chain.count == 4


def test_sha256sum_tells_what_the_next_line_says(path):
    for number in range(2):
        ChainedFile(path).append({"n": number})
    first, second = path.read_bytes().splitlines()

    assert json.loads(second)["previous"] == hashlib.sha256(first).hexdigest()


def test_folder_that_is_none(tmp_path):
    with pytest.raises(StorageError, match="cannot be opened"):
        ChainedFile(tmp_path / "none" / "chain").append({})


def _append(path, worker):
    chain = ChainedFile(path)
    for number in range(20):
        chain.append({"worker": worker, "n": number})


def test_several_processes_append_to_one_chain(path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(list_chain(path)) == 60
