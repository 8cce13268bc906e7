"""A site's signature under a model: it is the one that the site's own sums gave, or that it trained itself.

Whoever was not in the sums of a model cannot know it: it takes it only with the signatures of all who were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from pydantic import Field

from common.runtime.settings_file import NAME_PATTERN, Section
from common.secagg.crypto.keys import is_signature_of
from common.secagg.wire.canonical import encode_canonical
from common.types import FlatWeights

_DOMAIN = "rhe/endorsed/1"


class Endorsement(Section):
    """What one site says of a model, signed with the key that the roster has of it."""

    site: str = Field(pattern=NAME_PATTERN)
    """The site that says it."""
    missed: bool = False
    """Whether it cannot know the model, because it missed the end of the training."""
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")
    """Ed25519 signature of the statement, in hexadecimal."""


@dataclass(frozen=True)
class ModelStatement:
    """Exactly which model is meant, in which study.

    Attributes
    ----------
    plan : str
        SHA-256 of the plan.
    roster : str
        SHA-256 of the roster.
    model, arm : str
        Names of the plan's model and arm.
    content : str
        SHA-256 of the model, as `digest_content` gives it.
    """

    plan: str
    roster: str
    model: str
    arm: str
    content: str

    def sign(self, key: Ed25519PrivateKey, site: str, *, missed: bool = False) -> Endorsement:
        """The statement, signed by a site."""
        signature = key.sign(self._encode(site, missed=missed))
        return Endorsement(site=site, missed=missed, signature=signature.hex())

    def is_signed_in(self, endorsement: Endorsement, public: bytes) -> bool:
        """Whether the endorsement is of this statement, by the owner of the raw public key."""
        signed = self._encode(endorsement.site, missed=endorsement.missed)
        return is_signature_of(public, bytes.fromhex(endorsement.signature), signed)

    def _encode(self, site: str, *, missed: bool) -> bytes:
        return encode_canonical({"domain": _DOMAIN, **vars(self), "site": site, "missed": missed})


def digest_content(
    weights: FlatWeights | None,
    parameters: Mapping[str, NDArray[np.generic]],
    regressions: Sequence[Sequence[str]] = (),
    number: int = 0,
) -> str:
    """SHA-256 of the content of a model: the weights' bytes, or the coefficients with their covariates.

    Parameters
    ----------
    weights : float32 vector or None
        A network's.
    parameters : mapping of str to arrays
        Of a model of the table.
    regressions : sequence of sequences of str
        Covariates of a logistic model.
    number : int
        The round that gave a network's weights: a site's own BatchNorm is that of the round.
    """
    digest = hashlib.sha256()
    described: dict[str, object] = {
        "regressions": [list(names) for names in regressions],
        "round": number,
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in sorted(parameters.items())],
        "weights": -1 if weights is None else weights.size,
    }
    head = encode_canonical(described)
    digest.update(len(head).to_bytes(8, "little") + head)
    for _, array in sorted(parameters.items()):
        digest.update(np.ascontiguousarray(array).tobytes())
    if weights is not None:
        digest.update(np.ascontiguousarray(weights, dtype="<f4").data)
    return digest.hexdigest()
