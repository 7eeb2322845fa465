"""Whatever the system's list of memory says, asking for large pages does not end Envoy."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
from pathlib import Path

import pytest

from plinth.gateway.native.library_file import SOURCES, build, library

_STAND = Path(__file__).parent / "native_memory.zig"


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Return the stand, built once for each source."""
    folder = tmp_path_factory.mktemp("memory")
    for source in (_STAND, SOURCES / "memory.zig"):
        shutil.copy(source, folder)
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(folder.iterdir())))
    path = library().parents[1] / f"test-{digest.hexdigest()[:16]}" / "memory.so"
    if not path.is_file():
        build(path, folder / _STAND.name)
    return ctypes.CDLL(str(path))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "00000000-00400000 rw-p 00000000 00:00 0",
        "00000000-40000000 ---p 00000000 00:00 0",
        "0-0 ---p 0 00:00 0",
        "7f0000400000-7f0000000000 rw-p 00000000 00:00 0",
        "7f0000000000 rw-p 00000000 00:00 0",
        "-7f0000000000 rw-p 00000000 00:00 0",
        "7f0000000000- rw-p 00000000 00:00 0",
        "ffffffffffffffff-1ffffffffffffffff rw-p 00000000 00:00 0",
        "1-ffffffffffffffff ---p 00000000 00:00 0",
        "fffffffffffffffe-ffffffffffffffff rw-p 00000000 00:00 0",
        "7f000000000g-7f0000400000 rw-p 00000000 00:00 0",
        "7f0000000000-7f0000400000 rw-p",
    ],
)
def test_a_line_that_makes_no_sense_is_passed_over(asker: ctypes.CDLL, line: str) -> None:
    for text in (line, f"{line}\n{line}\n", f"\n{line}\n00000000-1 rw-p 0 00:00 0"):
        asker.ask_for(text.encode(), ctypes.c_size_t(len(text)))


def test_a_list_that_is_cut_anywhere_is_read_as_far_as_it_goes(asker: ctypes.CDLL) -> None:
    line = "1000000-41000000 ---p 00000000 00:00 0 \n41000000-41001000 rw-p 00000000 00:00 0"
    for cut in range(len(line)):
        for text in (line[cut:], line[:cut]):
            asker.ask_for(text.encode(), ctypes.c_size_t(len(text)))
