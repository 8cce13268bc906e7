from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from common.errors import MemoryShortageError, SiteError
from common.models.spec import NetworkSpec
from common.models.weights import flatten
from common.models.zoo import build
from common.runtime.machine import has_accelerator_driver, name_processor
from common.training.dataset import Samples
from common.training.device import (
    autocast,
    describe_device,
    measure_memory,
    move_if_fits,
    pick_device,
    place_network,
    reproducible,
    to_network_format,
)
from common.training.settings import TrainingSettings

CPU = torch.device("cpu")


@pytest.mark.parametrize(("present", "expected"), [(True, "cuda:0"), (False, "cpu")])
def test_auto_takes_what_is_there(present, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert pick_device("auto") == torch.device(expected)


def test_a_named_device_is_taken_if_it_exists(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cpu") == CPU
    assert pick_device("cuda") == torch.device("cuda", 0)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(SiteError, match=r'"cuda:2", but torch .* sees 2 GPU'):
        pick_device("cuda:2")


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "cuda:7"])
def test_a_gpu_that_is_not_there_is_refused(wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        SiteError, match=rf'device = "{wanted}", but torch .* sees 0 GPU\(s\) -> set device = "auto"'
    ):
        pick_device(wanted)


@pytest.mark.parametrize("wanted", ["gpu", "", "cuda:x", "meta", "mps"])
def test_other_names_are_refused(wanted):
    with pytest.raises(SiteError, match=r'-> use "auto", "cpu", "cuda" or "cuda:1"'):
        pick_device(wanted)


@pytest.mark.parametrize("is_driver_there", [True, False])
def test_a_site_without_a_gpu_computes_on_its_processor_whatever_driver_is_there(
    is_driver_there, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("common.training.device.has_accelerator_driver", lambda: is_driver_there)
    assert describe_device("auto") == describe_device("cpu") == f"cpu: {name_processor()}"
    with pytest.raises(SiteError, match='set device = "auto"'):
        describe_device("cuda:1")
    with pytest.raises(SiteError, match="is unknown"):
        describe_device("gpu")


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_a_site_with_a_gpu_states_its_name(wanted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Model {device.index}")
    monkeypatch.setattr("common.training.device.has_accelerator_driver", lambda: True)
    assert describe_device(wanted) == "cuda: Model 0"


def test_where_torch_finds_a_gpu_its_driver_is_found_without_torch():
    assert has_accelerator_driver() or not torch.cuda.is_available()


@pytest.mark.parametrize(("file", "is_there"), [("libcuda.so.1", True), ("/dev/kfd", True), ("none", False)])
def test_a_driver_is_nvidia_s_library_or_amd_s_device(file, is_there, monkeypatch):
    def load(name):
        if name != file:
            raise OSError(name)

    monkeypatch.setattr("common.runtime.machine.ctypes.CDLL", load)
    monkeypatch.setattr("common.runtime.machine.Path.exists", lambda path: str(path) == file)
    assert has_accelerator_driver() == is_there


def test_reproducible_gives_the_same_numbers_and_leaves_no_trace():
    torch.manual_seed(3)
    untouched = torch.random.get_rng_state()
    threads = torch.get_num_threads()
    with reproducible(CPU, threads + 1, seed=9):
        first = torch.rand(3)
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.allow_tf32
        with reproducible(CPU, 1, seed=0):
            torch.rand(5)
        following = torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), untouched)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.backends.cudnn.allow_tf32
    with reproducible(CPU, 1, seed=9):
        assert torch.equal(torch.rand(3), first)
        assert torch.equal(torch.rand(3), following)


def test_a_seed_is_torch_s_own_and_tells_nothing_to_accelerators_that_are_not_used(monkeypatch):
    """To keep it until one starts, torch would write down the stack of every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        expected = torch.rand(3)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("seeds every accelerator"))

    with reproducible(CPU, 1, seed=9):
        assert torch.equal(torch.rand(3), expected)
        build(NetworkSpec("resnet10-narrow"), seed=9)


def test_an_error_inside_leaves_no_trace_either():
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), reproducible(CPU, threads + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has ..."),
            "CUDA out of memory -> free the GPU, plan smaller batches",
        ),
        (MemoryError(), "the computer's memory is full -> close other programs"),
    ],
)
def test_full_memory_has_a_code_of_its_own(failure, message):
    with pytest.raises(MemoryShortageError, match=message) as caught, reproducible(CPU, 1):
        raise failure
    assert caught.value.code == "E_MEMORY"
    assert not torch.are_deterministic_algorithms_enabled()


def test_torch_says_in_its_own_words_that_the_computer_s_memory_is_full():
    with pytest.raises(MemoryShortageError, match="the computer's memory is full"), reproducible(CPU, 1):
        torch.empty(2**60)


def test_another_error_of_torch_stays_what_it_is():
    with pytest.raises(RuntimeError, match="size of tensor"), reproducible(CPU, 1):
        torch.zeros(2) + torch.zeros(3)


@pytest.mark.parametrize("before", [torch.channels_last, torch.contiguous_format])
def test_placing_forgets_the_memory_format_that_was_there(before):
    network = build(NetworkSpec("resnet10-narrow"))
    weights = flatten(network)
    network.to(memory_format=before)
    place_network(network, CPU)
    fresh = build(NetworkSpec("resnet10-narrow"))
    place_network(fresh, CPU)
    # A kernel of one channel or one pixel has several strides of the same meaning, but not of the same bits.
    strides = {name: parameter.stride() for name, parameter in network.named_parameters()}
    assert strides == {name: parameter.stride() for name, parameter in fresh.named_parameters()}
    assert strides["layer1.0.conv1.weight"] == (16 * 9, 1, 3 * 16, 16)
    assert strides["conv1.weight"] == (49, 1, 7, 1)
    assert flatten(network).tobytes() == weights.tobytes()


def test_images_follow_the_kernels():
    images = torch.rand(2, 3, 4, 5)
    assert to_network_format(images).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(to_network_format(images), images)
    assert to_network_format(torch.rand(2, 1, 4, 5)).stride() == (20, 1, 5, 1)
    ready = to_network_format(images)
    assert to_network_format(ready) is ready
    solid = torch.rand(2, 3, 4, 5, 6)
    assert to_network_format(solid.transpose(1, 2)).is_contiguous()


@pytest.mark.parametrize(
    ("precision", "device", "has_bf16", "expected"),
    [
        ("auto", "cpu", True, False),
        ("auto", "cuda", True, True),
        ("auto", "cuda", False, False),
        ("float32", "cuda", True, False),
        ("bfloat16", "cpu", False, True),
    ],
)
def test_precision_follows_the_hardware_unless_it_is_named(
    precision, device, has_bf16, expected, monkeypatch
):
    class Recorded:
        def __init__(self, kind, *, dtype, enabled):
            self.seen = (kind, dtype, enabled)

    monkeypatch.setattr(torch, "autocast", Recorded)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bf16)
    chosen = autocast(TrainingSettings(precision=precision), torch.device(device))
    assert chosen.seen == (device, torch.bfloat16, expected)


@pytest.mark.parametrize(("free", "moves"), [(10_000, True), (1_000, False)])
def test_data_move_to_the_gpu_only_if_they_fit(free, moves, monkeypatch):
    samples = Samples(torch.zeros(10, 1, 8, 8), torch.zeros(10))  # 2560 bytes
    moved = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 10 * free))
    monkeypatch.setattr(Samples, "to", lambda self, device: moved.append(device) or self)
    move_if_fits(samples, torch.device("cuda"))
    assert bool(moved) is moves
    assert move_if_fits(samples, CPU) is samples


def test_memory_of_a_gpu_is_that_of_the_one_which_is_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda number: 7 if number == 1 else 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (30, 80) if number == 1 else (0, 0))

    assert measure_memory() == (50, 80)


def test_without_a_gpu_in_use_no_memory_is_told(monkeypatch):
    assert measure_memory() == (0, 0)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    assert measure_memory() == (0, 0)


COMPILER = """
import sys
import torch
from common.training.device import reproducible
before = torch.get_deterministic_debug_mode()
with reproducible(torch.device("cpu"), 1):
    inside = torch.get_deterministic_debug_mode(), torch.is_deterministic_algorithms_warn_only_enabled()
print(before, *inside, torch.get_deterministic_debug_mode(), "torch._dynamo" in sys.modules)
"""


def test_deterministic_algorithms_are_chosen_without_torchs_compiler():
    """Which takes two seconds and 95 MB of a site that only scores."""
    done = subprocess.run([sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "True", "0", "False"]
