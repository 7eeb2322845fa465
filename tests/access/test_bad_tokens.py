"""The control plane refuses every bad key for what it is, and never fails over one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from joserfc.jwk import ECKey

from plinth.access import tokens
from plinth.access.keyring import Keyring, SigningKey
from plinth.access.tokens import Claims
from plinth.kit.errors import Unauthenticated
from tests.access.bad_tokens import BAD, ODD, Maker

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RING = Keyring((SigningKey("ab12", NOW, ECKey.generate_key("P-256", private=True)),))
MAKE = Maker(RING, Claims("p_ann", "ops", "k_1", NOW + timedelta(hours=1)))


@pytest.mark.parametrize("name", [*BAD, *ODD])
def test_a_bad_key_is_refused_with_a_code_and_what_to_do(name: str) -> None:
    token = {**BAD, **ODD}[name](MAKE)
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(RING, token, NOW)
    assert caught.value.code.startswith("key_")
    assert caught.value.hint
    # What was sent is not repeated: it may be somebody's real key with one letter missing.
    assert token not in caught.value.message


def test_there_are_at_least_twenty_five_of_them() -> None:
    assert len(BAD) >= 25


def test_the_good_key_that_they_are_made_of_is_accepted() -> None:
    assert tokens.verify(RING, MAKE.good, NOW) == MAKE.claims
