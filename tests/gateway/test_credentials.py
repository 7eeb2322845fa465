from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.gateway import credentials
from plinth.gateway.credentials import injector, prepare, write
from plinth.kit.errors import Invalid, Temporary


def value(place: Path, deployment: str) -> str:
    found = json.loads((place / deployment / "secret.json").read_text())["resources"]
    assert [each["name"] for each in found] == [deployment]
    return str(found[0]["generic_secret"]["secret"]["inline_string"])


def test_each_deployment_has_a_private_file_and_who_left_has_none(tmp_path: Path) -> None:
    place = tmp_path / "credentials"
    write(place, {"chat.a": b"sk-a", "chat.b": b"sk-b"})
    write(place, {"chat.a": b"sk-new"})
    assert value(place, "chat.a") == "sk-new"
    assert [each.name for each in place.iterdir()] == ["chat.a"]
    for folder in (place, place / "chat.a"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (place / "chat.a" / "secret.json").stat().st_mode & 0o777 == 0o600


def test_what_stays_is_not_written_again(tmp_path: Path) -> None:
    write(tmp_path, {"chat.a": b"sk-a"})
    before = (tmp_path / "chat.a" / "secret.json").stat().st_ino
    write(tmp_path, {"chat.a": b"sk-a"})
    assert (tmp_path / "chat.a" / "secret.json").stat().st_ino == before


@pytest.mark.parametrize("bad", [b"", b"sk\n", b"a\r\nx-evil: 1", b"two words", b"\xff", b"\0"])
def test_what_cannot_stand_in_a_header_is_refused_without_being_shown(
    tmp_path: Path, bad: bytes
) -> None:
    with pytest.raises(Invalid, match=r"`chat\.b` cannot be sent") as raised:
        write(tmp_path, {"chat.a": b"sk-a", "chat.b": bad})
    assert list(tmp_path.iterdir()) == []
    assert "evil" not in str(raised.value)


def test_who_may_not_write_any_more_writes_nothing(tmp_path: Path) -> None:
    def closed() -> None:
        raise Temporary("somebody else writes")

    with pytest.raises(Temporary):
        write(tmp_path, {"chat.a": b"sk-a"}, fence=closed)
    assert not list(tmp_path.rglob("*.json"))


def test_a_file_that_is_missing_is_made_empty_and_one_that_is_there_stays(tmp_path: Path) -> None:
    write(tmp_path, {"chat.a": b"sk-a"})
    filters = [
        injector(str(tmp_path), each, header="authorization", prefix="Bearer ")
        for each in ("chat.a", "chat.b")
    ]
    options = {"typed_extension_protocol_options": {"http": {"http_filters": filters}}}
    prepare([{"name": "c", **options}, {"name": "d"}])
    assert value(tmp_path, "chat.a") == "sk-a"
    assert json.loads((tmp_path / "chat.b" / "secret.json").read_text()) == {"resources": []}


def test_the_folder_is_in_memory_only_where_nobody_else_can_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(credentials, "_SHARED_MEMORY", shared)
    monkeypatch.setattr(credentials.sys, "platform", "linux")
    gateway = tmp_path / "gateway"
    place = credentials.folder(gateway)
    assert place.parent == shared
    assert place == credentials.folder(gateway) != credentials.folder(tmp_path / "other")
    assert place.stat().st_mode & 0o777 == 0o700
    write(place, {"chat.a": b"sk-a"})
    credentials.forget(gateway)
    assert not place.exists()
    credentials.folder(gateway).chmod(0o750)
    assert credentials.folder(gateway) == gateway / "credentials"
    place.rmdir()
    place.symlink_to(tmp_path)
    assert credentials.folder(gateway) == gateway / "credentials"
    monkeypatch.setattr(credentials.sys, "platform", "darwin")
    assert credentials.folder(tmp_path / "other") == tmp_path / "other" / "credentials"
