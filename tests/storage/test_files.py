"""Files are stored whole under their key, on a local folder and elsewhere alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plinth.kit.errors import Invalid, NotFound, Temporary
from plinth.storage.files import Storage


@pytest.fixture(params=["file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "file":
        return Storage(f"file://{tmp_path}/store")
    return Storage(f"memory://{tmp_path.name}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"some bytes")
    return path


def test_what_was_put_can_be_opened(storage: Storage, source: Path) -> None:
    assert not storage.exists("data/ab/cd.parquet")
    uri = storage.put_file(source, "data/ab/cd.parquet")
    assert uri == storage.uri("data/ab/cd.parquet")
    assert storage.exists("data/ab/cd.parquet")
    with storage.open("data/ab/cd.parquet") as stream:
        assert stream.read() == b"some bytes"


def test_a_key_that_exists_is_left_as_it_is(storage: Storage, source: Path) -> None:
    storage.put_file(source, "key")
    source.write_bytes(b"other")
    storage.put_file(source, "key")
    with storage.open("key") as stream:
        assert stream.read() == b"some bytes"


def test_deleting_is_idempotent(storage: Storage, source: Path) -> None:
    storage.put_file(source, "key")
    storage.delete("key")
    storage.delete("key")
    assert not storage.exists("key")
    with pytest.raises(NotFound):
        storage.open("key")


@pytest.mark.parametrize("key", ["", "/etc", "../x", "a/../b", "a//b", ".hidden", "a b", "a\0"])
def test_keys_cannot_leave_the_root(storage: Storage, source: Path, key: str) -> None:
    for use in (storage.uri, storage.exists, storage.delete, storage.local_path):
        with pytest.raises(Invalid, match="storage key"):
            use(key)
    with pytest.raises(Invalid, match="storage key"):
        storage.put_file(source, key)


def test_a_local_folder_gives_paths_and_private_files(tmp_path: Path, source: Path) -> None:
    storage = Storage(f"file://{tmp_path}/a b")
    storage.put_file(source, "key")
    path = storage.local_path("key")
    assert path == tmp_path / "a b" / "key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["key"]


def test_other_places_have_no_local_path() -> None:
    assert Storage("memory://x").local_path("key") is None


def test_a_failed_put_leaves_nothing_behind(tmp_path: Path, source: Path) -> None:
    storage = Storage(f"file://{tmp_path}/store")
    source.unlink()
    with pytest.raises(Temporary, match="No such file"):
        storage.put_file(source, "key")
    assert os.listdir(tmp_path / "store") == []


def test_a_relative_root_is_refused() -> None:
    with pytest.raises(Invalid, match="local folder"):
        Storage("file://relative/folder")
