"""Which files of a home a backup holds: what cannot be made anew from something else.

Not in it: environments and fetched models (built and fetched again), the folders and output of
units, the work folders of runs, sockets, Envoy's configuration (rendered from rows).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from plinth.access.master_key import key_files
from plinth.kit.errors import Temporary
from plinth.kit.home import Home
from plinth.kit.settings import FILE_NAME

TRACKING_DATABASE = "mlflow.db"
_ARTIFACTS = "artifacts"
# Of callers' requests and of their copies: sources of the ledger.
_ACCESS_LOGS = ("access.log", "shadow.log")
# Half received or half written; what is whole has another name.
_UNFINISHED_FOLDERS = frozenset({".uploads"})
_UNFINISHED_ENDINGS = (".partial", ".tmp")
_TRIES = 20


@dataclass(frozen=True, slots=True)
class HomeFile:
    """A file, its name in the backup, and its size when it was listed."""

    name: str
    path: Path
    size_bytes: int


def tracking_database(home: Home) -> Path:
    """Return MLflow's database."""
    return home.tracking / TRACKING_DATABASE


def name_in(home: Home, path: Path) -> str:
    """Return the name that a file of the home has in a backup."""
    return path.relative_to(home.root).as_posix()


def stored_files(home: Home) -> Iterator[HomeFile]:
    """Yield what rows point to: data, code and its diffs, MLflow's artifacts."""
    for folder in (home.storage, home.tracking / _ARTIFACTS):
        yield from _below(home, folder)


def small_files(home: Home) -> Iterator[HomeFile]:
    """Yield the secrets and what was set: who may, which port, settings, imported facts.

    Without the master keys, which fit to the rows of one moment: a backup reads them with those.
    """
    master_keys = set(key_files(home.secrets))
    for path in sorted(set(home.secrets.rglob("*")) - master_keys):
        if path.is_file() and path.name != "lock" and not path.name.startswith("."):
            yield HomeFile(name_in(home, path), path, path.stat().st_size)
    for path in (home.node_file, home.root / FILE_NAME):
        if path.is_file():
            yield HomeFile(name_in(home, path), path, path.stat().st_size)
    yield from _below(home, home.catalog)


def is_backed_up(home: Home, path: Path) -> bool:
    """Tell whether a file at `path` would be in a backup of the home, or in the way of one."""
    kept = (home.storage, home.tracking, home.gateway, home.secrets, home.catalog)
    folders = (*kept, home.database.parent)
    return any(path.is_relative_to(folder.resolve()) for folder in folders)


@contextmanager
def access_logs(home: Home) -> Iterator[list[tuple[str, BinaryIO, int]]]:
    """Open the gateway's access logs, all of one moment: name, stream, bytes that are there.

    A log may be renamed while they are opened; then all are opened again, since one that was
    missed would be usage that was missed. Raises Temporary when that goes on and on.
    """
    for _ in range(_TRIES):
        with ExitStack() as stack:
            found = _open_logs(home, stack)
            if found is not None:
                yield found
                return
    raise Temporary("the gateway's access logs are renamed all the time", hint="do it again")


def _open_logs(home: Home, stack: ExitStack) -> list[tuple[str, BinaryIO, int]] | None:
    before = _inodes(home.gateway)
    found: list[tuple[str, BinaryIO, int]] = []
    for name, inode in before.items():
        try:
            stream = stack.enter_context((home.gateway / name).open("rb"))
        except FileNotFoundError:
            return None
        status = os.fstat(stream.fileno())
        if status.st_ino != inode:
            return None
        found.append((f"{home.gateway.name}/{name}", stream, status.st_size))
    return found if _inodes(home.gateway) == before else None


def _inodes(folder: Path) -> dict[str, int]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        logs = [each for each in entries if each.name.startswith(_ACCESS_LOGS) and each.is_file()]
    return {each.name: each.inode() for each in sorted(logs, key=lambda each: each.name)}


def _below(home: Home, folder: Path) -> Iterator[HomeFile]:
    try:
        with os.scandir(folder) as found:
            children = sorted(found, key=lambda each: each.name)
    except FileNotFoundError:
        return
    for child in children:
        path = Path(child.path)
        # A link leads to a file that has its own name, or out of the home.
        if child.is_dir(follow_symlinks=False) and child.name not in _UNFINISHED_FOLDERS:
            yield from _below(home, path)
        elif child.is_file(follow_symlinks=False) and not child.name.endswith(_UNFINISHED_ENDINGS):
            # One that was removed since it was listed is in no row that is kept.
            with contextlib.suppress(FileNotFoundError):
                yield HomeFile(name_in(home, path), path, child.stat().st_size)
