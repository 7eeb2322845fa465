"""Files by key in one place that fsspec can reach; whole or not there.

Called by control services for data versions and code snapshots. Keys are made by the caller from
the content's digest, so a key that exists already holds the same bytes and is never rewritten.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO, cast

import fsspec  # type: ignore[import-untyped]  # it ships no types

from plinth.kit.errors import Invalid, NotFound, Temporary
from plinth.kit.excerpt import excerpt

_KEY_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*")


class Storage:
    """One root URI, such as `file:///srv/plinth/storage` or `s3://bucket/folder`.

    Every method may raise Temporary when the place cannot be reached, is full or refuses.
    """

    def __init__(self, root_uri: str) -> None:
        self._local = _local_folder(root_uri)
        filesystem, path = fsspec.core.url_to_fs(root_uri)
        self._filesystem = filesystem
        self._root = str(path).rstrip("/")
        self._root_uri = root_uri.rstrip("/")

    def put_file(self, source: Path, key: str) -> str:
        """Store the bytes of `source` under `key`; return the URI.

        A reader sees all of it or nothing. A key that exists is left as it is.
        """
        target = self._path(key)
        if self.exists(key):
            return self.uri(key)
        partial = f"{target}.{secrets.token_hex(4)}.partial"
        try:
            self._filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            if self._local is None:
                # An object store shows an upload only when it is complete.
                self._filesystem.put_file(str(source), target)
            else:
                _copy_synced(source, Path(partial))
                os.replace(partial, target)
        except OSError as err:
            if self._local is not None:
                Path(partial).unlink(missing_ok=True)
            raise _unreachable(self._root_uri, err) from err
        return self.uri(key)

    def open(self, key: str) -> BinaryIO:
        """Open the bytes under `key` for reading. Raises NotFound."""
        try:
            return cast(BinaryIO, self._filesystem.open(self._path(key), "rb"))
        except FileNotFoundError as err:
            raise NotFound(f"`{self.uri(key)}` does not exist") from err
        except OSError as err:
            raise _unreachable(self._root_uri, err) from err

    def exists(self, key: str) -> bool:
        """Tell whether there is something under `key`."""
        try:
            return bool(self._filesystem.exists(self._path(key)))
        except OSError as err:
            raise _unreachable(self._root_uri, err) from err

    def uri(self, key: str) -> str:
        """Return the URI of `key`, whether it exists or not."""
        _checked(key)
        return f"{self._root_uri}/{key}"

    def local_path(self, key: str) -> Path | None:
        """Return the path of `key` where the storage is a local folder, else None."""
        _checked(key)
        return None if self._local is None else self._local / key

    def delete(self, key: str) -> None:
        """Remove what is under `key`; nothing there is success."""
        try:
            self._filesystem.rm_file(self._path(key))
        except FileNotFoundError:
            return
        except OSError as err:
            raise _unreachable(self._root_uri, err) from err

    def _path(self, key: str) -> str:
        return f"{self._root}/{_checked(key)}"


def _checked(key: str) -> str:
    parts = key.split("/")
    if not all(_KEY_PART.fullmatch(part) for part in parts):
        raise Invalid(
            f"`{excerpt(key)}` is not a storage key: parts of letters, digits and `_.=-`, joined "
            "by `/`"
        )
    return key


def _local_folder(root_uri: str) -> Path | None:
    # As fsspec reads it: no percent-decoding.
    path = root_uri.removeprefix("file://")
    if path == root_uri:
        return None
    if not path.startswith("/"):
        raise Invalid(f"`{root_uri}` is not a local folder; write it like `file:///srv/storage`")
    return Path(path)


def _copy_synced(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        os.fchmod(writer.fileno(), 0o600)
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def _unreachable(root_uri: str, err: OSError) -> Temporary:
    return Temporary(
        f"the storage `{root_uri}` failed: {err.strerror or type(err).__name__}",
        hint="check that it can be written and has room",
    )
