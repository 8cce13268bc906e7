import contextlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from common.errors import NonFiniteError, ProtocolError
from common.headers import Caption, Operation, ReplyHeader, RequestHeader
from common.protocol import (
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    from_record,
    to_record,
)
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


def test_an_unknown_operation_cannot_be_asked():
    with pytest.raises(ValueError, match="operation"):
        RequestHeader.model_validate({"operation": "send-everything", "plan_hash": "ab" * 32, "site": "a"})


def test_a_reply_with_an_array_of_an_unknown_kind_is_refused():
    import safetensors.numpy

    body = safetensors.numpy.save(
        {"rows/patients": np.zeros(3)}, metadata={"header": '{"site":"a","code":"OK"}'}
    )

    with pytest.raises(ProtocolError, match="rows/patients"):
        decode_reply(body)


def test_flower_carries_the_bytes_unchanged():
    body = encode_reply(a_reply())

    assert from_record(to_record(body)) == body


def test_a_record_of_somebody_else_is_refused():
    from flwr.app import ConfigRecord, RecordDict

    with pytest.raises(ProtocolError, match="other"):
        from_record(RecordDict({"other": ConfigRecord({"a": 1})}))
