"""What a site signs of a model is that model of that study, and no other."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.messages.endorsement import ModelStatement, digest_content

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
WEIGHTS = np.array([1.5, -2.0], dtype=np.float32)
STATEMENT = ModelStatement("a" * 64, "b" * 64, "m", "federated", digest_content(WEIGHTS, {}))


def test_an_endorsement_is_of_its_statement_site_and_key():
    signed = STATEMENT.sign(KEY, "a")

    assert STATEMENT.is_signed_in(signed, PUBLIC)
    assert STATEMENT.sign(KEY, "a") == signed
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    assert not STATEMENT.is_signed_in(signed, other)
    for changes in ({"site": "b"}, {"missed": True}):
        assert not STATEMENT.is_signed_in(signed.model_copy(update=changes), PUBLIC)


@pytest.mark.parametrize("field", ["plan", "roster", "model", "arm", "content"])
def test_an_endorsement_of_one_model_is_of_no_other(field):
    signed = STATEMENT.sign(KEY, "a")

    assert not replace(STATEMENT, **{field: "c" * 64}).is_signed_in(signed, PUBLIC)


CONTENTS = {
    "weights": (WEIGHTS, {}, (), 3),
    "another round": (WEIGHTS, {}, (), 4),
    "the last bit": (np.nextafter(WEIGHTS, np.float32(9)), {}, (), 3),
    "no weights": (None, {}, (), 3),
    "empty weights": (np.empty(0, dtype=np.float32), {}, (), 3),
    "coefficients": (None, {"coefficients": np.array([1.0, 2.0])}, (("age",),), 0),
    "another covariate": (None, {"coefficients": np.array([1.0, 2.0])}, (("inr",),), 0),
    "another name": (None, {"estimated": np.array([1.0, 2.0])}, (("age",),), 0),
    "another type": (None, {"coefficients": np.array([1.0, 2.0]).view(np.int64)}, (("age",),), 0),
    "another shape": (None, {"coefficients": np.array([[1.0, 2.0]])}, (("age",),), 0),
    "divided": (None, {"a": np.array([1.0]), "b": np.array([2.0])}, (("age",),), 0),
}


def test_contents_that_differ_in_anything_differ():
    digests = {name: digest_content(*content) for name, content in CONTENTS.items()}

    assert len(set(digests.values())) == len(CONTENTS)
    assert digests == {name: digest_content(*content) for name, content in CONTENTS.items()}
