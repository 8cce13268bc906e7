"""What each element of a model's flat weights is. It imports no torch: the coordinator starts fast."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import numpy as np

from common.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn

    from common.types import Flags, FlatWeights

TensorKind: TypeAlias = Literal["weight", "batchnorm-parameter", "batchnorm-buffer", "counter"]
"""weight: any trained parameter except BatchNorm's; batchnorm-parameter: BatchNorm's scale and shift;
batchnorm-buffer: its running mean and variance; counter: the number of batches it has seen, an integer."""

BATCHNORM: frozenset[TensorKind] = frozenset({"batchnorm-parameter", "batchnorm-buffer", "counter"})
"""Tensors that stay at the site under FedBN (Li et al. 2021)."""

TRAINED: frozenset[TensorKind] = frozenset({"weight", "batchnorm-parameter"})
"""Tensors that an optimiser changes; the others are statistics, which are only averaged."""


_BLOCK = 1 << 16
"""Elements that are moved at a time."""


@dataclass(frozen=True)
class StateTensor:
    """One tensor of a model's state.

    Attributes
    ----------
    name : str
        Its name in the state dict.
    shape : tuple of int
        () for a scalar.
    dtype : str
        Type of the module's own tensor, e.g. "float32"; in flat weights all elements are float32.
    kind : TensorKind
        How the tensor is treated when models are averaged.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: TensorKind

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_variance(self) -> bool:
        """Whether it is a running variance of BatchNorm, which cannot be negative."""
        return self.kind == "batchnorm-buffer" and self.name.endswith("running_var")


@dataclass(frozen=True)
class Layout:
    """The tensors of a model's state, in the order in which flat weights hold them.

    Attributes
    ----------
    entries : tuple of StateTensor
        In the order of the state dict; names are unique.

    Raises
    ------
    ValueError
        If two entries have one name.
    """

    entries: tuple[StateTensor, ...]

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.entries]
        if len(set(names)) < len(names):
            raise ValueError("a layout cannot hold two entries of one name")

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """The layout of a module's state dict.

        Raises
        ------
        ModelError
            If the state holds something that float32 cannot represent.
        """
        kinds = _find_batchnorm_kinds(module)
        return cls(
            tuple(
                StateTensor(
                    name,
                    tuple(tensor.shape),
                    _check_dtype(name, str(tensor.dtype)),
                    kinds.get(name, "weight"),
                )
                for name, tensor in module.state_dict().items()
            )
        )

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The layout that `to_json` wrote.

        Raises
        ------
        ModelError
            If the text is anything else.
        """
        try:
            return cls(tuple(_read_entry(fields) for fields in json.loads(text)))
        except (ValueError, TypeError, RecursionError) as failure:
            raise ModelError(f"this is not the layout of a model: {failure}") from None

    def to_json(self) -> str:
        """One canonical line: the same layout gives the same text."""
        rows = [[entry.name, list(entry.shape), entry.dtype, entry.kind] for entry in self.entries]
        return json.dumps(rows, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def size(self) -> int:
        """Length of the flat weights."""
        return sum(entry.size for entry in self.entries)

    @cached_property
    def sizes(self) -> Mapping[TensorKind, int]:
        """How many elements there are of each kind that occurs."""
        sizes: dict[TensorKind, int] = {}
        for entry in self.entries:
            sizes[entry.kind] = sizes.get(entry.kind, 0) + entry.size
        return sizes

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Where each tensor lies in the flat weights, by its name."""
        places: dict[str, slice] = {}
        start = 0
        for entry in self.entries:
            places[entry.name] = slice(start, start + entry.size)
            start += entry.size
        return places

    @cached_property
    def variances(self) -> Flags:
        """True for every element of BatchNorm's running variances, shape (size,)."""
        chosen = np.zeros(self.size, dtype=np.bool_)
        for entry in self.entries:
            if entry.is_variance:
                chosen[self.slices[entry.name]] = True
        return chosen

    def mask(self, kinds: Iterable[TensorKind]) -> Flags:
        """True for every element of these kinds, shape (size,).

        Examples
        --------
        >>> entries = (StateTensor("a", (2,), "float32", "weight"), StateTensor("n", (), "int64", "counter"))
        >>> Layout(entries).mask({"counter"})
        array([False, False,  True])
        """
        wanted = frozenset(kinds)
        chosen = np.zeros(self.size, dtype=np.bool_)
        for entry in self.entries:
            chosen[self.slices[entry.name]] = entry.kind in wanted
        return chosen

    def take(self, flat: FlatWeights, kinds: Iterable[TensorKind]) -> FlatWeights:
        """The elements of these kinds, one after the other, as a copy.

        The same as `flat[mask(kinds)]`, in a tenth of the time.

        Raises
        ------
        ValueError
            If there is no tensor of these kinds.
        """
        taken: FlatWeights = np.concatenate([flat[place] for place in self._list_places(kinds)])
        return taken

    def squeeze(self, flat: FlatWeights, kinds: Iterable[TensorKind]) -> FlatWeights:
        """The same as `take`, at the beginning of `flat`, whose other elements are lost.

        So a large model needs no second vector.
        """
        start = 0
        for place in self._list_places(kinds):
            for first in range(place.start, place.stop, _BLOCK):
                last = min(first + _BLOCK, place.stop)
                if start < first:
                    # Where the two overlap, numpy copies so much first
                    flat[start : start + last - first] = flat[first:last]
                start += last - first
        return flat[:start]

    def _list_places(self, kinds: Iterable[TensorKind]) -> list[slice]:
        wanted = frozenset(kinds)
        return [self.slices[entry.name] for entry in self.entries if entry.kind in wanted]


def _find_batchnorm_kinds(module: nn.Module) -> dict[str, TensorKind]:
    from torch.nn.modules.batchnorm import _BatchNorm  # slow, and only a site has modules

    kinds: dict[str, TensorKind] = {}
    for path, child in module.named_modules():
        if isinstance(child, _BatchNorm):
            prefix = f"{path}." if path else ""
            kinds.update({f"{prefix}{name}": "batchnorm-parameter" for name, _ in child.named_parameters()})
            kinds.update({f"{prefix}{name}": "batchnorm-buffer" for name, _ in child.named_buffers()})
            kinds[f"{prefix}num_batches_tracked"] = "counter"
    return kinds


def _check_dtype(name: str, dtype: str) -> str:
    plain = dtype.removeprefix("torch.")
    if plain not in {"float32", "int64"}:
        raise ModelError(f"{name} is {plain}; flat weights hold float32 and counters only")
    return plain


def _read_entry(fields: object) -> StateTensor:
    if not isinstance(fields, list) or len(fields) != len(StateTensor.__dataclass_fields__):
        raise ValueError(f"an entry is [name, shape, dtype, kind], not {str(fields)[:80]}")
    name, shape, dtype, kind = fields
    if not isinstance(name, str) or dtype not in {"float32", "int64"} or kind not in get_args(TensorKind):
        raise ValueError(f"an entry is [name, shape, dtype, kind], not {str(fields)[:80]}")
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"{name}: a shape is a list of sides, not {str(shape)[:80]}")
    return StateTensor(name, tuple(shape), dtype, cast("TensorKind", kind))
