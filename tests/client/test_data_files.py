"""Files are found by paths and patterns, and sent once each."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.client.data_files import FoundFile, find_files, send_files
from plinth.kit.errors import Invalid
from tests.api.service import TEAM, Service
from tests.client.connection import connect


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.csv", "b.csv", "deep/c.csv", ".hidden.csv", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"x\n{len(name)}\n")
    return tmp_path


def names(found: list[FoundFile]) -> list[str]:
    return [each.name for each in found]


def test_patterns_are_relative_and_hidden_files_are_left_out(folder: Path) -> None:
    assert names(find_files(["*.csv"], folder)) == ["a.csv", "b.csv"]
    assert names(find_files(["**/*.csv"], folder)) == ["a.csv", "b.csv", "deep/c.csv"]
    assert names(find_files([f"{folder}/deep/*.csv", "a.csv"], folder)) == ["a.csv", "deep/c.csv"]


def test_a_file_is_found_by_its_name_whatever_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").touch()
    assert names(find_files(["a[1].csv"], tmp_path)) == ["a[1].csv"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("z*.csv", "no file matches"), ("z.csv", "is not a file"), ("notes.txt", "no data file")],
)
def test_what_is_no_data_is_said(folder: Path, pattern: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        find_files([pattern], folder)


def test_files_are_sent_once_and_are_the_version_they_were(folder: Path, service: Service) -> None:
    client = connect(service, service.admin)
    files = find_files(["**/*.csv"], folder)
    told: list[tuple[int, int]] = []
    made = send_files(client, "rows", files, team=TEAM, told=lambda *seen: told.append(seen))
    assert (made["version"], made["rows"], made["added"]) == (1, 3, True)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert send_files(client, "rows", files, team=TEAM)["added"] is False
    shown = client.data_version("rows", version=None, team=TEAM)
    assert [each["name"] for each in shown["files"]] == ["a.csv", "b.csv", "deep/c.csv"]


def test_the_same_bytes_are_sent_for_each_ending(tmp_path: Path, service: Service) -> None:
    for name in ("a.csv", "b.jsonl", "c 1.csv"):
        (tmp_path / name).touch()
    client = connect(service, service.admin)
    made = send_files(client, "none", find_files(["*"], tmp_path), team=TEAM, as_is=True)
    assert made["version"] == 1


def test_a_file_that_disappears_meanwhile_is_named(folder: Path, service: Service) -> None:
    files = find_files(["*.csv"], folder)
    files[1].path.unlink()
    with pytest.raises(Invalid, match=r"b.csv` cannot be read"):
        send_files(connect(service, service.admin), "rows", files, team=TEAM)
