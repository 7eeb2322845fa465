"""Make a home from a backup: built beside its place, checked to the last byte, then renamed."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from plinth.domain.usage import Gap
from plinth.kit.clock import to_text
from plinth.kit.errors import Conflict, Invalid, PlinthError, Temporary
from plinth.kit.files import make_private
from plinth.kit.home import Home
from plinth.kit.settings import FILE_NAME, load_settings
from plinth.kit.units import format_bytes
from plinth.metering.gaps import UNWRITTEN_S
from plinth.metering.ledger import Ledger
from plinth.store.relocation import end_attempts, free_leases, move_addresses
from plinth.store.schema import knows, newer
from plinth.store.session import Database
from plinth.upkeep.archive import ArchiveReader, free_bytes
from plinth.upkeep.backup import summary_of
from plinth.upkeep.manifest import Origin, check_head, origin_of
from plinth.upkeep.partial import partial_folder
from plinth.upkeep.progress import Counter, Report, say_nothing
from plinth.upkeep.references import storage_roots
from plinth.upkeep.running import living
from plinth.upkeep.stores import sqlite_revision, sqlite_writer

Json = dict[str, Any]

# The last one: no file may become that large here, by its kind or by a limit of the process.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SPARE_BYTES = 16 << 20
_DATABASE = "database"


def restore(home: Home, file: Path, *, report: Report = say_nothing) -> Json:
    """Make `home` from the backup `file`; return what is in it and what was ended.

    The home appears whole or not at all; `HOME.partial` is what a kill leaves, and the next
    restore takes it over. Raises Conflict for a home with content and for a backup that a newer
    Plinth wrote, Invalid for a file that is damaged or no backup, Temporary for a full disk.
    """
    began = time.monotonic()
    target = Home(home.root.parent.resolve() / home.root.name)
    _check_empty(target)
    with ArchiveReader(file) as archive:
        check_head(archive.head, file)
        if not knows(archive.head["schema"]):
            raise _newer(file, archive.head["schema"], archive.head["plinth"])
        _make_parent(target.root.parent)
        with _room_on(target.root.parent), partial_folder(target.root) as folder:
            _check_room(target.root.parent, archive.size_bytes)
            counter = Counter(report, "reading and checking", archive.size_bytes)
            built = Home(make_private(folder / "home"))
            manifest = archive.extract(built.root, counter.add)
            origin = origin_of(manifest, file)
            counter.end()
            report("making it true for this home", 0, 0)
            _check_store(built, file)
            ended, notes = _settle(built, target, origin)
            report("waiting for the disk", 0, 0)
            # One call for all files: they may be very many.
            os.sync()
            _put_in_place(built.root, target.root)
    return {
        "home": str(target.root),
        "seconds": round(time.monotonic() - began, 3),
        "ended_runs": ended,
        "notes": notes,
        "from": summary_of(manifest),
    }


def _check_store(built: Home, file: Path) -> None:
    """Look whether the head of the file said the truth: somebody may have put the two together."""
    found = sqlite_revision(built.database) if built.database.exists() else None
    if not knows(found):
        raise _newer(file, str(found), sqlite_writer(built.database))


def _newer(file: Path, schema: str, plinth: str | None) -> Conflict:
    back = "restore a backup that this Plinth or an earlier one made"
    return newer(schema, plinth, what=f"the backup `{file}`", back=back)


def _settle(built: Home, target: Home, origin: Origin) -> tuple[list[str], list[str]]:
    """Bring the databases forward and make the rows true for the new home."""
    notes = _use_sqlite(built)
    if not built.database.exists():
        return [], notes
    made_at, now = origin.made_at, datetime.now(UTC)
    if built.ledger.exists():
        _note_gap(built, made_at, now)
    database = Database(built.database)
    try:
        database.migrate()
        old, new = storage_roots(Home(origin.home)), storage_roots(target)
        with database.write() as connection:
            move_addresses(connection, _moves(old, new))
            free_leases(connection, now)
            ended = end_attempts(connection, made_at, now)
    finally:
        database.close()
    return ended, notes


def _note_gap(built: Home, made_at: datetime, now: datetime) -> None:
    """Say in the ledger for which time it cannot know what the old home served."""
    gap = Gap(
        source="restore",
        position=to_text(now),
        reason="restored from a backup: what was served after it is not in here",
        started_at=made_at - timedelta(seconds=UNWRITTEN_S),
        ended_at=max(made_at, now),
    )
    with closing(Ledger(built.ledger)) as ledger:
        before = ledger.cursor(gap.source)
        ledger.commit(gap.source, [], expected=before, cursor=gap.position, gaps=[gap])


def _moves(old: tuple[str, ...], new: tuple[str, ...]) -> dict[str, str]:
    # Of a folder without odd characters both forms are one.
    escaped = zip((old[0], old[-1]), (new[0], new[-1]), strict=True)
    return {f"{before}/": f"{after}/" for before, after in escaped}


def _use_sqlite(built: Home) -> list[str]:
    """Take the name of a PostgreSQL database out of the settings: the rows are in the home now."""
    path = built.root / FILE_NAME
    if not path.exists() or not load_settings(built.root).database:
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [f"# {line}" if line.split("=")[0].strip() == _DATABASE else line for line in lines]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    if load_settings(built.root).database:
        raise Invalid(
            f"`{FILE_NAME}` in the backup names a database in a way that cannot be taken out",
            hint='write it as one line, `database = "..."`, and make the backup again',
        )
    return [
        "the store was PostgreSQL and is SQLite in this home now: `database` in settings.toml is "
        "commented out, so that the old database stays as it is"
    ]


def _make_parent(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as err:
        if err.errno == errno.EROFS:
            raise _read_only(folder) from err
        raise Invalid(
            f"`{folder}` cannot be made: {err.strerror}", hint="choose a folder that you own"
        ) from err


def _check_empty(home: Home) -> None:
    root = home.root
    home.check_length()
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise Conflict(f"`{root}` is not a folder", hint="name a folder that does not exist yet")
    if not root.exists() or not any(root.iterdir()):
        return
    running = living(home)
    if running:
        raise Conflict(
            f"Plinth runs in `{root}`: {', '.join(running[:5])}",
            hint="restore into another home: `plinth restore FILE --home DIR`",
            code="home_in_use",
        )
    raise Conflict(
        f"`{root}` is not empty; a backup is restored into an empty home only",
        hint="name another: `plinth restore FILE --home DIR`, or move this one away first",
        code="home_not_empty",
    )


def _put_in_place(built: Path, target: Path) -> None:
    try:
        # An empty folder gives way; one that got content meanwhile does not.
        os.rename(built, target)
    except OSError as err:
        raise PlinthError(
            f"`{target}` cannot be put in place: {err.strerror}",
            hint="a home that is a mount point of its own cannot be renamed over: restore into a "
            "folder below it",
        ) from err
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_room(folder: Path, needed: int) -> None:
    free = free_bytes(folder)
    if free < needed + _SPARE_BYTES:
        raise _full(folder, f"the home needs {format_bytes(needed)}")


@contextmanager
def _room_on(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as err:
        raise Invalid(
            f"`{folder}` cannot be written: {err.strerror}", hint="choose a folder that you own"
        ) from err
    except OSError as err:
        if err.errno in _FULL:
            raise _full(folder, "it became full while the home was written") from err
        if err.errno == errno.EROFS:
            raise _read_only(folder) from err
        raise


def _read_only(folder: Path) -> Invalid:
    return Invalid(
        f"`{folder}` cannot be written: its file system is mounted read-only",
        hint="nothing was changed; restore to another disk: `plinth restore FILE --home DIR`",
    )


def _full(folder: Path, why: str) -> Temporary:
    return Temporary(
        f"the disk of `{folder}` is full: {why}, {format_bytes(free_bytes(folder))} are free",
        hint="free some space, or restore to another disk; nothing was left behind",
        code="disk_full",
    )
