"""Many files become one version when all were sent and are alike, or are taken as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from plinth.control.many_files import FileList, NamedFile, keep_file, make_version, missing_of
from plinth.kit.errors import Invalid
from tests.control.plane import TEAM, Plane


def send(plane: Plane, name: str, text: str) -> NamedFile:
    path = Path(plane.home.root / "sent")
    path.write_text(text)
    file = NamedFile(name=name, digest=hashlib.sha256(text.encode()).hexdigest())
    keep_file(plane.context, TEAM, file, path)
    return file


def test_files_that_were_sent_are_not_missing(plane: Plane) -> None:
    file = send(plane, "a.csv", "x\n1\n")
    other = NamedFile(name="b.csv", digest="0" * 64)
    assert missing_of(plane.context, TEAM, [file, other]) == ["0" * 64]
    # Read as another format, the same bytes were not looked into.
    renamed = NamedFile(name="a.jsonl", digest=file.digest)
    assert missing_of(plane.context, TEAM, [renamed]) == [file.digest]
    with pytest.raises(Invalid, match=r"`b.csv` .* was not sent"):
        make_version(plane.context, TEAM, "d", FileList(files=(file, other)))


def test_a_file_with_other_columns_is_named_with_its_place(plane: Plane) -> None:
    files = [send(plane, f"{number:02d}.csv", f"x,y\n{number},2\n") for number in range(1, 17)]
    files.append(send(plane, "17.csv", "x,z\n1,2\n"))
    wanted = FileList(files=tuple(files))
    said = r"file 17 of 17, `17.csv`: it has no column `y`; it has `z`, which the first"
    with pytest.raises(Invalid, match=said):
        make_version(plane.context, TEAM, "d", wanted)
    data, table = make_version(plane.context, TEAM, "d", wanted.model_copy(update={"as_is": True}))
    assert (data.file_name, table.rows) == ("files.json", 17)


def test_empty_files_and_broken_lines_are_taken_only_as_they_are(plane: Plane) -> None:
    good, empty = send(plane, "a.csv", "x\n1\n"), send(plane, "b.csv", "")
    broken = send(plane, "c.csv", "x\n1\n2,3\n")
    for bad, why in ((empty, "is empty"), (broken, "cannot be read as csv")):
        wanted = FileList(files=(good, bad))
        with pytest.raises(Invalid, match=why):
            make_version(plane.context, TEAM, "d", wanted)
        make_version(plane.context, TEAM, "d", wanted.model_copy(update={"as_is": True}))


def test_rows_of_a_file_with_a_broken_line_are_counted(plane: Plane) -> None:
    csv = send(plane, "a.csv", 'x,y\n1,2\n3\n"4\n5",6\n')
    lines = send(plane, "b.jsonl", '{"x": 1}\nnone\n\n{"x": 2}\n')
    wanted = FileList(files=(csv, lines), as_is=True)
    _, table = make_version(plane.context, TEAM, "d", wanted)
    assert (table.rows, [column.name for column in table.columns]) == (6, ["x", "y"])


def test_a_damaged_parquet_file_is_refused_at_once(plane: Plane) -> None:
    with pytest.raises(Invalid, match="cannot be read as parquet"):
        send(plane, "a.parquet", "PAR1 and nothing")


def test_two_files_of_one_name_are_refused(plane: Plane) -> None:
    file = send(plane, "a.csv", "x\n1\n")
    with pytest.raises(Invalid, match=r"two files are called `a.csv`"):
        make_version(plane.context, TEAM, "d", FileList(files=(file, file)))


def test_a_file_whose_name_is_a_folder_of_another_is_refused(plane: Plane) -> None:
    file, below = send(plane, "a.csv", "x\n1\n"), send(plane, "a.csv/b.csv", "x\n1\n")
    with pytest.raises(Invalid, match=r"`a.csv` is a file and a folder"):
        make_version(plane.context, TEAM, "d", FileList(files=(file, below)))
