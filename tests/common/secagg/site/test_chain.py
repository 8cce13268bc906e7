import multiprocessing
import stat

import pytest

from common.errors import StorageError
from common.secagg.codes import SecAggError
from common.secagg.site.chain import Chain, read_chain, verify_chain


@pytest.fixture
def path(tmp_path):
    return tmp_path / "chain"


def test_entries_come_back_in_order(path):
    for number in range(3):
        Chain(path).append({"n": number})

    assert read_chain(path) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert verify_chain(path) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_file_is_an_empty_chain(path):
    assert verify_chain(path) == 0


def test_every_entry_is_noticed_once_also_of_another_process(path):
    seen = []
    chain = Chain(path, seen.append)
    chain.append({"n": 0})
    Chain(path).append({"n": 1})
    chain.append({"n": 2})
    chain.refresh()

    assert seen == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert chain.count == 3


def test_half_a_line_of_a_killed_process_is_left_out(path):
    chain = Chain(path)
    chain.append({"n": 0})
    with path.open("ab") as file:
        file.write(b'{"entry":{"n":1')

    assert verify_chain(path) == 1
    Chain(path).append({"n": 2})
    assert read_chain(path) == [{"n": 0}, {"n": 2}]


@pytest.mark.parametrize(
    "damaged", [b'{"n":7}\n', b"\n", b"no json\n", b'{"entry":7,"hash":"","previous":""}\n']
)
def test_line_that_is_none_is_found(path, damaged):
    chain = Chain(path)
    chain.append({"n": 0})
    with path.open("ab") as file:
        file.write(damaged)

    with pytest.raises(SecAggError, match="line 2 of"):
        verify_chain(path)


def test_lines_that_are_gone_are_noticed_by_who_saw_them(path):
    chain = Chain(path)
    chain.append({"n": 0})
    before = path.read_bytes()
    chain.append({"n": 1})
    path.write_bytes(before)

    with pytest.raises(SecAggError) as refused:
        chain.refresh()

    assert refused.value.code == "E_STATE_CORRUPT"


def test_folder_that_is_none(tmp_path):
    with pytest.raises(StorageError, match="cannot be opened"):
        Chain(tmp_path / "none" / "chain").append({})


def _append(path, worker):
    chain = Chain(path)
    for number in range(20):
        chain.append({"worker": worker, "n": number})


def test_several_processes_append_to_one_chain(path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert verify_chain(path) == 60
