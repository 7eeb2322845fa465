"""Where a data version's bytes lie: one file, or many that are kept once each by their digest.

Called by who adds versions and by who prepares a run. A version of many files is a listing in the
storage; on this node its files are gathered in a folder of their own, under their own names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from plinth.control.context import Context
from plinth.domain.model import DataFile, DataVersion
from plinth.kit.errors import Invalid, Permanent
from plinth.kit.excerpt import excerpt
from plinth.kit.files import make_private
from plinth.kit.ids import digest_of

# The name of the stored listing; no data file that Plinth reads has this ending.
LISTING = "files.json"
MOST_FILES = 10_000
# Letters and digits of any script, as people name their files.
_PART = re.compile(r"\w(?:[\w .,=+@~()-]*[\w=+@~()-])?")
_LONGEST_NAME, _LONGEST_PART_BYTES = 400, 200
_FILES: TypeAdapter[tuple[DataFile, ...]] = TypeAdapter(tuple[DataFile, ...])


@dataclass(frozen=True, slots=True)
class LocalData:
    """A data version on this node. `folder` holds all of it; `path`: its file, or its files."""

    folder: Path
    path: Path


def data_key(team: str, name: str, digest: str) -> str:
    """Return the folder of a data version in the storage."""
    return f"data/{team}/{name}/{digest}"


def file_key(team: str, digest: str) -> str:
    """Return the folder of one file of versions of many files: its bytes, and what is in it."""
    return f"parts/{team}/{digest}"


def content_key(team: str, digest: str) -> str:
    """Return where the bytes of one such file lie in the storage."""
    return f"{file_key(team, digest)}/content"


def check_file_name(name: str) -> str:
    """Return the name of a file in a data version. Raises Invalid: parts joined by `/`."""
    parts = name.split("/")
    if len(name) > _LONGEST_NAME or not all(map(_is_file_name, parts)):
        raise Invalid(
            f"the file name `{excerpt(name)}` is not accepted; letters from a to z, digits, "
            "spaces and `_.,=+@~()-` are, in folders joined by `/`",
            hint="rename the file; a name begins with a letter or a digit",
        )
    return name


def _is_file_name(part: str) -> bool:
    is_short = len(part.encode(errors="replace")) <= _LONGEST_PART_BYTES
    return is_short and part.isprintable() and _PART.fullmatch(part) is not None


def digest_of_files(files: tuple[DataFile, ...]) -> str:
    """Return the digest of a version of these files: of their names and digests, in order."""
    return digest_of(json.dumps([[each.name, each.digest] for each in files]).encode())


def write_listing(files: tuple[DataFile, ...]) -> bytes:
    """Return the listing of a version as it is stored."""
    return _FILES.dump_json(files)


def files_of(context: Context, version: DataVersion) -> tuple[DataFile, ...]:
    """Return the files of a data version, of one file or of many. Raises NotFound."""
    if version.file_name != LISTING:
        return (
            DataFile(
                name=version.file_name,
                digest=version.digest,
                size_bytes=version.size_bytes,
                rows=version.rows,
            ),
        )
    key = f"{data_key(version.team, version.name, version.digest)}/{LISTING}"
    with context.storage.open(key) as stream:
        return _FILES.validate_json(stream.read())


def find_local(context: Context, version: DataVersion) -> LocalData:
    """Return where a data version lies on this node; files of many are gathered first.

    Raises Permanent when it is not in a local storage.
    """
    stored = context.storage.local_path(data_key(version.team, version.name, version.digest))
    if stored is None:
        raise Permanent(f"the data version {version.name}@{version.version} is not local")
    if version.file_name != LISTING:
        return LocalData(stored, stored / version.file_name)
    folder = context.home.data / version.team / version.digest
    if not folder.exists():
        _gather(context, version, folder)
    return LocalData(folder, folder)


def _gather(context: Context, version: DataVersion, folder: Path) -> None:
    """Make the folder of a version's files beside, then rename it."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_private(partial)
    for each in files_of(context, version):
        source = context.storage.local_path(content_key(version.team, each.digest))
        if source is None or not source.is_file():
            raise Permanent(
                f"`{each.name}` of {version.name}@{version.version} is not in the storage",
                hint="add the version again: `plinth data add NAME FILES`",
            )
        target = partial / each.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _link(source, target)
    try:
        partial.rename(folder)
    except OSError:
        # Another was faster; what it made is the same.
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.exists():
            raise


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # The storage is on another disk.
        shutil.copyfile(source, target)
