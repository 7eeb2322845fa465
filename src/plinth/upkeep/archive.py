"""The file that a backup is: a tar archive whose last member lists all others with their digests.

The first member says which format it is, so that a reader of an earlier version can refuse it
before it reads on. The last one's name holds its own digest. Nothing is compressed: models and
Parquet files are already, and gzip would be the slowest step (docs/decisions/0016).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from plinth.kit.errors import Conflict, Invalid, Temporary
from plinth.kit.ids import digest_of
from plinth.kit.units import format_bytes

FORMAT = 1
HEAD = "backup.json"
_MANIFEST = re.compile(r"manifest-([0-9a-f]{64})\.json")
# What a home's backup may hold, by the first part of the name. Anything else (a unit's folder, a
# program) has no business in a new home.
_ROOMS = frozenset({"catalog", "db", "gateway", "mlflow", "secrets", "storage"})
_FILES = frozenset({"node.json", "settings.toml"})
_CHUNK = 1 << 20
# tarfile reads a header at its word; no name is as long as that.
_LARGEST_READ = 16 << 20
_LARGEST_MANIFEST = 1 << 30
_HEAD_BYTES = 64 * 1024
_LATEST = 1 << 33

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its size in bytes and the SHA-256 of its content."""

    size_bytes: int
    digest: str


class ArchiveWriter:
    """Write members one after the other; `finish` makes it whole."""

    def __init__(self, stream: BinaryIO, head: Json) -> None:
        """Begin with the head: what a reader must know before it reads on."""
        self._tar = tarfile.TarFile(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)
        self._head = {"format": FORMAT, **head}
        self.entries: dict[str, Entry] = {}
        self._add(HEAD, io.BytesIO(_json(self._head)), len(_json(self._head)))

    def add(self, name: str, source: IO[bytes], size: int, changed_at: float = 0.0) -> None:
        """Add the first `size` bytes of `source`. Raises Temporary when it has fewer.

        `changed_at`: when it was last written, in seconds since 1970; whole ones are kept.
        """
        hashing = _Hashing(source, name)
        self._add(name, hashing, size, int(changed_at))
        self.entries[name] = Entry(size, hashing.digest)

    def add_bytes(self, name: str, content: bytes, changed_at: float = 0.0) -> None:
        """Add a member with this content; see `add`."""
        self.add(name, io.BytesIO(content), len(content), changed_at)

    def finish(self, facts: Json) -> Json:
        """Write the manifest and the end; return the manifest."""
        members = {name: [each.size_bytes, each.digest] for name, each in self.entries.items()}
        manifest = {**self._head, **facts, "members": members}
        content = _json(manifest)
        self._add(f"manifest-{digest_of(content)}.json", io.BytesIO(content), len(content))
        self._tar.close()
        return manifest

    def _add(self, name: str, source: Any, size: int, changed_at: int = 0) -> None:
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size, 0o600, changed_at
        self._tar.addfile(header, source)
        # tarfile would keep every header in memory.
        self._tar.members.clear()  # type: ignore[attr-defined]


class ArchiveReader:
    """Read a backup; `extract` verifies every byte of it."""

    def __init__(self, path: Path) -> None:
        """Open it and read its head. Raises Invalid for another file, Conflict for a newer one."""
        try:
            self._stream = path.open("rb")
        except OSError as err:
            raise Invalid(f"`{path}` cannot be read: {err.strerror}") from err
        self._path = path
        try:
            self._tar = tarfile.TarFile(fileobj=cast("BinaryIO", _Guard(self._stream)))
            self.head = self._read_head()
        except (tarfile.TarError, EOFError, ValueError, Conflict, Invalid) as err:
            self._stream.close()
            if isinstance(err, Conflict | Invalid):
                raise
            raise Invalid(f"`{path}` is no backup of Plinth: {err}") from err

    def __enter__(self) -> ArchiveReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def size_bytes(self) -> int:
        """The size of the file."""
        return os.fstat(self._stream.fileno()).st_size

    def extract(self, folder: Path, count: Callable[[int], None]) -> Json:
        """Write every member below the empty `folder`; return the manifest, which all of it fits.

        `count` is told of bytes as they are written. Nothing lands outside of `folder`, and
        nothing but plain files of a home. Raises Invalid for an archive that is not whole, was
        changed, or holds anything else; OSError when the disk is full.
        """
        entries: dict[str, Entry] = {}
        try:
            while (member := self._tar.next()) is not None:
                self._tar.members.clear()  # type: ignore[attr-defined]
                named = _MANIFEST.fullmatch(member.name)
                if named is not None:
                    return self._check(member, named[1], entries)
                entries[member.name] = self._extract(member, folder, count)
        except (tarfile.TarError, EOFError, ValueError) as err:
            raise self._damaged(str(err)) from err
        raise self._damaged("its list of members is missing")

    def _read_head(self) -> Json:
        member = self._tar.next()
        if member is None or member.name != HEAD or member.size > _HEAD_BYTES:
            raise Invalid(f"`{self._path}` is no backup of Plinth: it does not begin as one")
        head = _object(self._content(member))
        if not isinstance(head.get("format"), int):
            raise Invalid(f"`{self._path}` is no backup of Plinth: it does not say its format")
        if head["format"] > FORMAT:
            raise Conflict(
                f"`{self._path}` has format {head['format']}, written by Plinth "
                f"{head.get('plinth')}; this Plinth knows formats up to {FORMAT}",
                hint=f"restore it with Plinth {head.get('plinth')} or newer",
                code="newer_home",
            )
        return head

    def _extract(
        self, member: tarfile.TarInfo, folder: Path, count: Callable[[int], None]
    ) -> Entry:
        name = self._checked(member)
        target = folder / name
        source = self._tar.extractfile(member)
        assert source is not None  # it is a plain file
        digest, size = hashlib.sha256(), 0
        try:
            # `parents=True` would make all but the last one by the process's umask.
            for parent in reversed(name.parents):
                (folder / parent).mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as err:
            raise self._damaged(f"`{member.name}` is in it twice") from err
        with source, os.fdopen(descriptor, "wb") as stream:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                stream.write(chunk)
                size += len(chunk)
                count(len(chunk))
        # Access logs are kept by it. Not every number that a header can hold is a time.
        changed_at = member.mtime if 0 <= member.mtime < _LATEST else 0
        os.utime(target, (changed_at, changed_at))
        if size != member.size:
            raise self._damaged(f"`{member.name}` is cut")
        return Entry(size, digest.hexdigest())

    def _checked(self, member: tarfile.TarInfo) -> PurePosixPath:
        name = PurePosixPath(member.name)
        is_plain = member.isreg() and not member.issparse()
        is_inside = not name.is_absolute() and ".." not in name.parts and "\0" not in member.name
        is_ours = name.parts[0] in _ROOMS if len(name.parts) > 1 else member.name in _FILES
        if not (is_plain and is_inside and is_ours):
            raise Invalid(
                f"`{self._path}` holds `{member.name}`, which is no part of a backup",
                hint="restore only a file that `plinth backup` wrote",
            )
        return name

    def _check(self, member: tarfile.TarInfo, digest: str, entries: dict[str, Entry]) -> Json:
        content = self._content(member)
        if digest_of(content) != digest:
            raise self._damaged("its list of members was changed")
        manifest = _object(content)
        try:
            listed = {name: Entry(*entry) for name, entry in manifest["members"].items()}
        except (AttributeError, KeyError, TypeError) as err:
            raise self._damaged("its list of members is none") from err
        for name in sorted(listed.keys() | entries.keys()):
            if listed.get(name) != entries.get(name):
                raise self._damaged(f"`{name}` is not what was written")
        return manifest

    def _content(self, member: tarfile.TarInfo) -> bytes:
        source = self._tar.extractfile(member)
        if source is None:
            raise self._damaged(f"`{member.name}` is no file")
        if member.size > _LARGEST_MANIFEST:
            raise self._damaged(f"`{member.name}` has {format_bytes(member.size)}")
        with source:
            return b"".join(iter(lambda: source.read(_CHUNK), b""))

    def _damaged(self, how: str) -> Invalid:
        return Invalid(
            f"`{self._path}` is damaged: {how}",
            hint="nothing was changed; use another copy of the backup",
            code="backup_damaged",
        )


class _Hashing:
    """Read from a stream and keep the digest of what was read."""

    def __init__(self, source: IO[bytes], name: str) -> None:
        self._source, self._name = source, name
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read so far."""
        return self._sha256.hexdigest()

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes. Raises Temporary when there are fewer."""
        content = self._source.read(size)
        if len(content) != size:
            raise Temporary(f"`{self._name}` was cut while it was read", hint="do it again")
        self._sha256.update(content)
        return content


class _Guard:
    """A file whose reader asks for no more at once than a sound archive needs."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes. Raises Invalid for a size that no header has."""
        if size > _LARGEST_READ:
            raise Invalid(f"the archive has a header of {format_bytes(size)}")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a byte."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return where it stands."""
        return self._stream.tell()


def free_bytes(folder: Path) -> int:
    """Return how much room there is for an ordinary user in `folder`."""
    return shutil.disk_usage(folder).free


def _object(content: bytes) -> Json:
    """Return the JSON object. Raises ValueError for anything else."""
    try:
        value = json.loads(content)
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


def _json(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
