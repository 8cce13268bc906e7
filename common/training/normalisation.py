"""BatchNorm's statistics as plain means over batches, instead of moving averages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@contextmanager
def average_statistics(network: nn.Module) -> Iterator[None]:
    """A context in which BatchNorm resets its statistics and takes their mean over the batches that it sees.

    Inside, only BatchNorm is in training mode. Afterwards it takes moving averages again.

    References
    ----------
    Wu and Johnson (2021), Rethinking "Batch" in BatchNorm, section 3.1.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
