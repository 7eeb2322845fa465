import gzip
import io
import os
import tarfile

import pytest

from plinth.kit.archive import pack, packed_names, unpack
from plinth.kit.errors import Invalid, TooLarge


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    (folder / "package").mkdir(parents=True)
    (folder / "train.py").write_text("print(1)\n")
    (folder / "package" / "features.py").write_text("x = 1\n")
    return folder


def tar_of(*members: tuple[str, bytes, bytes]) -> bytes:
    """Return an archive of (name, type, link target) as a hostile sender would write it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, kind, target in members:
            header = tarfile.TarInfo(name)
            header.type = kind
            header.linkname = target.decode()
            archive.addfile(header)
    return buffer.getvalue()


def test_a_folder_survives_being_packed(code, tmp_path):
    unpack(pack(code).content, tmp_path / "copy")
    assert (tmp_path / "copy" / "train.py").read_text() == "print(1)\n"
    assert (tmp_path / "copy" / "package" / "features.py").read_text() == "x = 1\n"


def test_equal_files_give_equal_bytes_whatever_their_times(code):
    first = pack(code)
    os.utime(code / "train.py", (1, 1))
    assert pack(code) == first
    (code / "train.py").write_text("print(2)\n")
    assert pack(code).digest != first.digest


def test_version_control_caches_and_compiled_files_are_left_out(code, tmp_path):
    for folder in (".git", ".venv", "__pycache__"):
        (code / folder).mkdir()
        (code / folder / "x").write_text("x")
    (code / "a.pyc").write_text("x")
    unpack(pack(code).content, tmp_path / "copy")
    names = sorted(entry.name for entry in (tmp_path / "copy").iterdir())
    assert names == ["package", "train.py"]


def test_whether_a_file_may_be_executed_survives(code, tmp_path):
    (code / "train.py").chmod(0o700)
    unpack(pack(code).content, tmp_path / "copy")
    assert (tmp_path / "copy" / "train.py").stat().st_mode & 0o111
    assert not (tmp_path / "copy" / "package" / "features.py").stat().st_mode & 0o111


def test_a_link_inside_stays_and_one_that_leads_outside_is_refused(code, tmp_path):
    (code / "inside").symlink_to("train.py")
    unpack(pack(code).content, tmp_path / "copy")
    assert (tmp_path / "copy" / "inside").readlink().name == "train.py"
    (code / "outside").symlink_to("../../etc/passwd")
    with pytest.raises(Invalid, match="outside of the code folder"):
        pack(code)


def test_no_folder_and_nothing_to_pack_are_refused(tmp_path):
    with pytest.raises(Invalid, match="is not a folder"):
        pack(tmp_path / "missing")
    with pytest.raises(Invalid, match="holds no files"):
        pack(tmp_path)


def test_a_folder_that_is_too_large_names_its_largest_files(code):
    (code / "large.bin").write_bytes(b"x" * 2000)
    with pytest.raises(TooLarge, match=r"large\.bin") as caught:
        pack(code, limit_bytes=1000)
    assert "plinth data add" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "member",
    [
        ("../escaped", tarfile.REGTYPE, b""),
        ("link", tarfile.SYMTYPE, b"/etc/passwd"),
        ("link", tarfile.SYMTYPE, b"../../x"),
        ("hard", tarfile.LNKTYPE, b"../x"),
        ("device", tarfile.CHRTYPE, b""),
    ],
)
def test_an_archive_that_would_reach_outside_is_refused(tmp_path, member):
    with pytest.raises(Invalid):
        unpack(tar_of(member), tmp_path / "copy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("content", [b"", b"not an archive", pytest.param(None, id="cut")])
def test_what_is_no_archive_is_refused(code, tmp_path, content):
    broken = pack(code).content[:40] if content is None else content
    with pytest.raises(Invalid, match="is not a gzipped tar archive"):
        unpack(broken, tmp_path / "copy")


def test_an_archive_that_unpacks_to_too_much_is_refused(code, tmp_path):
    (code / "large.bin").write_bytes(bytes(10_000))
    with pytest.raises(TooLarge, match="unpacks to more than"):
        unpack(pack(code).content, tmp_path / "copy", limit_bytes=5000)


def test_a_header_that_is_a_bomb_is_refused_before_it_is_held(tmp_path):
    name = tarfile.TarInfo("long")
    name.type, name.size = tarfile.XHDTYPE, 90_000_000
    bomb = gzip.compress(name.tobuf() + bytes(50_000_000), 1)
    with pytest.raises(TooLarge, match="more than is allowed"):
        unpack(bomb, tmp_path / "copy", limit_bytes=1_000_000)


def test_the_names_that_would_be_packed_are_those_that_are(code, tmp_path):
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "x.pyc").write_bytes(b"")
    unpack(pack(code).content, tmp_path / "copy")
    copied = {
        path.relative_to(tmp_path / "copy").as_posix()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_symlink() or path.is_file()
    }
    assert packed_names(code) == copied
