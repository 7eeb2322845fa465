"""Write a home into one file while everything runs.

The order makes every reference resolve: first the store, then the ledger (so no usage is thought
to be in a ledger that lacks it), then MLflow's database, and only then the files that rows point
to, which are never changed and go last when they go at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from plinth import __version__
from plinth.access.master_key import frozen, key_files
from plinth.kit.clock import SystemClock, to_text
from plinth.kit.errors import Conflict, Invalid, NotFound, Temporary
from plinth.kit.home import Home
from plinth.kit.settings import load_settings
from plinth.kit.units import format_bytes
from plinth.tracking.layout import aside
from plinth.upkeep import databases
from plinth.upkeep.archive import ArchiveWriter, free_bytes
from plinth.upkeep.contents import (
    HomeFile,
    access_logs,
    is_backed_up,
    name_in,
    small_files,
    stored_files,
    tracking_database,
)
from plinth.upkeep.partial import partial_folder
from plinth.upkeep.progress import Counter, Report, say_nothing
from plinth.upkeep.references import needed_files
from plinth.upkeep.stores import snapshot_store
from plinth.upkeep.version import refuse_newer

Json = dict[str, Any]

# The last one: no file may become that large here, by its kind or by a limit of the process.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Files up to this size are read whole, so that one that is being replaced is old or new.
_SMALL_BYTES = 1 << 20
# Room for headers, the list of members and what others write meanwhile.
_SPARE_BYTES = 8 << 20
_LISTED_MISSING = 20


def back_up(home: Home, file: Path, *, force: bool = False, report: Report = say_nothing) -> Json:
    """Write the home into `file` (0600: it holds the signing keys); return what is in it.

    Everything may run meanwhile. The file appears whole or not at all; `FILE.partial` is what a
    kill leaves, and the next backup takes it over. Raises NotFound when there is no home, Conflict
    when `file` exists (but with `force`), a newer Plinth wrote the home or MLflow's files are being
    moved, Temporary when the disk is full.
    """
    began = time.monotonic()
    if not home.node_file.is_file():
        raise NotFound(
            f"no Plinth was started in `{home.root}`, so there is nothing to back up",
            hint="`--home DIR` or PLINTH_HOME names another folder",
        )
    refuse_newer(home)
    layout = _settled_layout(home)
    file = _checked(home, file, force=force)
    made_at = datetime.now(UTC)
    with _room_on(file.parent), partial_folder(file) as folder:
        snapshot = _Snapshot(home, folder, report)
        archive = folder / "archive"
        head = {"plinth": __version__, "schema": snapshot.schema, "made_at": to_text(made_at)}
        with _private(archive) as stream:
            writer = ArchiveWriter(stream, head)
            missing = snapshot.write(writer, report)
            if layout is not None and _settled_layout(home) != layout:
                raise _moving(home)
            manifest = writer.finish(
                {
                    "home": str(home.root),
                    "store": snapshot.store,
                    "counts": snapshot.counts,
                    "missing": missing,
                }
            )
            stream.flush()
            os.fsync(stream.fileno())
        _publish(archive, file, force=force)
    return {
        "file": str(file),
        "size_bytes": file.stat().st_size,
        "seconds": round(time.monotonic() - began, 3),
        **summary_of(manifest),
    }


def summary_of(manifest: Mapping[str, Any]) -> Json:
    """Return what people want to know of a backup: its versions, counts and sizes by room."""
    sizes: dict[str, int] = {}
    for name, (size, _) in manifest["members"].items():
        room = _room_of(name)
        sizes[room] = sizes.get(room, 0) + size
    kept = ("plinth", "schema", "made_at", "home", "store", "counts", "missing")
    return {
        **{name: manifest[name] for name in kept},
        "sizes": sizes,
        "files": len(manifest["members"]),
    }


def _settled_layout(home: Home) -> int | None:
    """Return the layout of MLflow's files; None when there are none yet.

    Raises Conflict while they are moved: neither layout's rows fit to the files then.
    """
    if aside(home).exists():
        raise _moving(home)
    database = tracking_database(home)
    if not database.exists():
        return None
    ((version,),) = databases.ask(database, "pragma user_version")
    return int(str(version))


def _moving(home: Home) -> Conflict:
    return Conflict(
        f"MLflow's files in `{home.tracking}` are being moved to where this Plinth looks for them; "
        "a backup of now would hold only some",
        hint="`plinth up` ends the move, within seconds; when `plinth status` says that MLflow is "
        "ready, make the backup again. Should it ask for `plinth upgrade`: with `--no-backup`",
        code="home_in_use",
    )


class _Snapshot:
    """The databases as they stood at one moment after the other, and what goes with them."""

    def __init__(self, home: Home, folder: Path, report: Report) -> None:
        self._home, self._folder = home, folder
        self._databases: dict[str, Path] = {}
        self._master_keys: dict[str, bytes] = {}
        self.counts: dict[str, dict[str, int]] = {}
        settings = load_settings(home.root)
        copies = {
            "store": (home.database, folder / "store.db"),
            "ledger": (home.ledger, folder / "ledger.db"),
            "tracking": (tracking_database(home), folder / "tracking.db"),
        }
        self.store = "postgresql" if settings.database else "sqlite"
        self.schema: str | None = None
        for name, (source, target) in copies.items():
            report(f"copying the {name} database", 0, 0)
            if name == "store":
                # A rotation between the two would leave rows that no master key opens.
                with frozen(home.secrets, SystemClock()):
                    self.schema = snapshot_store(home, settings, target)
                    keys = key_files(home.secrets)
                    self._master_keys = {name_in(home, path): path.read_bytes() for path in keys}
            elif source.exists():
                databases.copy_sqlite(source, target)
            if target.exists():
                self._databases[name_in(home, source)] = target
                self.counts[name] = databases.counts(target)
        store = folder / "store.db"
        self._needed = needed_files(home, store) if store.exists() else []

    def write(self, writer: ArchiveWriter, report: Report) -> list[str]:
        """Write everything; return the names of files that rows point to and that are not there."""
        files = list(stored_files(self._home))
        with access_logs(self._home) as logs:
            total = sum(path.stat().st_size for path in self._databases.values())
            total += sum(each.size_bytes for each in files) + sum(size for _, _, size in logs)
            self._check_room(total)
            counter = Counter(report, "writing", total)
            for name, path in self._databases.items():
                with path.open("rb") as copy:
                    _add(writer, name, copy, counter)
                # Else each database would need its room twice.
                path.unlink()
            for name, content in self._master_keys.items():
                writer.add_bytes(name, content)
            for each in small_files(self._home):
                _add_file(writer, each, counter)
            for name, stream, size in logs:
                writer.add(name, stream, size, os.fstat(stream.fileno()).st_mtime)
                counter.add(size)
            for each in files:
                _add_file(writer, each, counter)
            counter.end()
        return [name for name in self._needed if name not in writer.entries][:_LISTED_MISSING]

    def _check_room(self, total: int) -> None:
        if free_bytes(self._folder) < total + _SPARE_BYTES:
            raise _full(self._folder.parent, f"the backup needs {format_bytes(total)}")


def _checked(home: Home, file: Path, *, force: bool) -> Path:
    """Return where to write, absolute. Raises Invalid or Conflict for a place that will not do."""
    file = Path(os.path.abspath(file.expanduser()))
    folder = file.parent.resolve()
    if not folder.is_dir():
        raise Invalid(f"`{folder}` is not a folder", hint="make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Invalid(f"`{folder}` cannot be written", hint="choose a folder that you own")
    file = folder / file.name
    if is_backed_up(home, file):
        raise Invalid(
            f"`{file}` is inside of what is backed up",
            hint="choose a file outside of the home, best on another disk",
        )
    if file.is_dir():
        raise Invalid(f"`{file}` is a folder", hint="name a file, such as `plinth-backup.tar`")
    if file.exists() and not force:
        raise _exists(file)
    return file


def _publish(archive: Path, file: Path, *, force: bool) -> None:
    if force:
        os.replace(archive, file)
    else:
        # Unlike a rename, a link never takes the place of a file that came meanwhile.
        try:
            os.link(archive, file)
        except FileExistsError as err:
            raise _exists(file) from err
        except OSError:
            # A file system without hard links.
            os.rename(archive, file)
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(file: Path) -> Conflict:
    return Conflict(
        f"`{file}` exists; a backup takes no file's place",
        hint="choose another name, or `--force` to replace it",
        code="file_exists",
    )


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        yield stream


def _add_file(writer: ArchiveWriter, each: HomeFile, counter: Counter) -> None:
    # It was removed since it was listed: no row that is kept points to it, or `missing` says so.
    with contextlib.suppress(FileNotFoundError), each.path.open("rb") as stream:
        _add(writer, each.name, stream, counter)


def _add(writer: ArchiveWriter, name: str, stream: BinaryIO, counter: Counter) -> None:
    seen = os.fstat(stream.fileno())
    if seen.st_size <= _SMALL_BYTES:
        writer.add_bytes(name, stream.read(), seen.st_mtime)
    else:
        writer.add(name, stream, seen.st_size, seen.st_mtime)
    counter.add(seen.st_size)


@contextmanager
def _room_on(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        if err.errno in _FULL:
            raise _full(folder, "it became full while the backup was written") from err
        raise


def _full(folder: Path, why: str) -> Temporary:
    return Temporary(
        f"the disk of `{folder}` is full: {why}, {format_bytes(free_bytes(folder))} are free",
        hint="free some space, or write to another disk; nothing was left behind",
        code="disk_full",
    )


def _room_of(name: str) -> str:
    parts = name.split("/")
    rooms = {
        "db": "databases",
        "gateway": "access logs",
        "secrets": "secrets",
        "storage": "data and code",
    }
    if parts[0] == "mlflow":
        return "databases" if len(parts) == 2 else "models and artifacts"
    return rooms.get(parts[0], "settings")
