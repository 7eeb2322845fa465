"""A folder of code is uploaded with its origin, and with files that are put beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.cli.code import put_code
from plinth.client.client import Client
from plinth.kit.archive import pack, unpack


class Uploads:
    """Stands for a client: keeps what it is sent."""

    def __init__(self) -> None:
        self.code: dict[str, bytes] = {}

    def put_code(self, digest: str, content: bytes, *, team: str) -> None:
        self.code[f"{team}/{digest}"] = content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "code"
    (made / "inner").mkdir(parents=True)
    (made / "main.py").write_text("app = 1\n")
    (made / "inner" / "run.sh").write_text("true\n")
    (made / "inner" / "run.sh").chmod(0o755)
    (made / "__pycache__").mkdir()
    (made / "__pycache__" / "main.pyc").write_bytes(b"x")
    return made


def put(folder: Path, **options: object) -> tuple[Uploads, str]:
    uploads = Uploads()
    digest, _ = put_code(uploads, folder, "ops", **options)  # type: ignore[arg-type]
    return uploads, digest


def test_the_folder_is_what_is_uploaded(folder: Path) -> None:
    uploads, digest = put(folder)
    assert digest == pack(folder).digest
    assert list(uploads.code) == [f"ops/{digest}"]


def test_more_files_stand_beside_and_the_folder_stays_as_it_is(
    folder: Path, tmp_path: Path
) -> None:
    uploads, digest = put(folder, more={".rows": b"1\n"})
    unpack(uploads.code[f"ops/{digest}"], tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert found == {"main.py", "inner/run.sh", ".rows"}
    assert (tmp_path / "out" / "inner" / "run.sh").stat().st_mode & 0o100
    assert not (folder / ".rows").exists()


def test_it_is_a_client_that_is_asked() -> None:
    assert hasattr(Client, "put_code")
