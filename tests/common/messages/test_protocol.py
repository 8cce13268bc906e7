import contextlib
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from common.errors import NonFiniteError, ProtocolError
from common.messages.catalogue import Operation
from common.messages.headers import Caption, ReplyHeader, RequestHeader
from common.messages.protocol import (
    FEW_BYTES,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    from_record,
    to_record,
)
from common.runtime.front_room import make_behind_room
from common.secagg.wire.frames import make_room
from common.stats.contract import Summary

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
HEADER = RequestHeader(
    operation=Operation.TRAIN, plan_hash="ab" * 32, site="a", model="m", arm="federated", round=3
)


def a_request():
    return Request(HEADER, np.array([1.5, -2.0, 0.0], dtype=np.float32))


def a_reply():
    return Reply(
        ReplyHeader(site="a", captions=(Caption(outcome=True, score=0.25),)),
        Summary(
            {"n": np.array(3), "table": np.arange(6).reshape(2, 3)},
            {"loss": np.array(0.5)},
            {"delta": np.array([1, 2], dtype=np.float32)},
        ),
        np.array([9, 8], dtype=np.float32),
        (np.array([1, 2, 3], dtype=np.uint8), np.array([4], dtype=np.uint8)),
    )


def test_a_request_arrives_as_it_was_sent():
    received = decode_request(encode_request(a_request(), KEY), KEY.public_key())

    assert received.header == HEADER.model_copy(update={"has_weights": True})
    np.testing.assert_array_equal(received.weights, [1.5, -2.0, 0.0])


def test_a_reply_arrives_as_it_was_sent():
    received = decode_reply(encode_reply(a_reply()))

    assert received.header == a_reply().header
    assert received.summary.counts["n"] == 3
    assert received.summary.counts["n"].shape == ()
    np.testing.assert_array_equal(received.summary.counts["table"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(received.summary.updates["delta"], [1, 2])
    assert [picture.tolist() for picture in received.pictures] == [[1, 2, 3], [4]]
    np.testing.assert_array_equal(received.weights, [9, 8])


def test_a_request_that_another_key_signed_is_refused():
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))

    with pytest.raises(ProtocolError, match="did not sign"):
        decode_request(encode_request(a_request(), other), KEY.public_key())


@given(st.data())
def test_any_altered_byte_of_a_request_is_refused(data):
    message = bytearray(encode_request(a_request(), KEY))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ProtocolError):
        decode_request(bytes(message), KEY.public_key())


@given(st.integers(0, 200))
def test_a_truncated_reply_is_refused_whatever_is_missing(keep):
    message = encode_reply(a_reply())

    with pytest.raises(ProtocolError):
        decode_reply(message[: keep % (len(message) - 1)])


@given(st.data())
def test_an_altered_reply_is_read_or_refused_but_never_crashes(data):
    message = bytearray(encode_reply(a_reply()))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))

    with contextlib.suppress(ProtocolError, NonFiniteError):
        decode_reply(bytes(message))


# Public parameters


ASKED = HEADER.model_copy(update={"operation": Operation.SCORE})
PARAMETERS = {
    "asked": np.array([[True, False], [False, True]]),
    "columns": np.array([[0, -1], [1, 2]]),
    "thresholds": np.array([0.5, 0.25, 1e-300]),
}


def signed(header, arrays):
    """A request as a coordinator would sign it that runs other software than ours."""
    text = json.dumps(header.model_dump(mode="json"))
    body = safetensors.numpy.save(arrays, metadata={"header": text})
    start = 8 + int.from_bytes(body[:8], "little")
    parts = (hashlib.sha256(part).digest() for part in (body[:start], body[start:]))
    digest = hashlib.sha256(b"rhe/request/2\x00" + b"".join(parts)).digest()
    return KEY.sign(digest) + body


def test_parameters_arrive_as_they_were_sent_and_are_announced():
    request = Request(ASKED, None, PARAMETERS)

    received = decode_request(encode_request(request, KEY), KEY.public_key())

    assert received.header.parameters == ("asked", "columns", "thresholds")
    assert received.parameters.keys() == PARAMETERS.keys()
    for name, array in PARAMETERS.items():
        assert received.parameters[name].dtype == array.dtype
        np.testing.assert_array_equal(received.parameters[name], array)


def test_other_software_that_keeps_to_the_format_is_understood():
    header = ASKED.model_copy(update={"parameters": ("x",)})

    received = decode_request(signed(header, {"parameters/x": np.ones(2)}), KEY.public_key())

    np.testing.assert_array_equal(received.parameters["x"], [1, 1])


@pytest.mark.parametrize(
    ("announced", "arrays"),
    [
        ((), {"parameters/x": np.ones(2)}),
        (("x",), {}),
        (("x",), {"parameters/y": np.ones(2)}),
        (("x",), {"parameters/x": np.ones(2), "parameters/y": np.ones(2)}),
        (("x",), {"x": np.ones(2)}),
        ((), {"weights": np.ones(2, dtype=np.float32)}),
    ],
)
def test_arrays_that_the_header_does_not_announce_are_refused_though_signed(announced, arrays):
    header = ASKED.model_copy(update={"parameters": announced})

    with pytest.raises(ProtocolError, match="does not announce"):
        decode_request(signed(header, arrays), KEY.public_key())


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.5, np.nan]),
        np.array([np.inf]),
        np.array([-np.inf]),
        np.array([0.5], dtype=np.float32),
        np.array([1], dtype=np.int32),
        np.array([1], dtype=np.uint8),
    ],
    ids=lambda array: f"{array.dtype}-{array[-1]}",
)
def test_parameters_that_are_not_finite_or_of_another_type_are_refused(array):
    message = encode_request(Request(ASKED, None, {"x": array}), KEY)

    with pytest.raises(ProtocolError, match="finite float64, int64 or bool, not"):
        decode_request(message, KEY.public_key())


@given(st.data())
def test_any_altered_byte_of_the_parameters_is_refused(data):
    message = bytearray(encode_request(Request(ASKED, None, PARAMETERS), KEY))
    arrays = sum(array.nbytes for array in PARAMETERS.values())
    message[-data.draw(st.integers(1, arrays))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(ProtocolError, match="did not sign"):
        decode_request(bytes(message), KEY.public_key())


def test_an_unknown_operation_cannot_be_asked():
    with pytest.raises(ValueError, match="operation"):
        RequestHeader.model_validate({"operation": "send-everything", "plan_hash": "ab" * 32, "site": "a"})


def test_a_reply_with_an_array_of_an_unknown_kind_is_refused():
    body = safetensors.numpy.save(
        {"rows/patients": np.zeros(3)}, metadata={"header": '{"site":"a","code":"OK"}'}
    )

    with pytest.raises(ProtocolError, match="rows/patients"):
        decode_reply(body)


def test_flower_carries_the_bytes_unchanged():
    body = encode_reply(a_reply())

    assert from_record(to_record(body)) == body


@pytest.mark.parametrize(("size", "objects"), [(0, 2), (1, 2), (FEW_BYTES, 2), (FEW_BYTES + 1, 4)])
def test_few_bytes_take_two_objects_within_the_message(size, objects):
    """Contract with Flower, which sends each object by itself."""
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

    record = to_record(memoryview(bytes(size)))

    assert from_record(record) == bytes(size)
    assert len(get_all_nested_objects(record)) == objects


@pytest.mark.parametrize("value", ["text", 7, 1.5, [b"a", b"b"]])
def test_a_record_with_anything_but_bytes_is_refused(value):
    from flwr.app import ConfigRecord, RecordDict

    with pytest.raises(ProtocolError, match="no bytes"):
        from_record(RecordDict({"message": ConfigRecord({"message": value})}))


def test_a_record_of_somebody_else_is_refused():
    from flwr.app import ConfigRecord, RecordDict

    with pytest.raises(ProtocolError, match="other"):
        from_record(RecordDict({"other": ConfigRecord({"a": 1})}))


def test_large_parts_of_an_answer_are_not_copied():
    update = make_behind_room(1 << 18, np.float32)
    update[:] = np.arange(1 << 18)
    summary = Summary({"n": np.array(3)}, {"loss": np.array(0.5)}, {"delta": update})
    reply = Reply(ReplyHeader(site="a"), summary)
    plain = replace(reply, summary=replace(summary, updates={"delta": update.copy()}))

    body = encode_reply(reply)

    assert bytes(body) == encode_reply(plain)
    assert np.shares_memory(np.frombuffer(body, np.uint8), update)
    assert np.shares_memory(decode_reply(body).summary.updates["delta"], update)


def test_a_sealed_message_travels_where_it_was_made():
    message, payload = make_room(5, 1 << 20)
    payload[:3] = b"sum"
    reply = Reply(ReplyHeader(site="a"), sealed=np.frombuffer(message, dtype=np.uint8))

    body = from_record(to_record(encode_reply(reply)))

    assert np.shares_memory(np.frombuffer(body, np.uint8), np.frombuffer(payload, np.uint8))
    assert bytes(body).endswith(bytes(message))
    assert decode_reply(body).sealed.tobytes() == bytes(message)
