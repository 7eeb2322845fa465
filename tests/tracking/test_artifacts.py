"""Names that a stranger gave to artifacts never lead out of the folder."""

from __future__ import annotations

import pytest

from plinth.kit.errors import Invalid
from plinth.tracking.artifacts import checked_name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "a\0", "a\n"])
def test_names_that_are_not_plain_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="plain names"):
        checked_name(name)


@pytest.mark.parametrize("name", ["MLmodel", "model.skops", "..a", "größe.bin"])
def test_plain_names_are_kept(name: str) -> None:
    assert checked_name(name) == name
