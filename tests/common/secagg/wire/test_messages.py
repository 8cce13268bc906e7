import pytest
from hypothesis import given
from hypothesis import strategies as st
from secagg.world import COORDINATOR, VECTORS, key

from common.errors import ProtocolError
from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Ring, Segment, Vector
from common.secagg.wire.frames import MessageKind, make_room, pack, seal, sha256, unpack
from common.secagg.wire.messages import (
    Close,
    Closed,
    Contribution,
    Join,
    RoundRequest,
    VectorSpec,
    input_digest,
    read,
)
from common.secagg.wire.payload import count_payload_bytes, layout_of, read_layout, view_words

DIGEST = "ab" * 32
CLOSED = Closed(hdr=DIGEST, site=3)


def request_of(**changes):
    fields = {
        "mode": "round",
        "study": "a study",
        "plan": DIGEST,
        "roster": DIGEST,
        "phase": "train/a",
        "round": 3,
        "vectors": tuple(VectorSpec.of(vector) for vector in VECTORS),
        "model": DIGEST,
        "model_bytes": 10,
        "input": DIGEST,
        "deadline": 1_800_000_000,
    }
    return RoundRequest(**(fields | changes))


def test_message_comes_back_whole():
    payload = bytes(range(40))
    message = pack(MessageKind.CLOSED, CLOSED.body(), COORDINATOR, payload)
    frame = unpack(message)

    assert read(frame, MessageKind.CLOSED, Closed) == CLOSED
    assert bytes(frame.payload) == payload
    assert (len(message) - 40) % 16 == 0
    assert frame.is_signed_by(COORDINATOR.public_key().public_bytes_raw())
    assert not frame.is_signed_by(key("another").public_key().public_bytes_raw())


def test_message_made_in_place_is_the_same():
    payload = bytes(range(48))
    message, room = make_room(len(CLOSED.body()), 48)
    room[:] = payload
    seal(message, MessageKind.CLOSED, CLOSED.body(), COORDINATOR)

    assert message == pack(MessageKind.CLOSED, CLOSED.body(), COORDINATOR, payload)


def test_header_longer_than_its_room():
    message, _ = make_room(3, 0)

    with pytest.raises(ValueError, match="longer"):
        seal(message, MessageKind.CLOSED, CLOSED.body() * 9, COORDINATOR)


@given(st.integers(0, 231), st.integers(1, 255))
def test_altered_front_is_never_believed(at, flip):
    message = bytearray(pack(MessageKind.CLOSED, CLOSED.body(), COORDINATOR))
    at %= len(message)
    message[at] ^= flip
    try:
        frame = unpack(bytes(message))
    except ProtocolError:
        return
    assert not frame.is_signed_by(COORDINATOR.public_key().public_bytes_raw())


@given(st.binary(max_size=200))
def test_noise_is_no_message(data):
    with pytest.raises(ProtocolError):
        unpack(data)


@pytest.mark.parametrize(
    "header",
    [
        b'{"hdr":"' + DIGEST.encode() + b'","site":3,"more":1}',
        b'{"hdr":"' + DIGEST.encode() + b'"}',
        b'{"hdr":"' + DIGEST.encode() + b'","site":"3"}',
        b'{"hdr":"' + DIGEST.encode() + b'","site":0}',
        b'{"hdr":"' + DIGEST.upper().encode() + b'","site":3}',
        b'{"site":3,"hdr":"' + DIGEST.encode() + b'"}',
        b'{"hdr":"' + DIGEST.encode() + b'", "site":3}',
        b"[]",
        b"{" + b" " * 700 + b"}",
    ],
)
def test_second_spelling_is_refused(header):
    with pytest.raises(ProtocolError):
        read(unpack(pack(MessageKind.CLOSED, header, COORDINATOR)), MessageKind.CLOSED, Closed)


def test_message_of_another_kind_is_refused():
    frame = unpack(pack(MessageKind.JOIN, CLOSED.body(), COORDINATOR))

    with pytest.raises(ProtocolError, match="JOIN came where CLOSED"):
        read(frame, MessageKind.CLOSED, Closed)


def test_headers_are_small():
    contribution = Contribution(hdr=DIGEST, attempt=2, set=DIGEST, site=50, payload=DIGEST)
    join = Join(hdr=DIGEST, site=50, key=DIGEST, sets=(2**51 - 2, 2**40 - 2))
    close = Close(hdr=DIGEST, phase="x" * 40, status="aborted", result=DIGEST)

    assert max(len(header.body()) for header in (contribution, join, close)) <= 400
    assert len(request_of().body()) < 900


def test_model_and_configuration_are_not_interchangeable():
    assert input_digest(sha256(b"ab"), b"c") != input_digest(sha256(b"a"), b"bc")


SEGMENTS = Vector("bn", (2, 3), Ring.UPDATES, clip=(Segment(4, 1.0), Segment(2, 0.1)), scale_bits=20)


WIDE = Vector("running", (2, 3), Ring.REALS, clip=(Segment(6, 2.0**53),))


@pytest.mark.parametrize("vector", [*VECTORS, SEGMENTS, WIDE, Vector("empty", (0,), Ring.COUNTS)])
def test_vector_comes_back_whole(vector):
    again = VectorSpec.of(vector).vector()

    assert (again.name, again.shape, again.ring, again.segments) == (
        vector.name,
        vector.shape,
        vector.ring,
        vector.segments,
    )
    assert VectorSpec.of(again) == VectorSpec.of(vector)


@pytest.mark.parametrize(
    "changes",
    [{"clip": ((6, "nan"),)}, {"clip": ((6, "0x1p+5000"),)}, {"clip": ((5, "0x1p0"),)}, {"clip": ()}],
)
def test_impossible_vector_is_refused(changes):
    spec = VectorSpec.of(VECTORS[0]).model_copy(update=changes)

    with pytest.raises(ProtocolError, match="impossible vector"):
        spec.vector()


def test_layout_comes_back_whole_and_words_lie_where_it_says():
    layout = layout_of((*VECTORS, SEGMENTS))
    payload = bytearray(count_payload_bytes(VECTORS))
    words = view_words(VECTORS, memoryview(payload))
    for number, part in enumerate(words):
        part[:] = number + 1

    assert len(layout) % 16 == 0
    assert [VectorSpec.of(one) for one in read_layout(layout)] == [
        VectorSpec.of(one) for one in (*VECTORS, SEGMENTS)
    ]
    assert [part.size for part in words] == [vector.words for vector in VECTORS]
    assert all((part == number + 1).all() for number, part in enumerate(words))


def test_payload_of_another_length_is_refused():
    with pytest.raises(SecAggError) as refused:
        view_words(VECTORS, memoryview(bytes(count_payload_bytes(VECTORS) + 16)))

    assert refused.value.code == "S_SHAPE"
