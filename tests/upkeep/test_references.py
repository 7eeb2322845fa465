"""The files that rows of the store point to."""

from __future__ import annotations

from pathlib import Path

from plinth.kit.home import Home
from plinth.upkeep.references import needed_files, storage_roots
from tests.control.openai_batches.batches import put
from tests.upkeep.stand import full_home


def test_data_and_code_are_named_once_each() -> None:
    with full_home() as plane:
        names = needed_files(plane.home, plane.home.database)
        assert len(names) == 3
        assert all((plane.home.root / name).is_file() for name in names)


def test_files_elsewhere_are_left_out() -> None:
    with full_home() as plane:
        with plane.write() as connection:
            connection.exec_driver_sql("update data_version set uri = 's3://bucket/x'")
        names = needed_files(plane.home, plane.home.database)
        assert [name.split("/")[1] for name in names] == ["code", "diffs"]


def test_files_of_openais_api_are_named() -> None:
    with full_home() as plane:
        file = put(plane, b"{}\n")
        names = needed_files(plane.home, plane.home.database)
        assert f"storage/files/{file.team}/{file.id}/content" in names


def test_a_folder_with_odd_characters_is_known_in_both_forms() -> None:
    assert storage_roots(Home(Path("/a"))) == ("file:///a/storage",)
    assert storage_roots(Home(Path("/a b"))) == ("file:///a b/storage", "file:///a%20b/storage")
