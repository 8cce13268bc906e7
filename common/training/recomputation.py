"""Where the memory does not suffice, a step computes each block twice instead of keeping what it gave.

Smaller batches would not do: every network here has BatchNorm, which would then normalise with the means of
other patients, and the sites' sums would depend on whose GPU was full. Computed twice, a step has its bits:
what a block gave is forgotten after the forward pass, and computed again when its gradient is due.

Chen, Xu, Zhang and Guestrin (2016), Training deep nets with sublinear memory cost.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch.utils.checkpoint import checkpoint

from common.models.zoo import list_blocks
from common.training.device import is_memory_shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

_log = logging.getLogger(__name__)

_short: WeakSet[nn.Module] = WeakSet()
"""Networks for which the memory did not suffice once: they are not tried the costly way again."""


class Recomputation:
    """How the steps of one training are computed.

    Parameters
    ----------
    network : nn.Module
        One of the study's.
    device : torch.device
        Where it is trained.

    Attributes
    ----------
    is_on : bool
        Whether blocks are computed twice.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network, device
        self._buffers: list[torch.Tensor] = []
        self._forwards: list[tuple[nn.Module, Any]] = []
        self.is_on = False

    def attempt(self, step: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What a step gives; if the memory does not suffice, it is done again and computes each block twice.

        Parameters
        ----------
        step : callable
            A forward and a backward pass; it discards earlier gradients before it computes its own.

        Raises
        ------
        RuntimeError
            Of torch: if the memory does not suffice for that either, or for another reason.
        """
        if self.is_on:
            return step()
        # Listed once, but not before the network is in its place
        self._buffers = self._buffers or list(self._network.buffers())
        statistics = [buffer.clone() for buffer in self._buffers]
        draws = self._read_generators()
        try:
            return step()
        except RuntimeError as failure:
            if not is_memory_shortage(failure):
                raise
        # Here the failure, whose frames held the activations, is gone
        self._network.zero_grad(set_to_none=True)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        _restore(self._buffers, statistics)
        self._set_generators(draws)
        _log.warning("the memory does not suffice: each block is computed twice, which takes longer")
        self.begin()
        return step()

    def begin(self) -> None:
        """From now on, compute blocks twice, also in later trainings of this network."""
        self.is_on = True
        _short.add(self._network)
        for block in list_blocks(self._network):
            self._forwards.append((block, block.forward))
            block.forward = partial(_run_twice, block, block.forward)

    def end(self) -> None:
        """Leave the network as it was."""
        for block, _ in self._forwards:
            del block.forward
        self._forwards.clear()

    def _read_generators(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        own = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
        return torch.get_rng_state(), own

    def _set_generators(self, draws: tuple[torch.Tensor, torch.Tensor | None]) -> None:
        general, own = draws
        torch.set_rng_state(general)
        if own is not None:
            torch.cuda.set_rng_state(own, self._device)


@contextmanager
def spare_memory_if_short(network: nn.Module, device: torch.device) -> Iterator[Recomputation]:
    """A context in which steps can be attempted; the network is left as it was."""
    recomputation = Recomputation(network, device)
    if network in _short:
        recomputation.begin()
    try:
        yield recomputation
    finally:
        recomputation.end()


def _run_twice(block: nn.Module, forward: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """A block's output, to be computed again for its gradient."""
    if not torch.is_grad_enabled():
        return forward(*inputs)

    def make_contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _keep_statistics(block)

    output: torch.Tensor = checkpoint(forward, *inputs, use_reentrant=False, context_fn=make_contexts)
    return output


@contextmanager
def _keep_statistics(block: nn.Module) -> Iterator[None]:
    """A context whose batches BatchNorm does not count: it has seen them before."""
    buffers = list(block.buffers())
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        _restore(buffers, kept)


def _restore(buffers: list[torch.Tensor], values: list[torch.Tensor]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        # Past autograd, which saw the running statistics although no gradient in training needs them
        buffer.data.copy_(value)
