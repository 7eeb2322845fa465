"""The library of our own filter, built by the real compiler, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import distribution
from pathlib import Path

import pytest

from plinth.gateway.native.library_file import NAME, SOURCES, build
from plinth.kit.errors import Permanent

PROGRAM = "from plinth.gateway.native import library; print(library())"


def asking(cache: Path) -> subprocess.Popen[str]:
    """Have another process ask for the library, with an empty cache."""
    variables = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=variables, stdout=subprocess.PIPE, text=True
    )


def test_a_build_that_is_killed_leaves_nothing_that_another_would_load(tmp_path: Path) -> None:
    root = tmp_path / "plinth" / "native"
    first = asking(tmp_path)
    deadline = time.monotonic() + 30
    while not list(root.glob(".building-*/*/")) and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not list(root.glob("*/*.so"))
    both = [asking(tmp_path) for _ in range(2)]
    paths = {each.communicate()[0].strip() for each in both}
    assert [each.returncode for each in both] == [0, 0]
    (path,) = paths
    assert Path(path).read_bytes()[:4] == b"\x7fELF"
    assert {each.name for each in root.iterdir()} == {".lock", Path(path).parent.name}


def test_a_source_that_is_none_is_told_in_the_compilers_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.zig"
    broken.write_text("fn (")
    path = tmp_path / "native" / "abc" / NAME
    with pytest.raises(Permanent, match=r"broken\.zig:1:"):
        build(path, broken)
    assert [each.name for each in path.parents[1].iterdir()] == [".lock"]


def test_the_source_is_formatted(tmp_path: Path) -> None:
    zig = Path(str(distribution("ziglang").locate_file("ziglang/zig")))
    caches = {f"ZIG_{name}_CACHE_DIR": str(tmp_path) for name in ("GLOBAL", "LOCAL")}
    tests = Path(__file__).parents[1] / "gateway" / "native_callbacks.zig"
    done = subprocess.run(
        [zig, "fmt", "--check", SOURCES, tests], capture_output=True, check=False, env=caches
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
