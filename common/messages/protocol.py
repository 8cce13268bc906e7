"""The coordinator's questions and the sites' answers, and how they become bytes.

A request is a signature followed by a safetensors file: the file's header is the JSON of a pydantic model,
its tensors are the arrays. There is no pickle. The site verifies the signature before it parses a byte of the
header. What is signed is made of the digests of header and arrays: so a model that goes to many sites, each
with a header of its own, is hashed once, and a reply names its request by the signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast, get_args

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from numpy.typing import NDArray
from pydantic import ValidationError

from common.errors import ProtocolError
from common.messages.catalogue import HeaderField, find_question
from common.messages.headers import CODE_OK, ReplyHeader, RequestHeader
from common.messages.signed_reply import take_body
from common.runtime.array_digest import digest_array, remember_digest
from common.runtime.front_room import join_in_place
from common.runtime.settings_file import Section
from common.runtime.tensor_file import Pieces, cut_tensor_file, read_metadata, read_tensor_file
from common.secagg.wire.frames import Bytes, MessageKind, is_sealed, sha256, unpack
from common.secagg.wire.messages import Close, read
from common.stats.contract import Summary
from common.types import Counts, Flags, FlatWeights, Reals

if TYPE_CHECKING:
    from flwr.app import RecordDict

Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]
"""Arrays of a message by name."""
Parameters: TypeAlias = Mapping[str, Counts | Reals | Flags]
"""Public arrays that the coordinator broadcasts with one question, by name."""

REQUEST_SIGNATURE_BYTES = 64
"""Length of the Ed25519 signature at the start of a request."""
_DOMAIN = b"rhe/request/2\x00"
_LENGTH_BYTES = 8
"""Of the number at the start of a safetensors file: the length of its header."""
_HEADER = "header"
_WEIGHTS = "weights"
_PARAMETERS = "parameters/"
_SEALED = "sealed"
_RECORD = "message"
FEW_BYTES = 2**18
"""Messages of at most so many bytes travel without an array: every question and answer without a model."""


@dataclass(frozen=True)
class Request:
    """A question to one site.

    Attributes
    ----------
    header : RequestHeader
        The question.
    weights : float32 vector of shape (layout.size,), or None
        A global model; None where the question needs none.
    parameters : mapping of str to int64, float64 or bool arrays
        Public parameters of a statistic: see `common.messages.questions`.
    digest : str
        SHA-256 that the coordinator signed, 64 hexadecimal digits; empty before it is signed.
    """

    header: RequestHeader
    weights: FlatWeights | None = None
    parameters: Parameters = field(default_factory=dict)
    digest: str = field(default="", compare=False)


@dataclass(frozen=True)
class Reply:
    """A site's answer.

    Attributes
    ----------
    header : ReplyHeader
        How the question went, and the answer's parts that are not arrays.
    summary : Summary
        Arrays that are added over sites.
    weights : float32 vector of shape (layout.size,), or None
        A model that the site releases.
    pictures : tuple of uint8 vectors
        Bytes of PNG files; from synthetic sites only.
    sealed : uint8 vector or None
        A message of the protocol that hides sums.
    """

    header: ReplyHeader
    summary: Summary = field(default_factory=Summary)
    weights: FlatWeights | None = None
    pictures: tuple[NDArray[np.uint8], ...] = ()
    sealed: NDArray[np.uint8] | None = None

    def name_request(self, asked: Bytes) -> Reply:
        """The same answer; it names the request, whose bytes these are."""
        named = {"request": name_request(asked)}
        return replace(self, header=self.header.model_copy(update=named))


def name_request(asked: Bytes) -> str:
    """What a reply calls the request of these bytes: SHA-256 of what commits to them, 64 hexadecimal digits.

    That is the signature of a request, and the header of a message that hides sums, with that of the question
    that it carries.
    """
    headers: list[bytes] = []
    rest = memoryview(asked)
    with suppress(ProtocolError):
        while is_sealed(rest):
            frame = unpack(rest)
            headers.append(frame.header)
            is_close = frame.kind is MessageKind.CLOSE
            rest = frame.payload[read(frame, MessageKind.CLOSE, Close).sums_bytes :] if is_close else rest[:0]
    return sha256(*headers, rest[:REQUEST_SIGNATURE_BYTES])


def encode_request(request: Request, key: Ed25519PrivateKey) -> bytes:
    """The signed bytes of a request."""
    arrays: dict[str, NDArray[np.generic]] = {
        f"{_PARAMETERS}{name}": array for name, array in request.parameters.items()
    }
    if request.weights is not None:
        arrays[_WEIGHTS] = request.weights
    announced = {"has_weights": request.weights is not None, "parameters": tuple(sorted(request.parameters))}
    header = request.header.model_copy(update=announced)
    length, text, *data = pieces = _pack(header, arrays)
    is_model = request.weights is not None and len(data) == 1
    content = digest_array(request.weights) if is_model and request.weights is not None else sha256(*data)
    return b"".join((key.sign(_digest(sha256(length, text), content)), *pieces))


def decode_request(message: Bytes, coordinator: Ed25519PublicKey) -> Request:
    """The request, once its signature is verified; weights share the message's memory.

    Raises
    ------
    ProtocolError
        If the coordinator has not signed these bytes, they are malformed, or a field is not empty that the
        question does not use.
    """
    view = memoryview(message)
    signature, body = view[:REQUEST_SIGNATURE_BYTES], view[REQUEST_SIGNATURE_BYTES:]
    start = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    content = sha256(body[start:])
    digest = _digest(sha256(body[:start]), content)
    try:
        coordinator.verify(bytes(signature), digest)
    except InvalidSignature:
        raise ProtocolError("a request that the study's coordinator did not sign was refused") from None
    header, arrays = _unpack(body, RequestHeader)
    weights = arrays.pop(_WEIGHTS, None)
    if weights is not None and not arrays:
        remember_digest(weights, content)
    announced = [f"{_PARAMETERS}{name}" for name in header.parameters]
    if sorted(arrays) != announced or header.has_weights != (weights is not None):
        raise ProtocolError(f"a request carries arrays that its header does not announce: {sorted(arrays)}")
    _refuse_unused_fields(header)
    parameters = {name.removeprefix(_PARAMETERS): _as_parameter(array) for name, array in arrays.items()}
    return Request(header, None if weights is None else _as_weights(weights), parameters, digest.hex())


def _refuse_unused_fields(header: RequestHeader) -> None:
    """Refuse a request with a field that its question does not use: what nobody reads could say anything.

    Raises
    ------
    ProtocolError
        If it has one, weights together with parameters, or a stage that the question does not have.
    """
    carries = find_question(header.operation, header.stage).carries
    unused = [name for name in get_args(HeaderField) if name not in carries and getattr(header, name)]
    if header.has_weights and header.parameters:
        unused.append("has_weights")
    if unused:
        named = ", ".join(name.removeprefix("has_") for name in unused)
        raise ProtocolError(f"{header.operation}: the request has {named}, which it does not use")


def question_of(message: Bytes) -> RequestHeader:
    """The header of a signed request; its signature is not verified here, but by the site that answers.

    Raises
    ------
    ProtocolError
        If the bytes are malformed.
    """
    return _unpack_header(memoryview(message)[REQUEST_SIGNATURE_BYTES:], RequestHeader)


def encode_reply(reply: Reply) -> bytes | memoryview:
    """The bytes of a reply.

    A large update or sealed message that was made behind room (`common.runtime.front_room`) becomes the
    answer's end where it lies: nobody may change it any more.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    arrays |= {f"counts/{name}": array for name, array in reply.summary.counts.items()}
    arrays |= {f"reals/{name}": array for name, array in reply.summary.reals.items()}
    arrays |= {f"updates/{name}": array for name, array in reply.summary.updates.items()}
    arrays |= {f"pictures/{number:04d}": picture for number, picture in enumerate(reply.pictures)}
    if reply.weights is not None:
        arrays[_WEIGHTS] = reply.weights
    if reply.sealed is not None:
        arrays[_SEALED] = reply.sealed
    return join_in_place(_pack(reply.header, arrays))


def decode_reply(body: Bytes) -> Reply:
    """The reply in these bytes; a signature before them is not verified here (`is_reply_signed_by`).

    Large arrays of an update, of weights or of a sealed message share the memory of the bytes.

    Raises
    ------
    ProtocolError
        If they are malformed.
    """
    header, arrays = _unpack(take_body(body), ReplyHeader)
    kinds = {"counts": np.int64, "reals": np.float64, "updates": np.float32, "pictures": np.uint8}
    by_kind: dict[str, dict[str, NDArray[np.generic]]] = {kind: {} for kind in kinds}
    weights = arrays.pop(_WEIGHTS, None)
    sealed = arrays.pop(_SEALED, None)
    for name, array in arrays.items():
        kind, _, own_name = name.partition("/")
        if kind not in kinds or array.dtype != kinds[kind]:
            raise ProtocolError(f"a reply carries an unexpected array {name!r} of {array.dtype}")
        by_kind[kind][own_name] = array
    summary = Summary(
        {name: array.astype(np.int64) for name, array in by_kind["counts"].items()},
        {name: array.astype(np.float64) for name, array in by_kind["reals"].items()},
        {name: array.astype(np.float32, copy=False) for name, array in by_kind["updates"].items()},
    )
    pictures = tuple(array.astype(np.uint8) for _, array in sorted(by_kind["pictures"].items()))
    return Reply(
        header,
        summary,
        None if weights is None else _as_weights(weights),
        pictures,
        None if sealed is None else _as_sealed(sealed),
    )


def has_answered(reply: Reply) -> bool:
    """Whether the site answered what was asked: it has learnt the sums that stood before it."""
    if reply.header.code != CODE_OK:
        return False
    return reply.sealed is None or unpack(reply.sealed.data).kind is not MessageKind.REFUSAL


def to_record(body: bytes | memoryview) -> RecordDict:
    """The bytes as a Flower record: a single array, or without one if they are few.

    Flower's cost grows with the objects of a message, each of which is a request on its way in and another on
    its way out: an array makes five, of which its pieces are the last; a configuration three.
    """
    from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

    if len(body) <= FEW_BYTES:
        return RecordDict({_RECORD: ConfigRecord({_RECORD: bytes(body)})})
    arrays = ArrayRecord({_RECORD: Array("uint8", (len(body),), "rhe.message", b"")})
    # Flower's constructors insist on bytes; whatever it does with them, it does with any memory
    arrays[_RECORD].data = cast("bytes", body)
    return RecordDict({_RECORD: arrays})


def from_record(record: RecordDict) -> bytes:
    """The bytes in a record that `to_record` made.

    Raises
    ------
    ProtocolError
        If `to_record` did not make the record.
    """
    try:
        if _RECORD in record.array_records:
            return record.array_records[_RECORD][_RECORD].data
        body = record.config_records[_RECORD][_RECORD]
    except KeyError:
        raise ProtocolError(f"a Flower message without rhe's record; it has {sorted(record)}") from None
    if not isinstance(body, bytes):
        raise ProtocolError("a Flower message whose record holds no bytes")
    return body


AnyHeader = TypeVar("AnyHeader", RequestHeader, ReplyHeader)


def _digest(header: str, content: str) -> bytes:
    """What is signed, of the SHA-256 of a request's header and of its arrays."""
    return hashlib.sha256(_DOMAIN + bytes.fromhex(header) + bytes.fromhex(content)).digest()


def _pack(header: Section, arrays: Arrays) -> Pieces:
    text = json.dumps(header.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return cut_tensor_file(arrays, {_HEADER: text})


def _unpack(body: Bytes, model: type[AnyHeader]) -> tuple[AnyHeader, dict[str, NDArray[np.generic]]]:
    with _refuse_malformed():
        metadata, arrays = read_tensor_file(body)
        return model.model_validate_json(metadata[_HEADER]), arrays


def _unpack_header(body: Bytes, model: type[AnyHeader]) -> AnyHeader:
    with _refuse_malformed():
        return model.model_validate_json(read_metadata(body)[_HEADER])


@contextmanager
def _refuse_malformed() -> Iterator[None]:
    """A context in which whatever cannot be read is a malformed message.

    Raises
    ------
    ProtocolError
        In place of what was raised.
    """
    try:
        yield
    except (ValidationError, KeyError, ValueError, TypeError, AttributeError):
        raise ProtocolError(
            "a message is truncated or malformed -> both sides must run one rhe version"
        ) from None


def _as_sealed(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim != 1:
        raise ProtocolError(f"a sealed message must be bytes, not {array.dtype} of shape {array.shape}")
    return array.astype(np.uint8, copy=False)


def _as_weights(array: NDArray[np.generic]) -> FlatWeights:
    if array.dtype != np.float32 or array.ndim != 1:
        raise ProtocolError(f"weights must be one float32 vector, not {array.dtype} of shape {array.shape}")
    return array.astype(np.float32, copy=False)


def _as_parameter(array: NDArray[np.generic]) -> Counts | Reals | Flags:
    if array.dtype == np.int64:
        return array.astype(np.int64, copy=False)
    if array.dtype == np.bool_:
        return array.astype(np.bool_, copy=False)
    if array.dtype != np.float64 or not np.isfinite(array.astype(np.float64, copy=False)).all():
        raise ProtocolError(f"a parameter must be finite float64, int64 or bool, not {array.dtype}")
    return array.astype(np.float64, copy=False)
