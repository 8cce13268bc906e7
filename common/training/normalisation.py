from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@contextmanager
def averaging(network: nn.Module) -> Iterator[None]:
    """A context in which BatchNorm forgets its statistics and takes the plain mean over the batches it sees.

    Only BatchNorm is in training mode; afterwards it takes moving averages again as before.

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
