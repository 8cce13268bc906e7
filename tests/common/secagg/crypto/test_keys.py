from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import ProtocolError
from common.secagg.codes import SecAggError
from common.secagg.crypto import keys

LOW_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    *(bytes([last]) + b"\xff" * 30 + b"\x7f" for last in (0xEC, 0xED, 0xEE)),
]
"""All points of order 1, 2, 4 and 8 (cr.yp.to/ecdh.html); X25519 ignores the highest bit (RFC 7748, 5)."""

IDENTITY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = IDENTITY.public_key().public_bytes_raw()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key().public_bytes_raw()


def test_a_signature_is_that_of_the_hash_of_kind_and_body():
    signature = keys.sign_message(IDENTITY, "join", b"body")

    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, hashlib.sha256(b"SA1/join\0body").digest())
    assert keys.verify_signature(PUBLIC, "join", b"body", signature)


@pytest.mark.parametrize(
    ("public", "kind", "body", "flip"),
    [
        (PUBLIC, "reveal", b"body", 0),
        (PUBLIC, "join", b"bodY", 0),
        (PUBLIC, "joi", b"n\0body", 0),
        (PUBLIC, "join", b"body", 1),
        (OTHER, "join", b"body", 0),
        (PUBLIC[:-1], "join", b"body", 0),
        (b"\xff" * 32, "join", b"body", 0),
    ],
)
def test_anything_else_does_not_verify(public, kind, body, flip):
    signature = bytearray(keys.sign_message(IDENTITY, "join", b"body"))
    signature[0] ^= flip

    assert not keys.verify_signature(public, kind, body, bytes(signature))
    assert not keys.verify_signature(public, kind, body, bytes(signature[:-1]))


def test_a_public_key_has_one_spelling():
    assert keys.decode_public_key(keys.encode_public_key(PUBLIC)) == PUBLIC


@pytest.mark.parametrize("text", ["", "zz" * 32, "AB" * 32, "ab" * 31, "ab " * 32, "ab" * 33])
def test_other_spellings_are_refused(text):
    with pytest.raises(ProtocolError, match="64 lower-case"):
        keys.decode_public_key(text)


def test_a_fingerprint_is_read_aloud_in_eight_groups():
    groups = keys.fingerprint(PUBLIC).split(" ")

    assert [len(group) for group in groups] == [4] * 8
    assert keys.fingerprint(bytes(32)) == "PKXY 4SNS QLLH 7HZ2 ZAKO KGV4 ZPDI QLDJ"


def test_the_secret_is_as_published():
    # RFC 7748, section 5.2, first vector
    private = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    )
    peer = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")

    assert keys.derive_shared_secret(private, peer).hex() == (
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    )


def test_both_owners_of_fresh_session_keys_arrive_at_one_secret():
    first, second = X25519PrivateKey.generate(), X25519PrivateKey.generate()

    assert first.private_bytes_raw() != second.private_bytes_raw()
    assert keys.derive_shared_secret(
        first, second.public_key().public_bytes_raw()
    ) == keys.derive_shared_secret(second, first.public_key().public_bytes_raw())


@pytest.mark.parametrize("high_bit", [0, 0x80])
@pytest.mark.parametrize("point", LOW_ORDER, ids=bytes.hex)
def test_a_low_order_point_is_refused(point, high_bit):
    peer = point[:-1] + bytes([point[-1] | high_bit])

    with pytest.raises(SecAggError) as refusal:
        keys.derive_shared_secret(X25519PrivateKey.generate(), peer)

    assert refusal.value.code == "E_BAD_POINT"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_point_of_another_length_is_refused(length):
    with pytest.raises(SecAggError, match="low-order"):
        keys.derive_shared_secret(X25519PrivateKey.generate(), b"\x09" * length)


def test_a_signature_is_judged_once_and_another_anew(monkeypatch):
    judge, judged = keys.is_signature_of, []
    monkeypatch.setattr(keys, "is_signature_of", lambda *told: judged.append(told) or judge(*told))
    key = Ed25519PrivateKey.generate()
    public, signature = key.public_key().public_bytes_raw(), keys.sign_message(key, "JOIN", b"body")

    assert keys.verify_signature(public, "JOIN", b"body", signature)
    assert keys.verify_signature(public, "JOIN", b"body", signature)
    assert len(judged) == 1
    assert not keys.verify_signature(public, "JOIN", b"bodY", signature)
    assert not keys.verify_signature(public, "CLOSE", b"body", signature)
    assert not keys.verify_signature(public, "JOIN", b"body", bytes(64))
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert not keys.verify_signature(other, "JOIN", b"body", signature)
    assert len(judged) == 5


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 by hand, one block."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_keys_are_derived_by_hkdf_under_the_name_of_their_use():
    secret, salt = bytes(range(32)), b"s" * 32

    assert keys.derive_pair_key(secret, salt, b"info") == hkdf(secret, salt, b"SA1/pairinfo")
    whole = HKDF(SHA256(), 32, salt, b"SA1/pairinfo").derive(secret)
    assert keys.derive_pair_key(secret, salt, b"info") == whole
    assert keys.derive_self_key(secret, b"info") == hkdf(secret, bytes(32), b"SA1/selfinfo")
    assert keys.derive_pair_key(secret, bytes(32), b"info") != keys.derive_self_key(secret, b"info")


def test_each_refusal_has_its_own_code_and_the_branch_one_exit_code():
    assert SecAggError("why", code="E_MIN").code == "E_MIN"
    assert SecAggError("why").code == SecAggError.code == "E_SECAGG"
    assert (str(SecAggError("why", code="E_MIN")), SecAggError.exit_code) == ("why", 22)


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def find_point(y, sign):
    """The point of the twisted Edwards curve with this y, None if there is none (RFC 8032, 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    if root * root % P != square:
        return None
    return (P - root if root % 2 != sign and root else root), y


def add_points(one, two):
    (a, b), (c, d) = one, two
    product = D * a * b * c * d % P
    return (
        (a * d + b * c) * pow(1 + product, -1, P) % P,
        (b * d + a * c) * pow(1 - product, -1, P) % P,
    )


def multiply_point(factor, point):
    total = (0, 1)
    while factor:
        if factor % 2:
            total = add_points(total, point)
        point, factor = add_points(point, point), factor // 2
    return total


def write_point(x, y):
    return (y | (x % 2) << 255).to_bytes(32, "little")


def find_torsion():
    """The points of small order, as multiples of any points by the order of the large subgroup."""
    found = set()
    for y in range(2, 60):
        point = find_point(y, 0)
        if point is not None:
            found.add(multiply_point(GROUP_ORDER, point))
    return found


TORSION = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]
"""Orders 1, 2, 4, 4, 8, 8, 8, 8 (Chalkias et al. 2020)."""
MINUS_ZERO = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
"""x is 0 and its sign bit 1: not canonical, either."""
BEYOND_THE_PRIME = [
    (y | sign << 255).to_bytes(32, "little").hex() for y in range(P, 2**255) for sign in (0, 1)
]
"""y is not reduced: all that exist."""


def test_the_points_of_small_order_are_those_that_the_curve_has():
    assert {write_point(*point).hex() for point in find_torsion()} == set(TORSION)


@pytest.mark.parametrize("text", [*TORSION, *MINUS_ZERO, *BEYOND_THE_PRIME])
def test_a_key_of_small_order_or_with_another_encoding_is_refused(text):
    public = bytes.fromhex(text)

    for read in (keys.load_verifying_key, lambda raw: keys.decode_public_key(raw.hex())):
        with pytest.raises(ProtocolError, match="small order|not canonically encoded"):
            read(public)
    # The point at 1 with the factor 0: under the key of order 1 valid for whatever is signed
    forged = bytes.fromhex(TORSION[0]) + bytes(32)
    assert not keys.is_signature_of(public, forged, b"anything")
    assert not keys.verify_signature(public, "ROSTER", b"anything", forged)


def test_openssl_takes_what_is_refused_here():
    """Once it does not, this check stays and the test may go."""
    forged = bytes.fromhex(TORSION[0]) + bytes(32)
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(TORSION[0])).verify(forged, b"anything")


def test_keys_that_are_made_are_taken():
    for number in range(200):
        private = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "little"))
        public = private.public_key().public_bytes_raw()
        assert keys.load_verifying_key(public).public_bytes_raw() == public
        assert keys.is_signature_of(public, private.sign(b"words"), b"words")
