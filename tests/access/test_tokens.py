from __future__ import annotations

import base64
import hmac
import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey

from plinth.access import keyring, tokens
from plinth.access.keyring import Keyring, SigningKey
from plinth.access.tokens import Claims
from plinth.domain.base import TEAM_LENGTH
from plinth.kit.errors import Unauthenticated

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RING = Keyring((SigningKey("ab12", NOW, ECKey.generate_key("P-256", private=True)),))
CLAIMS = Claims("p_" + "a" * 10, "ops", "k_" + "b" * 8, NOW + timedelta(hours=1))
_NAME = st.text(string.ascii_lowercase + string.digits + "-", min_size=1)


def refusal(token: str, now: datetime = NOW, ring: Keyring = RING) -> str:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(ring, token, now)
    assert caught.value.status == 401
    return caught.value.code


@pytest.mark.parametrize("is_run", [False, True])
def test_a_key_says_what_it_was_made_to_say(is_run: bool) -> None:
    claims = replace(CLAIMS, is_run=is_run)
    assert tokens.verify(RING, tokens.mint(RING, claims), NOW) == claims


@given(
    principal=st.text(string.ascii_lowercase + string.digits, min_size=10, max_size=10),
    team=st.text(string.ascii_lowercase + "-", min_size=TEAM_LENGTH, max_size=TEAM_LENGTH),
    key=st.text(string.ascii_lowercase + string.digits, min_size=8, max_size=8),
    end=st.datetimes(datetime(2026, 11, 23), datetime(2286, 1, 1)).map(
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    ),
    is_run=st.booleans(),
)
def test_the_longest_names_fit_into_255_characters(
    principal: str, team: str, key: str, end: datetime, is_run: bool
) -> None:
    claims = Claims(f"p_{principal}", team, f"k_{key}", end, is_run)
    token = tokens.mint(RING, claims)
    assert len(token) <= tokens.LONGEST_KEY
    assert tokens.verify(RING, token, NOW) == claims


def test_a_key_that_would_be_too_long_is_not_made() -> None:
    with pytest.raises(ValueError, match="at most 255"):
        tokens.mint(RING, Claims("p_" + "a" * 40, "t" * 24, "k_" + "b" * 8, NOW))


def test_a_key_expires_after_ten_seconds_of_skew() -> None:
    token = tokens.mint(RING, CLAIMS)
    end = CLAIMS.expires_at
    assert tokens.verify(RING, token, end + timedelta(seconds=10)) == CLAIMS
    assert refusal(token, end + timedelta(seconds=11)) == "key_expired"


@given(position=st.integers(0, 400), other=st.sampled_from(string.ascii_letters + string.digits))
def test_a_changed_key_is_never_accepted(position: int, other: str) -> None:
    token = tokens.mint(RING, CLAIMS)
    # The last character of a segment carries bits that base64 ignores.
    at = position % (len(token) - 1)
    changed = token[:at] + other + token[at + 1 :]
    if changed == token or token[at + 1] == ".":
        return
    assert refusal(changed).startswith("key_")


def test_anothers_signature_under_our_name_is_forged() -> None:
    stranger = Keyring((SigningKey("ab12", NOW, ECKey.generate_key("P-256", private=True)),))
    assert refusal(tokens.mint(stranger, CLAIMS)) == "key_forged"


def test_a_signer_that_was_rotated_out_is_named(tmp_path: Path) -> None:
    old = keyring.ensure(tmp_path, NOW)
    token = tokens.mint(old, CLAIMS)
    between = keyring.rotate(tmp_path, NOW + timedelta(minutes=1))
    assert tokens.verify(between, token, NOW) == CLAIMS
    after = keyring.rotate(tmp_path, NOW + timedelta(minutes=2))
    assert refusal(token, ring=after) == "key_unknown_signer"


def _with_header(header: dict[str, str]) -> str:
    _, _, rest = tokens.mint(RING, CLAIMS).removeprefix("plk_").partition(".")
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"plk_{head}.{rest}"


@pytest.mark.parametrize(
    "token",
    ["", "plk_", "plk_a.b.c", "sk-something", "plk_" + "a" * 300, "plk_eyJ9.e30.", "plk_é.e.f"],
)
def test_what_is_no_key_is_malformed(token: str) -> None:
    assert refusal(token) == "key_malformed"


def test_a_key_without_our_prefix_is_malformed() -> None:
    assert refusal(tokens.mint(RING, CLAIMS).removeprefix("plk_")) == "key_malformed"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES384"])
def test_only_our_algorithm_is_accepted(algorithm: str) -> None:
    assert refusal(_with_header({"alg": algorithm, "kid": "ab12"})) in (
        "key_malformed",
        "key_forged",
    )


def test_the_public_key_does_not_pass_as_a_shared_secret() -> None:
    head, body, _ = _with_header({"alg": "HS256", "kid": "ab12"}).removeprefix("plk_").split(".")
    secret = RING.current.key.as_pem(private=False)
    seal = hmac.digest(secret, f"{head}.{body}".encode(), "sha256")
    signature = base64.urlsafe_b64encode(seal).rstrip(b"=").decode()
    assert refusal(f"plk_{head}.{body}.{signature}") == "key_malformed"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "p", "t": "x", "jti": "k"},
        {"sub": "", "t": "x", "jti": "k", "exp": 1},
        {"sub": "p", "run": [], "t": "x", "jti": "k", "exp": 1},
    ],
)
def test_a_signed_token_without_our_claims_is_malformed(claims: dict[str, object]) -> None:
    header = {"alg": "ES256", "kid": "ab12"}
    assert refusal("plk_" + jwt.encode(header, claims, RING.current.key)) == "key_malformed"
