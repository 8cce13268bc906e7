"""The device on which a network computes, and how the same plan gives the same bits there."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from common.errors import MemoryShortageError, SiteError
from common.runtime.machine import has_accelerator_driver, name_processor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from common.training.dataset import Samples
    from common.training.settings import TrainingSettings

_SHARE_FOR_DATA = 0.4
"""Share of an accelerator's free memory for images; the rest is for weights and activations."""

_FULL = "DefaultCPUAllocator"
"""Stands in the message of torch's error when the computer's memory is full."""

_SMALLER = "close other programs, or plan smaller batches or a smaller network"

_PLANAR = 4
"""Axes of a batch of 2D images, and of a 2D convolution's kernels."""


def measure_memory() -> tuple[int, int]:
    """Bytes of the GPU on which this process computes: used by everybody, and all; zeros without a GPU."""
    import torch

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return 0, 0
    for number in range(torch.cuda.device_count()):
        if torch.cuda.memory_reserved(number):
            free, total = torch.cuda.mem_get_info(number)
            return total - free, total
    return 0, 0


def pick_device(wanted: str) -> torch.device:
    """The device that a site requests; "auto" is the first GPU if there is one, else the CPU.

    Raises
    ------
    SiteError
        If the name means nothing to torch, or this machine has no such device.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise SiteError(f'device = "{wanted}" is unknown -> use "auto", "cpu", "cuda" or "cuda:1"') from None
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise SiteError(f'device = "{wanted}" is not supported -> use "auto", "cpu", "cuda" or "cuda:1"')
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= available:
        raise SiteError(
            f'device = "{wanted}", but torch {torch.__version__} sees {available} GPU(s) -> set device = '
            '"auto" in site.toml, or install the CUDA build of torch'
        )
    return torch.device("cuda", device.index or 0)


def describe_device(wanted: str) -> str:
    """What a site computes on, as its report says it: kind and name of the device that it requests.

    Where that can be the processor alone, torch is not loaded: it takes 170 MB and two seconds.

    Raises
    ------
    SiteError
        If the name means nothing to torch, or this machine has no such device.
    """
    if wanted == "cpu" or (wanted == "auto" and not has_accelerator_driver()):
        return f"cpu: {name_processor()}"
    import torch

    device = pick_device(wanted)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else name_processor()
    return f"{device.type}: {name}"


@contextmanager
def reproducible(device: torch.device, threads: int, seed: int = 0) -> Iterator[None]:
    """A context in which torch gives the same bits every time, and after which its global state is as before.

    It fixes the CPU threads, seeds the global generators (dropout draws from them), and selects deterministic
    algorithms wherever torch has one. It has none for the backward pass of 3D pooling on a GPU, and warns.

    Raises
    ------
    MemoryShortageError
        If the memory does not suffice for the computation inside.
    """
    import torch

    threads_before = torch.get_num_threads()
    strict = torch.get_deterministic_debug_mode()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    rounded = torch.backends.cudnn.allow_tf32
    # cuBLAS reads this when it starts; without it torch refuses deterministic matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        _seed_generators(device, seed)
        torch.set_num_threads(threads)
        # As `use_deterministic_algorithms(True, warn_only=True)`, which loads torch's compiler besides
        torch.set_deterministic_debug_mode("warn")
        # Filling fresh memory with NaN finds bugs in kernels, costs time and changes no result.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        # TensorFloat-32 keeps 10 bits of the mantissa: not what float32 promises.
        torch.backends.cudnn.allow_tf32 = False
        try:
            with name_memory_shortage():
                yield
        finally:
            torch.set_num_threads(threads_before)
            torch.set_deterministic_debug_mode(strict)
            torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
            torch.backends.cudnn.allow_tf32 = rounded


def _seed_generators(device: torch.device, seed: int) -> None:
    """Seed what draws on this device: of a seed for absent accelerators torch keeps the whole stack."""
    import torch

    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@contextmanager
def name_memory_shortage() -> Iterator[None]:
    """A context in which a lack of memory, of the computer or of its accelerator, is told as such.

    Raises
    ------
    MemoryShortageError
        If the memory does not suffice for what is done inside.
    RuntimeError
        Any other of torch's, as it came.
    """
    try:
        yield
    except MemoryError:
        raise MemoryShortageError(f"the computer's memory is full -> {_SMALLER}") from None
    except RuntimeError as failure:
        if not is_memory_shortage(failure):
            raise
        if _FULL in str(failure):
            raise MemoryShortageError(f"the computer's memory is full -> {_SMALLER}") from None
        reason = str(failure).partition(".")[0]
        remedy = 'free the GPU, plan smaller batches, or set device = "cpu"'
        raise MemoryShortageError(f"{reason} -> {remedy}") from None


def is_memory_shortage(failure: RuntimeError) -> bool:
    """Whether one of torch's errors says that the memory of the computer or its accelerator is full."""
    import torch

    # torch has no class of its own for a computer whose memory is full
    return isinstance(failure, torch.OutOfMemoryError) or _FULL in str(failure)


def place_network(network: nn.Module, device: torch.device) -> None:
    """Move the network to the device, 2D convolutions with channels last.

    For 2D networks this format is 9 to 24 % faster on a CPU and suits a GPU's bfloat16; for 3D networks it is
    slower. The format decides the bits, so it never depends on the network's history.
    """
    network.to(device)
    for parameter in network.parameters():
        parameter.data = to_network_format(parameter.data)


def to_network_format(tensor: torch.Tensor) -> torch.Tensor:
    """A batch of images, or a parameter, in the memory format that `place_network` gives.

    Where a side is 1, several strides are equivalent; torch keeps any of them and picks its kernels by them.
    So the strides themselves are compared.
    """
    import torch

    form = torch.channels_last if tensor.ndim == _PLANAR else torch.contiguous_format
    wanted = torch.empty(tensor.shape, memory_format=form, device="meta").stride()
    return tensor if tensor.stride() == wanted else tensor.clone(memory_format=form)


def autocast(settings: TrainingSettings, device: torch.device) -> torch.autocast:
    """The precision of the forward pass: bfloat16 where requested, or under "auto" on GPUs that have it."""
    import torch

    wanted = settings.precision == "bfloat16"
    if settings.precision == "auto":
        wanted = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def move_if_fits(samples: Samples, device: torch.device) -> Samples:
    """The samples on the device if they fit there beside the network, else unmoved."""
    if device.type == "cpu" or samples.images.device == device:
        return samples.to(device)
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    fits = samples.images.nbytes <= _SHARE_FOR_DATA * free
    return samples.to(device) if fits else samples
