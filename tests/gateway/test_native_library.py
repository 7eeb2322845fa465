"""How the library of our own filter comes to be, and what is said when it cannot."""

from __future__ import annotations

import platform
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from plinth.gateway.native import library_file
from plinth.gateway.native.library_file import NAME, SOURCES, build, library
from plinth.kit.errors import Permanent


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plinth" / "native"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Have a compiler that is quick; return what it was asked."""
    asked: list[Sequence[str]] = []

    def compile_it(command: Sequence[str]) -> None:
        asked.append(command)
        (emit,) = (each for each in command if each.startswith("-femit-bin="))
        Path(emit.removeprefix("-femit-bin=")).write_bytes(b"\x7fELF")

    monkeypatch.setattr(library_file, "_run", compile_it)
    return asked


def refused(message: str, hint: str) -> pytest.RaisesExc[Permanent]:
    def fits(err: Permanent) -> bool:
        return message in err.message and hint in (err.hint or "")

    return pytest.RaisesExc(Permanent, check=fits)


def test_it_is_built_once_and_found_by_what_it_is_built_of(
    elsewhere: Path, compiled: list[Sequence[str]]
) -> None:
    path = library()
    assert path.parents[1] == elsewhere
    assert (path.name, path.read_bytes()) == (NAME, b"\x7fELF")
    assert library() == path
    assert len(compiled) == 1
    assert str(SOURCES / "filter.zig") in compiled[0]


def test_a_cache_that_was_emptied_is_filled_again(
    elsewhere: Path, compiled: list[Sequence[str]]
) -> None:
    library().unlink()
    assert library().is_file()
    assert len(compiled) == 2


def test_another_machine_has_another_library(
    elsewhere: Path, compiled: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = library()
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert library() != here


def test_it_appears_whole_and_what_a_killed_build_left_goes(
    tmp_path: Path, compiled: list[Sequence[str]]
) -> None:
    said: list[str] = []
    path = tmp_path / "native" / "abc" / NAME
    left = tmp_path / "native" / ".building-left"
    left.mkdir(parents=True)
    build(path, tmp_path / "a.zig", said.append)
    assert sorted(each.name for each in path.parents[1].iterdir()) == [".lock", "abc"]
    assert said == ["building the gateway's filter, once for this machine"]
    assert path.parents[1].stat().st_mode & 0o077 == 0


def test_of_several_who_ask_at_once_one_builds(
    tmp_path: Path, compiled: list[Sequence[str]]
) -> None:
    path = tmp_path / "native" / "abc" / NAME
    asking = [threading.Thread(target=build, args=(path, tmp_path)) for _ in range(4)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert path.is_file()
    assert len(compiled) == 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "native").write_text("a file")
    with refused("cannot be built in", "`XDG_CACHE_HOME`"):
        build(tmp_path / "native" / "abc" / NAME, tmp_path)


def test_a_machine_for_which_there_is_none_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with refused("for Linux on riscv64", "aarch64, x86_64"):
        build(tmp_path / "native" / "abc" / NAME, tmp_path)


def test_a_missing_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(library_file, "distribution", missing)
    with refused("the package `ziglang`", "uv pip install --reinstall ziglang"):
        build(tmp_path / "native" / "abc" / NAME, tmp_path)


def test_no_line_of_the_source_is_long() -> None:
    for path in (*SOURCES.glob("*.zig"), *Path(__file__).parent.glob("*.zig")):
        longest = max(path.read_text().splitlines(), key=len)
        assert len(longest) <= 100, (path, longest)
