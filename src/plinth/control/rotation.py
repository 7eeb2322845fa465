"""Put a new master key in the place of the old ones, whenever it is killed.

The new key's file is on the disk before anything is wrapped by it; every row says which key wraps
it; an old key's file goes only after a transaction that found nothing wrapped by it and forbids it
from then on. So each secret opens at every moment, and whoever comes next goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sqlalchemy import Connection

from plinth.access.master_key import DamagedKey, MissingMasterKey, WrappedKey
from plinth.access.vault import rewrap
from plinth.control.context import Context
from plinth.domain.access import PLATFORM_PRINCIPAL
from plinth.domain.base import Declared
from plinth.kit.errors import PlinthError
from plinth.store.audit import Entry, add_entry
from plinth.store.identities import find_principal
from plinth.store.secrets import (
    WrappedRow,
    change_wrapping,
    list_wrapped,
    retire_master_keys,
)

log = logging.getLogger(__name__)


class Rotation(Declared):
    """What a rotation did. `master_key`: the id of the key that wraps everything now.

    `rewrapped`: secrets whose data key was wrapped anew. `removed`: master keys that are gone.
    `unopened`: secrets, as `team/name`, whose data key no master key here opens; what they are
    wrapped by stays.
    """

    master_key: str
    rewrapped: int
    removed: tuple[str, ...]
    unopened: tuple[str, ...]


# Writes a finished rotation into the audit log, in the transaction that ends it.
Note = Callable[[Connection, Rotation], None]


def rotate_master_key(context: Context, note: Note) -> Rotation:
    """Make a new master key, wrap every data key by it, and remove the old ones.

    No secret's ciphertext changes, and secrets can be set and read meanwhile. Raises Busy when
    another rotation or a backup goes on, Permanent when the keyring is open to others.
    """
    with context.master_key.held():
        return _settle(context, context.master_key.renew(), note)


def finish_rotation(context: Context) -> None:
    """Finish a rotation that was killed. Never raises: without it every secret opens as well."""
    try:
        if len(context.master_key.ids()) < 2:
            return
        with context.master_key.held():
            newest, *others = context.master_key.ids()
            if others:
                done = _settle(context, newest, lambda c, rotation: _note(c, context, rotation))
                log.info("a rotation to master key %s was finished: %s", newest, done.removed)
    except PlinthError as err:
        log.warning("a rotation of the master key was not finished: %s", err.message)


def _settle(context: Context, newest: str, note: Note) -> Rotation:
    """Wrap everything by the newest key, then remove the others; the caller holds the keyring."""
    rewrapped, unopened = 0, set[tuple[str, str]]()
    while True:
        rewrapped += _rewrap_all(context, newest, unopened)
        with context.database.write() as connection:
            wrapped = _wrapped_by_others(connection, newest)
            if {(row.team, row.name) for row in wrapped} - unopened:
                continue  # One was set meanwhile, its data key wrapped before the new key was made.
            needed = {row.master_key for row in wrapped}
            removed = [each for each in context.master_key.ids() if each not in {newest, *needed}]
            rotation = Rotation(
                master_key=newest,
                rewrapped=rewrapped,
                removed=tuple(removed),
                unopened=tuple(sorted(f"{row.team}/{row.name}" for row in wrapped)),
            )
            retire_master_keys(connection, removed, context.clock.now())
            note(connection, rotation)
        context.master_key.forget(removed)
        return rotation


def _rewrap_all(context: Context, newest: str, unopened: set[tuple[str, str]]) -> int:
    """Wrap by the newest key what is not; return how many. Adds to `unopened` what cannot be."""
    with context.database.read() as connection:
        stale = _wrapped_by_others(connection, newest)
    changes = []
    for row in stale:
        try:
            after = rewrap(context.master_key, WrappedKey(row.master_key, row.wrapped_key))
        except (MissingMasterKey, DamagedKey):
            unopened.add((row.team, row.name))
            continue
        changes.append((row, {"master_key": after.master_key, "wrapped_key": after.content}))
    if not changes:
        return 0
    with context.database.write() as connection:
        return sum(
            change_wrapping(connection, row, row.model_copy(update=change))
            for row, change in changes
        )


def _wrapped_by_others(connection: Connection, newest: str) -> list[WrappedRow]:
    return [row for row in list_wrapped(connection) if row.master_key != newest]


def _note(connection: Connection, context: Context, rotation: Rotation) -> None:
    """Note what was finished without a caller, if anything was."""
    if not rotation.rewrapped and not rotation.removed:
        return
    platform = find_principal(connection, PLATFORM_PRINCIPAL)
    assert platform is not None  # made at the first start
    entry = Entry(
        at=context.clock.now(),
        principal=platform,
        action="rotate",
        subject=f"master-key/{rotation.master_key}",
        detail=detail_of(rotation),
    )
    add_entry(connection, entry)


def detail_of(rotation: Rotation) -> dict[str, object]:
    """Return what the audit log says of a rotation."""
    return {
        "rewrapped": rotation.rewrapped,
        "removed": ", ".join(rotation.removed),
        "unopened": len(rotation.unopened),
    }
