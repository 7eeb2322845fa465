"""Which Plinth and which key: the environment's, else this machine's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from plinth.cli.session import connect, open_home
from plinth.kit.errors import NotFound, Temporary


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLINTH_HOME", str(tmp_path))
    (tmp_path / "node.json").write_text(json.dumps({"address": "http://127.0.0.1:8470"}))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "admin.token").write_text("plk_admin\n")
    return tmp_path


def key_of(home: Path | None = None) -> tuple[str, str]:
    with connect(home) as client:
        return client.address, client._http.headers["authorization"]


def test_this_machines_own_with_its_administrators_key(home: Path) -> None:
    assert key_of() == ("http://127.0.0.1:8470", "Bearer plk_admin")
    assert open_home(None).root == home


def test_the_environment_names_another(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLINTH_ADDRESS", "http://127.0.0.1:9000/")
    monkeypatch.setenv("PLINTH_KEY", " plk_mine\n")
    assert key_of() == ("http://127.0.0.1:9000", "Bearer plk_mine")


def test_the_folder_that_is_named_wins(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with pytest.raises(Temporary, match=str(other)) as caught:
        connect(other)
    assert caught.value.code == "not_running"


def test_no_key_is_said_with_how_to_get_one(home: Path) -> None:
    (home / "secrets" / "admin.token").unlink()
    with pytest.raises(NotFound, match="there is no key") as caught:
        connect()
    assert "plinth keys create" in (caught.value.hint or "")


def test_the_key_of_another_user_is_said(home: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root reads every file")
    (home / "secrets" / "admin.token").chmod(0)
    with pytest.raises(NotFound, match="another user's"):
        connect()
