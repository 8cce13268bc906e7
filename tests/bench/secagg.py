"""What secure aggregation costs a site, against the bare cipher, a copy, and Flower's SecAgg+.

CPU time, the best of several, all in one run; Flower's is so long that once is enough.
"""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from flwr.common import ndarray_to_bytes
from flwr.common.secure_aggregation.crypto.symmetric_encryption import generate_shared_key
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    factor_combine,
    parameters_addition,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import quantize
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from common.secagg.crypto.encoding import encode, scale_bits_for
from common.secagg.crypto.keys import (
    derive_pair_key,
    derive_self_key,
    derive_shared_secret,
    sign_message,
    verify_signature,
)
from common.secagg.crypto.masks import Sign, add_stream, add_streams
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.crypto.sum_tag import tag_words
from common.secagg.wire.canonical import encode_canonical
from common.types import FlatWeights
from tests.bench.measurement import Effort, Measurement, measure_cpu_s

PARAMETERS = 42_500_000
"""Of a ResNet-101."""
SMOKE_PARAMETERS = 100_000
MIB = 1 << 20
ADD: Sign = 1
SECAGG_TARGET, SECAGG_CLIP, SECAGG_MODULUS = 1 << 22, 8.0, 1 << 32
"""Flower's defaults."""


def compare_cpu(name: str, bound: float, ours_s: float, theirs_s: float) -> Measurement:
    """Our CPU time in units of another's."""
    detail = f"{1000 * ours_s:.1f} ms against {1000 * theirs_s:.1f} ms"
    return Measurement(name, ours_s / theirs_s, bound, "at most", detail)


def describe_update(sites: int, size: int) -> Vector:
    """A network's update of this many elements."""
    return Vector("delta", (size,), Ring.UPDATES, 1.0, scale_bits_for(sites, 1.0))


def run_bare_cipher(size: int) -> None:
    """The key stream of a vector of this many elements, written over and over into one buffer."""
    zeros, output = bytes(MIB), bytearray(MIB)
    cipher = Cipher(algorithms.AES256(bytes(32)), modes.CTR(bytes(16))).encryptor()
    for _ in range(0, 4 * size, MIB):
        cipher.update_into(zeros, output)


def make_contribution(values: FlatWeights, sites: int) -> bytes:
    """Encoded, masked against all peers and by itself, and hashed: what a site does with its update."""
    words = encode(describe_update(sites, values.size), values, sites=sites).words
    session_key, peers = (
        X25519PrivateKey.generate(),
        [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(sites - 1)],
    )
    salt, info = bytes(32), encode_canonical({"vector": "delta"})
    pairs = [(derive_pair_key(derive_shared_secret(session_key, peer), salt, info), ADD) for peer in peers]
    add_streams(words, [*pairs, (derive_self_key(bytes(32), info), ADD)], Ring.UPDATES)
    return hashlib.sha256(words.data).digest()


def run_secagg_plus(values: FlatWeights, sites: int) -> bytes:
    """Stage 2 of Flower's SecAgg+ client with all others as neighbours, by the functions that it calls."""
    session_key = ec.generate_private_key(ec.SECP384R1())
    peers = [ec.generate_private_key(ec.SECP384R1()).public_key() for _ in range(sites - 1)]
    quantized = quantize(parameters_multiply([values], 1.0), SECAGG_CLIP, SECAGG_TARGET)
    total = factor_combine(SECAGG_TARGET, quantized)
    shapes = [array.shape for array in total]
    total = parameters_addition(total, pseudo_rand_gen(bytes(32), SECAGG_MODULUS, shapes))
    for index, peer in enumerate(peers):
        mask = pseudo_rand_gen(generate_shared_key(session_key, peer), SECAGG_MODULUS, shapes)
        combine = parameters_addition if index % 2 else parameters_subtraction
        total = combine(total, mask)
    return ndarray_to_bytes(parameters_mod(total, SECAGG_MODULUS)[1])


def compare_tag(values: FlatWeights, sites: int, effort: Effort) -> Measurement:
    """What proves a sum, against a site's other work on its update."""
    vector, key = describe_update(sites, values.size), bytes(32)
    words = encode(vector, values, sites=sites).words
    tag_s = measure_cpu_s(lambda: tag_words(vector, words, key), effort.repeats(5))
    work_s = measure_cpu_s(lambda: make_contribution(values, sites), effort.repeats(3))
    return compare_cpu(f"tag / encode, mask, hash, {sites} sites", 0.5, tag_s, work_s)


def measure_memory(values: FlatWeights) -> Measurement:
    """The most that a contribution allocates at once."""
    tracemalloc.start()
    make_contribution(values, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    encoded = 4 * describe_update(5, values.size).words
    allowed = 1.1 * encoded + 32 * MIB
    detail = f"{peak / MIB:.0f} MiB, {peak / encoded:.3f} of the encoded vector"
    return Measurement(
        "peak memory of a contribution / 1.1 encoded + 32 MiB", peak / allowed, 1.0, "at most", detail
    )


def measure_size(values: FlatWeights) -> Measurement:
    """Bytes that leave."""
    ours = encode(describe_update(5, values.size), values, sites=5).words.nbytes
    detail = f"{ours} bytes against {values.nbytes}"
    return Measurement("upload / float32 weights", ours / values.nbytes, 1.001, "at most", detail)


def measure_small_message(effort: Effort, sites: int = 50) -> Measurement:
    """A thousand counts: all signatures verified, a key agreed with each peer, encoded, masked and hashed."""
    header, vector = encode_canonical({"hdr": "0" * 64, "round": 1}), Vector("counts", (1000,), Ring.COUNTS)
    identity, session_key = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    public, signature = identity.public_key().public_bytes_raw(), sign_message(identity, "join", header)
    peers = [X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(sites - 1)]

    def answer() -> bytes:
        if not all(verify_signature(public, "join", header, signature) for _ in range(sites)):
            raise ValueError("a signature of this benchmark does not verify")
        words = encode(vector, np.arange(1000), sites=sites).words
        keys = [
            (derive_pair_key(derive_shared_secret(session_key, peer), bytes(32), header), ADD)
            for peer in peers
        ]
        add_streams(words, [*keys, (derive_self_key(bytes(32), header), ADD)], Ring.COUNTS)
        return sign_message(identity, "contribution", hashlib.sha256(words.data).digest())

    spent_s = measure_cpu_s(answer, effort.repeats(5))
    return Measurement(
        "1000 counts of one of 50 sites / 50 ms", spent_s / 0.05, 1.0, "at most", f"{1000 * spent_s:.1f} ms"
    )


def compare_streams(values: FlatWeights, effort: Effort) -> list[Measurement]:
    """The mask against the bare cipher, the encoding against a copy."""
    repeats = effort.repeats(5)
    vector, copy = describe_update(5, values.size), np.empty_like(values)
    words = encode(vector, values, sites=5).words
    bare_s = measure_cpu_s(lambda: run_bare_cipher(values.size), repeats)
    one_s = measure_cpu_s(lambda: add_stream(words, bytes(32), Ring.UPDATES, sign=ADD), repeats)
    five_s = measure_cpu_s(lambda: add_streams(words, [(bytes(32), ADD)] * 5, Ring.UPDATES), repeats)
    copy_s = measure_cpu_s(lambda: np.copyto(copy, values), repeats)
    encode_s = measure_cpu_s(lambda: encode(vector, values, sites=5), repeats)
    return [
        compare_cpu("one mask, made and added / bare AES-256-CTR", 2.5, one_s, bare_s),
        compare_cpu("each of five masks at once / bare AES-256-CTR", 2.5, five_s / 5, bare_s),
        compare_cpu("encoding a model delta / copying it", 10.0, encode_s, copy_s),
    ]


def compare_with_flower(values: FlatWeights, sites: int, effort: Effort) -> Measurement:
    """A site's whole work on its update."""
    ours_s = measure_cpu_s(lambda: make_contribution(values, sites), effort.repeats(3))
    theirs_s = measure_cpu_s(lambda: run_secagg_plus(values, sites))
    return compare_cpu(f"encode, mask, hash, {sites} sites / Flower's SecAgg+", 1 / 6, ours_s, theirs_s)


def run(effort: Effort) -> list[Measurement]:
    """The specification's ratios of secure aggregation."""
    size = effort.choose(PARAMETERS, SMOKE_PARAMETERS)
    values = np.random.default_rng(0).normal(0, 0.1, size).clip(-1, 1).astype(np.float32)
    return [
        *compare_streams(values, effort),
        *(compare_with_flower(values, sites, effort) for sites in (2, 5, 20)),
        *(compare_tag(values, sites, effort) for sites in (2, 5)),
        measure_size(values),
        measure_memory(values),
        measure_small_message(effort),
    ]
