"""Pack a folder of code into bytes that are the same for the same code, and unpack them safely.

Called by the client (pack) and by whoever prepares a run's folder (unpack).
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from plinth.kit.errors import Invalid, TooLarge
from plinth.kit.ids import digest_of
from plinth.kit.units import format_bytes

LIMIT_BYTES = 50_000_000
# A little more than may be packed; it also bounds what a hostile header makes us hold in memory.
UNPACKED_LIMIT_BYTES = 64_000_000
_HEADERS_BYTES = 2048
LIMIT_FILES = 20_000
_IGNORED_FOLDERS = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", ".plinth", "__pycache__", "node_modules",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints",
    }
)  # fmt: skip
_IGNORED_ENDINGS = (".pyc", ".pyo")
_SHOWN_FILES = 5


@dataclass(frozen=True, slots=True)
class Archive:
    """A gzipped tar file and its SHA-256 in hexadecimal."""

    content: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    name: str
    size_bytes: int


def pack(folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> Archive:
    """Pack the files below `folder`; equal files give equal bytes, whenever and by whom.

    Left out: version control, virtual environments, caches, compiled Python. Links that stay
    inside the folder are kept as links. Raises Invalid for no such folder, nothing to pack, links
    that lead outside and files that are neither; TooLarge, naming the largest files, when the
    files sum up to more than `limit_bytes`.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise Invalid(f"`{folder}` is not a folder", hint="`code` names the folder of your code")
    entries = sorted(_entries(root, root), key=lambda entry: entry.name)
    if not entries:
        raise Invalid(f"`{folder}` holds no files to pack", hint="`code` names the folder to send")
    _check_size(folder, entries, limit_bytes)
    buffer = io.BytesIO()
    # No name and no time in the gzip header: they would change the digest.
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0, compresslevel=6) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry in entries:
            _add(archive, entry)
    content = buffer.getvalue()
    return Archive(content, digest_of(content))


def packed_names(folder: Path) -> frozenset[str]:
    """Return which files `pack` would take, by their paths relative to `folder`."""
    root = folder.resolve()
    return frozenset(entry.name for entry in _entries(root, root))


def _entries(folder: Path, root: Path) -> Iterator[_Entry]:
    with os.scandir(folder) as found:
        children = list(found)
    for child in children:
        path = Path(child.path)
        name = path.relative_to(root).as_posix()
        if child.is_symlink():
            _check_link(path, name, root)
            yield _Entry(path, name, 0)
        elif child.is_dir():
            if child.name not in _IGNORED_FOLDERS:
                yield from _entries(path, root)
        elif child.is_file():
            if not child.name.endswith(_IGNORED_ENDINGS):
                yield _Entry(path, name, child.stat().st_size)
        else:
            raise Invalid(
                f"`{name}` is neither a file nor a folder; it cannot be packed",
                hint="move sockets, pipes and devices out of the code folder",
            )


def _check_link(path: Path, name: str, root: Path) -> None:
    target = Path(os.readlink(path))
    if target.is_absolute() or not (path.parent / target).resolve().is_relative_to(root):
        raise Invalid(
            f"`{name}` is a link to `{target}`, outside of the code folder",
            hint="copy the file into the folder, or hand it over as data",
        )


def _check_size(folder: Path, entries: list[_Entry], limit_bytes: int) -> None:
    total = sum(entry.size_bytes for entry in entries)
    if len(entries) > LIMIT_FILES:
        raise TooLarge(
            f"`{folder}` has {len(entries)} files; {LIMIT_FILES} are allowed",
            hint="move data out of the code folder: `plinth data add`",
        )
    if total <= limit_bytes:
        return
    largest = sorted(entries, key=lambda entry: -entry.size_bytes)[:_SHOWN_FILES]
    lines = "\n".join(f"  {format_bytes(entry.size_bytes):>9}  {entry.name}" for entry in largest)
    raise TooLarge(
        f"`{folder}` has {format_bytes(total)} of files; {format_bytes(limit_bytes)} are allowed. "
        f"The largest:\n{lines}",
        hint="move data out of the code folder: `plinth data add` makes it a data version",
    )


def _add(archive: tarfile.TarFile, entry: _Entry) -> None:
    header = tarfile.TarInfo(entry.name)
    if entry.path.is_symlink():
        header.type = tarfile.SYMTYPE
        header.linkname = os.readlink(entry.path)
        archive.addfile(header)
        return
    with entry.path.open("rb") as file:
        status = os.fstat(file.fileno())
        # Only "may it be executed" survives: umask and owner differ between machines.
        header.mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        content = file.read()
    header.size = len(content)
    archive.addfile(header, io.BytesIO(content))


def unpack(source: bytes | Path, folder: Path, *, limit_bytes: int = UNPACKED_LIMIT_BYTES) -> None:
    """Unpack a gzipped tar file into `folder`, which is made when absent.

    Nothing lands outside `folder`, no device, owner or set-user-id bit is taken over. Raises
    Invalid for a file that is no such archive or tries that, TooLarge when it would unpack to
    more than `limit_bytes` or LIMIT_FILES files; what was unpacked until then stays.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stream: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        with stream, gzip.GzipFile(fileobj=stream) as content:
            bounded = _Bounded(content, limit_bytes + LIMIT_FILES * _HEADERS_BYTES)
            with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r|") as archive:
                _extract_all(archive, folder, limit_bytes)
    except (tarfile.TarError, EOFError, OSError) as err:
        if isinstance(err, OSError) and not isinstance(err, gzip.BadGzipFile) and err.errno:
            raise  # a full disk or no permission: not the archive's fault
        raise Invalid(f"this is not a gzipped tar archive: {err}") from err


class _Bounded:
    """Read from a stream up to a limit: tarfile takes a header's size at its word."""

    def __init__(self, stream: gzip.GzipFile, limit_bytes: int) -> None:
        self._stream = stream
        self._left = limit_bytes

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raises TooLarge beyond the limit."""
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise TooLarge("the archive unpacks to more than is allowed")
        return content


def _extract_all(archive: tarfile.TarFile, folder: Path, limit_bytes: int) -> None:
    total = 0
    for number, member in enumerate(archive, start=1):
        total += member.size
        if total > limit_bytes or number > LIMIT_FILES:
            raise TooLarge(
                f"the archive unpacks to more than {format_bytes(limit_bytes)} "
                f"or {LIMIT_FILES} files"
            )
        _extract(archive, member, folder)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    # tarfile's own filters are missing in the first patch releases of Python 3.11.
    root, name = folder.resolve(), PurePosixPath(member.name)
    target = folder / name
    # Resolved, since an earlier member may be a link.
    if name.is_absolute() or ".." in name.parts or not _is_within(target.parent, root):
        raise Invalid(f"the archive would write outside of its folder: `{member.name}`")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    if member.issym():
        link = PurePosixPath(member.linkname)
        if link.is_absolute() or not _is_within(target.parent / link, root):
            raise Invalid(
                f"the archive would write outside of its folder: `{member.name}` is a link to "
                f"`{member.linkname}`"
            )
        target.symlink_to(member.linkname)
        return
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise Invalid(f"the archive holds `{member.name}`, which is neither a file nor a folder")
    with content, target.open("xb") as stream:
        shutil.copyfileobj(content, stream)
    target.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)


def _is_within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root)
