from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plinth.access import keyring
from plinth.kit.errors import Permanent

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def test_ensure_makes_one_private_key_and_keeps_it(tmp_path: Path) -> None:
    first = keyring.ensure(tmp_path, NOW)
    second = keyring.ensure(tmp_path, NOW + timedelta(days=1))
    files = list((tmp_path / "signing").glob("*.json"))
    assert len(files) == 1
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert first.current.kid == second.current.kid == files[0].stem


def test_rotating_keeps_the_new_key_and_the_one_before(tmp_path: Path) -> None:
    first = keyring.ensure(tmp_path, NOW)
    second = keyring.rotate(tmp_path, NOW + timedelta(days=1))
    third = keyring.rotate(tmp_path, NOW + timedelta(days=2))
    assert second.find(first.current.kid) is not None
    assert third.find(first.current.kid) is None
    assert [key.kid for key in third.keys] == [third.current.kid, second.current.kid]
    assert len(list((tmp_path / "signing").glob("*.json"))) == keyring.LIVE_KEYS


def test_public_jwks_says_nothing_private_and_does_not_depend_on_order(tmp_path: Path) -> None:
    keyring.ensure(tmp_path, NOW)
    ring = keyring.rotate(tmp_path, NOW + timedelta(days=1))
    keys = json.loads(ring.public_jwks())["keys"]
    assert {key["kid"] for key in keys} == {key.kid for key in ring.keys}
    assert all("d" not in key and key["alg"] == "ES256" for key in keys)
    assert keyring.Keyring(tuple(reversed(ring.keys))).public_jwks() == ring.public_jwks()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    kid = keyring.ensure(tmp_path, NOW).current.kid
    (tmp_path / "signing" / f"{kid}.json").chmod(mode)
    with pytest.raises(Permanent, match="others can read it") as caught:
        keyring.load(tmp_path)
    assert caught.value.hint is not None
    assert "chmod 600" in caught.value.hint


def test_a_missing_or_broken_key_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no signing key"):
        keyring.load(tmp_path)
    kid = keyring.ensure(tmp_path, NOW).current.kid
    path = tmp_path / "signing" / f"{kid}.json"
    path.write_text("{half")
    with pytest.raises(Permanent, match="cannot be read"):
        keyring.load(tmp_path)


def test_a_public_key_in_the_place_of_a_private_one_is_refused(tmp_path: Path) -> None:
    kid = keyring.ensure(tmp_path, NOW).current.kid
    path = tmp_path / "signing" / f"{kid}.json"
    value = json.loads(path.read_text())
    del value["key"]["d"]
    path.write_text(json.dumps(value))
    with pytest.raises(Permanent, match="not the private key"):
        keyring.load(tmp_path)
