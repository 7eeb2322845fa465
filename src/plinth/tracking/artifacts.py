"""Fetch a folder of artifacts over HTTP into a folder that appears whole or not at all.

Called by `Tracking.download_model`. File names come from the server, which took them from
whoever logged the model: none of them may lead outside the folder.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from plinth.kit.errors import Invalid, NotFound, Temporary, TooLarge
from plinth.kit.files import locked
from plinth.kit.units import format_bytes
from plinth.tracking.rest import Rest

_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_SCHEME = "mlflow-artifacts"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one folder may hold; `size_bytes` is the sum of its files."""

    size_bytes: int = 20_000_000_000
    files: int = 10_000
    depth: int = 20


@dataclass(frozen=True, slots=True)
class _Listed:
    path: PurePosixPath
    size_bytes: int


def fetch_folder(
    rest: Rest, team: str, uri: str, folder: Path, limits: Limits | None = None
) -> Path:
    """Fetch everything below the `mlflow-artifacts:` URI into `folder`; return `folder`.

    A folder that exists is taken as complete. Blocks while another process fetches it. Raises
    Invalid, TooLarge, NotFound (nothing is there) or Temporary; then `folder` does not exist.
    """
    root = _root_of(uri)
    partial = folder.with_name(f".{folder.name}.partial")
    with locked(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return folder
        # What a killed process left: nobody else can be writing it under the lock.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        try:
            _Fetch(rest, team, root, limits or Limits()).into(partial)
            os.replace(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _sync(folder.parent)
    return folder


def _root_of(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme != _SCHEME or parts.netloc:
        raise Invalid(
            f"the model's files are at `{uri}`; only `{_SCHEME}:/...` is served by Plinth's MLflow",
            hint="log the model again through Plinth, without an artifact location of its own",
        )
    return parts.path.strip("/")


class _Fetch:
    """One folder on its way; counts what it took against the limits."""

    def __init__(self, rest: Rest, team: str, root: str, limits: Limits) -> None:
        self._rest = rest
        self._team = team
        self._root = root
        self._limits = limits
        self._files = 0
        self._size_bytes = 0

    def into(self, folder: Path) -> None:
        """Fetch every file into the empty `folder`. Raises NotFound when there is none."""
        for listed in self._walk(PurePosixPath()):
            target = folder / listed.path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fetch_file(listed, target)
        if not self._files:
            raise NotFound(f"MLflow holds no files at `{_SCHEME}:/{self._root}`")

    def _walk(self, below: PurePosixPath) -> Iterator[_Listed]:
        if len(below.parts) > self._limits.depth:
            raise TooLarge(f"the model's folders are nested deeper than {self._limits.depth}")
        where = {"path": str(PurePosixPath(self._root) / below)}
        for entry in self._rest.get(_ARTIFACTS, where, team=self._team).get("files", ()):
            path = below / checked_name(str(entry["path"]))
            if entry.get("is_dir"):
                yield from self._walk(path)
            else:
                self._take_file()
                yield _Listed(path, int(entry.get("file_size", 0)))

    def _fetch_file(self, listed: _Listed, target: Path) -> None:
        written = 0
        address = f"{_ARTIFACTS}/{quote(f'{self._root}/{listed.path}')}"
        with self._rest.stream(address, team=self._team) as pieces, target.open("xb") as file:
            for piece in pieces:
                self._take_bytes(len(piece))
                written += len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if written != listed.size_bytes:
            raise Temporary(
                f"`{listed.path}` has {listed.size_bytes} bytes in MLflow and {written} came"
            )

    def _take_file(self) -> None:
        self._files += 1
        if self._files > self._limits.files:
            raise TooLarge(f"the model has more than {self._limits.files} files")

    def _take_bytes(self, count: int) -> None:
        self._size_bytes += count
        if self._size_bytes > self._limits.size_bytes:
            raise TooLarge(f"the model is larger than {format_bytes(self._limits.size_bytes)}")


def checked_name(name: str) -> str:
    """Return `name` if it is one plain file name. Raises Invalid for anything else."""
    if name in ("", ".", "..") or any(
        character in "/\\" or not character.isprintable() for character in name
    ):
        raise Invalid(f"the model has a file named {name!r}; only plain names are accepted")
    return name


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
