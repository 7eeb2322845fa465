"""Data versions of many files: kept once by digest, gathered under their own names."""

from __future__ import annotations

import pytest

from plinth.control.data_folder import (
    check_file_name,
    content_key,
    digest_of_files,
    files_of,
    find_local,
)
from plinth.domain.model import DataFile
from plinth.kit.errors import Invalid, Permanent
from tests.control.batches.batch_case import add_files
from tests.control.plane import TEAM, Plane


def test_a_version_of_many_files_is_gathered_under_their_names(plane: Plane) -> None:
    version = add_files(plane, a="x\n1\n", b="x\n2\n3\n")
    assert (version.rows, version.file_name) == (3, "files.json")
    assert [each.rows for each in files_of(plane.context, version)] == [1, 2]
    found = find_local(plane.context, version)
    assert sorted(path.name for path in found.path.iterdir()) == ["a.csv", "b.csv"]
    assert (found.path / "b.csv").read_text() == "x\n2\n3\n"
    assert find_local(plane.context, version) == found


def test_a_file_that_the_storage_lost_is_named(plane: Plane) -> None:
    version = add_files(plane, a="x\n1\n")
    digest = files_of(plane.context, version)[0].digest
    plane.context.storage.delete(content_key(TEAM, digest))
    with pytest.raises(Permanent, match=r"`a.csv` of rows@1 is not in the storage"):
        find_local(plane.context, version)
    assert not list((plane.home.data / TEAM).glob(version.digest))


@pytest.mark.parametrize(
    "name",
    ["../x.csv", "/x.csv", "a//x.csv", ".x.csv", "a/.x", "x\ny.csv", "", "x ", "x.", "\u202ex"],
)
def test_a_name_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is not accepted"):
        check_file_name(name)


def test_folders_within_a_version_are_accepted() -> None:
    for name in ("month=1/part-0.parquet", "Sales 2024 (new).csv", "Übung/数据.csv"):
        assert check_file_name(name) == name


def test_the_digest_is_of_names_and_contents_in_order() -> None:
    one, two = (
        DataFile(name="a", digest="1", size_bytes=1),
        DataFile(name="b", digest="2", size_bytes=1),
    )
    assert digest_of_files((one, two)) != digest_of_files((two, one))
    assert digest_of_files((one,)) != digest_of_files((one.model_copy(update={"name": "c"}),))
