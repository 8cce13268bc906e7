"""Where a state is kept, and what is said where it cannot be."""

from __future__ import annotations

import pytest

from client.membership.places import suggest_state
from common.errors import StorageError
from common.runtime.storage import make_private_folder


def test_where_the_folder_is_read_only_the_option_is_named(tmp_path):
    (tmp_path / "a").write_text("a file in the way, for root may write everywhere")
    with pytest.raises(StorageError, match="cannot be made .* --state DIR$"), suggest_state(None):
        make_private_folder(tmp_path / "a" / ".rhe")
    with pytest.raises(StorageError) as chosen, suggest_state(tmp_path):
        make_private_folder(tmp_path / "a" / ".rhe")
    assert "--state" not in str(chosen.value)
