"""A backup's file: whole or refused, and nothing from it lands outside of the new home."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.errors import Conflict, Invalid, Temporary
from plinth.kit.ids import digest_of
from plinth.upkeep.archive import FORMAT, HEAD, ArchiveReader, ArchiveWriter
from tests.upkeep.stand import members, write_archive

CONTENTS = {
    "db/plinth.db": b"rows",
    "storage/data/x/f.csv": b"a,b\n" * 1000,
    "mlflow/artifacts/\u00fc/MLmodel": b"",
    f"storage/{'x/' * 80}deep": b"deep",
    "node.json": b"{}",
}


def write(file: Path, contents: dict[str, bytes], **facts: Any) -> dict[str, Any]:
    with file.open("wb") as stream:
        writer = ArchiveWriter(stream, {"plinth": "0.1.0", "schema": "0004"})
        for name, content in contents.items():
            writer.add(name, io.BytesIO(content), len(content))
        return writer.finish(facts)


def extract(file: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    with ArchiveReader(file) as archive:
        return archive.extract(folder, lambda _size: None)


def test_what_was_written_comes_back_private(tmp_path: Path) -> None:
    manifest = write(tmp_path / "b.tar", CONTENTS, home="/h")
    assert extract(tmp_path / "b.tar", tmp_path / "out") == manifest
    assert (manifest["format"], manifest["home"]) == (FORMAT, "/h")
    for name, content in CONTENTS.items():
        path = tmp_path / "out" / name
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o600
        assert manifest["members"][name] == [len(content), digest_of(content)]


def test_any_tar_can_list_it(tmp_path: Path) -> None:
    write(tmp_path / "b.tar", CONTENTS)
    with tarfile.open(tmp_path / "b.tar") as archive:
        names = archive.getnames()
    assert names[0] == HEAD
    assert names[1:-1] == list(CONTENTS)
    assert names[-1].startswith("manifest-")


def test_a_source_that_is_cut_meanwhile_is_an_error_that_passes(tmp_path: Path) -> None:
    with (tmp_path / "b.tar").open("wb") as stream:
        writer = ArchiveWriter(stream, {})
        with pytest.raises(Temporary, match="was cut while it was read"):
            writer.add("storage/x", io.BytesIO(b"abc"), 4)


def test_a_source_that_grew_is_taken_as_it_was(tmp_path: Path) -> None:
    with (tmp_path / "b.tar").open("wb") as stream:
        writer = ArchiveWriter(stream, {})
        writer.add("storage/x", io.BytesIO(b"abcdef"), 3)
        writer.finish({})
    extract(tmp_path / "b.tar", tmp_path / "out")
    assert (tmp_path / "out" / "storage" / "x").read_bytes() == b"abc"


@pytest.mark.parametrize("keep", [0, 100, 512, 1500, 4000, 9000])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, keep: int) -> None:
    write(tmp_path / "b.tar", CONTENTS)
    os.truncate(tmp_path / "b.tar", keep)
    with pytest.raises(Invalid):
        extract(tmp_path / "b.tar", tmp_path / "out")


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    """Of the contents and the manifest; of a header's unused fields it does not matter."""
    write(tmp_path / "b.tar", {"db/x": b"rows" * 40, "node.json": b"{}"})
    whole = (tmp_path / "b.tar").read_bytes()
    for content in (b"rows", b'"members"', b'"digest', b"{}"):
        at = whole.rfind(content)
        if at == -1:
            continue
        changed = bytearray(whole)
        changed[at] ^= 1
        (tmp_path / "changed.tar").write_bytes(changed)
        with pytest.raises(Invalid):
            extract(tmp_path / "changed.tar", tmp_path / f"out{at}")


def test_a_member_that_is_missing_or_too_much_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "b.tar", {"db/x": b"x", "node.json": b"{}"})
    whole = members(tmp_path / "b.tar")
    fewer = {name: content for name, content in whole.items() if name != "db/x"}
    write_archive(tmp_path / "fewer.tar", fewer)
    with pytest.raises(Invalid, match="`db/x` is not what was written"):
        extract(tmp_path / "fewer.tar", tmp_path / "out1")
    first, *others = whole.items()
    write_archive(tmp_path / "more.tar", dict([first, ("secrets/admin.token", b"x"), *others]))
    with pytest.raises(Invalid, match=r"`secrets/admin\.token` is not what was written"):
        extract(tmp_path / "more.tar", tmp_path / "out2")


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        {"members": ["node.json"]},
        {"members": {"node.json": 2}},
        {"members": {"node.json": [2]}},
        {"members": {"node.json": ["2", None]}},
        {"members": {"node.json": [[], {}]}},
    ],
)
def test_a_manifest_of_another_shape_is_damage(tmp_path: Path, manifest: Any) -> None:
    content = json.dumps(manifest).encode()
    listed = {f"manifest-{digest_of(content)}.json": content}
    head = json.dumps({"format": FORMAT}).encode()
    write_archive(tmp_path / "b.tar", {HEAD: head, "node.json": b"{}", **listed})
    with pytest.raises(Invalid) as refused:
        extract(tmp_path / "b.tar", tmp_path / "out")
    assert refused.value.code == "backup_damaged"


@pytest.mark.parametrize("head", [b"[]", b"1", b"[" * 60_000])
def test_a_head_of_another_shape_is_no_backup(tmp_path: Path, head: bytes) -> None:
    write_archive(tmp_path / "b.tar", {HEAD: head})
    with pytest.raises(Invalid, match="is no backup of Plinth"):
        ArchiveReader(tmp_path / "b.tar")


def test_what_stands_behind_the_manifest_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "b.tar", {"node.json": b"{}"})
    whole = members(tmp_path / "b.tar")
    write_archive(tmp_path / "more.tar", {**whole, "db/late": b"x"})
    extract(tmp_path / "more.tar", tmp_path / "out")
    assert not (tmp_path / "out" / "db").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "storage/../../outside",
        "units/r_1.0.1/spec.json",
        "environments/x/bin/python",
        "run/agent.sock",
        "other",
        "storage",
        "",
        "node.json/x",
    ],
)
def test_names_that_are_no_part_of_a_backup_are_refused(tmp_path: Path, name: str) -> None:
    head = json.dumps({"format": 1}).encode()
    write_archive(tmp_path / "b.tar", {HEAD: head, name: b"x"})
    with pytest.raises(Invalid, match="no part of a backup"):
        extract(tmp_path / "b.tar", tmp_path / "out")
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_devices_and_folders_are_refused(tmp_path: Path, kind: bytes) -> None:
    file = tmp_path / "b.tar"
    with tarfile.open(file, "w") as archive:
        head = json.dumps({"format": 1}).encode()
        header = tarfile.TarInfo(HEAD)
        header.size = len(head)
        archive.addfile(header, io.BytesIO(head))
        strange = tarfile.TarInfo("storage/x")
        strange.type, strange.linkname = kind, "/etc/passwd"
        archive.addfile(strange)
    with pytest.raises(Invalid, match="no part of a backup"):
        extract(file, tmp_path / "out")


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    with tarfile.open(file, "w") as archive:
        for name, content in ((HEAD, b'{"format": 1}'), ("db/x", b"a"), ("db/x", b"b")):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    with pytest.raises(Invalid, match="twice"):
        extract(file, tmp_path / "out")


def test_a_name_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    contents = {HEAD: b'{"format": 1}', "db/x": b"a", "db/x/y": b"b"}
    write_archive(tmp_path / "b.tar", contents)
    with pytest.raises(Invalid, match="twice"):
        extract(tmp_path / "b.tar", tmp_path / "out")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    (tmp_path / "b.tar").write_bytes(header.tobuf() + b"\0" * 2048)
    with pytest.raises(Invalid):
        ArchiveReader(tmp_path / "b.tar")


def test_a_newer_format_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    head = json.dumps({"format": FORMAT + 1, "plinth": "9.9.0"}).encode()
    write_archive(tmp_path / "b.tar", {HEAD: head})
    with pytest.raises(Conflict) as refused:
        ArchiveReader(tmp_path / "b.tar")
    assert "9.9.0" in refused.value.message
    assert "restore it with Plinth 9.9.0" in str(refused.value.hint)
    assert refused.value.code == "newer_home"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b" + b"x" * 600, b"\0" * 2048])
def test_another_file_is_no_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(Invalid, match="is no backup of Plinth"):
        ArchiveReader(tmp_path / "x")


def test_another_tar_file_is_no_backup(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.tar", {"README": b"hello"})
    with pytest.raises(Invalid, match="does not begin as one"):
        ArchiveReader(tmp_path / "x.tar")
    with pytest.raises(Invalid, match="cannot be read"):
        ArchiveReader(tmp_path / "absent.tar")


@pytest.mark.parametrize("mtime", ["-5", "1e30", "inf", "nan"])
def test_a_time_that_is_none_is_not_taken_over(tmp_path: Path, mtime: str) -> None:
    write(tmp_path / "b.tar", {"node.json": b"{}"})
    whole = members(tmp_path / "b.tar")
    write_archive(tmp_path / "odd.tar", whole, pax_headers={"mtime": mtime})
    extract(tmp_path / "odd.tar", tmp_path / "out")
    assert (tmp_path / "out" / "node.json").stat().st_mtime == 0


def test_no_header_stays_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "b.tar").open("wb") as stream:
        writer = ArchiveWriter(stream, {})
        for number in range(100):
            writer.add_bytes(f"storage/{number}", b"x")
        assert writer._tar.members == []  # type: ignore[attr-defined]
        writer.finish({})
    assert len(extract(tmp_path / "b.tar", tmp_path / "out")["members"]) == 100
