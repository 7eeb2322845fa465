"""Secrets: keep, take for a use, delete. The API and the gateway's reconciler call it.

A master key may be far away, so it is never asked within a transaction: data keys are wrapped
before one and unwrapped after one. A value is in no log, no error and no entry of the audit log.
"""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.access.master_key import MissingMasterKey, WrappedKey
from plinth.access.vault import DataKey, Place, Sealed, seal, unseal
from plinth.control.context import Context
from plinth.domain.access import PLATFORM_PRINCIPAL, Actor
from plinth.domain.base import Declared
from plinth.domain.secret import check_secret
from plinth.kit.errors import Temporary
from plinth.store import secrets as store
from plinth.store.audit import Entry, add_entry
from plinth.store.identities import find_principal
from plinth.store.secrets import StoredSecret, no_secret

# A rotation may remove the master key between reading a row and unwrapping, once for each.
_TRIES = 3


class DeletedSecret(Declared):
    """A secret that was deleted. `uses`: for what its last version had been taken."""

    team: str
    name: str
    version: int
    uses: tuple[str, ...]


def put_secret(
    connection: Connection,
    context: Context,
    actor: Actor,
    place: tuple[str, str],
    *,
    value: bytes,
    data_key: DataKey,
) -> int:
    """Keep a value as the next version of the secret at `place` (team, name); return its number.

    `data_key`: a fresh one, made before the transaction. Raises Invalid and TooLarge for the
    value, Temporary when the master key was rotated since the data key was made.
    """
    team, name = place
    check_secret(value)
    if store.is_retired(connection, data_key.wrapped.master_key):
        raise Temporary(
            "the master key was rotated at this moment",
            hint="send the value again; if that fails so too, rotate once more",
        )
    version = store.next_version(connection, team, name)
    sealed = seal(data_key, value, Place(team, name, version))
    secret = StoredSecret(
        team=team,
        name=name,
        version=version,
        master_key=sealed.data_key.master_key,
        wrapped_key=sealed.data_key.content,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
        set_at=context.clock.now(),
        set_by=actor.principal.id,
    )
    store.put_secret(connection, secret)
    return version


def delete_secret(connection: Connection, context: Context, team: str, name: str) -> DeletedSecret:
    """Delete a secret with its content. Raises NotFound when there is none."""
    version = store.version_of(connection, team, name)
    if version is None:
        raise no_secret(team, name)
    uses = store.uses_of(connection, team, name, version)
    store.delete_secret(connection, team, name, context.clock.now())
    return DeletedSecret(team=team, name=name, version=version, uses=uses)


def secret_version(connection: Connection, team: str, name: str) -> int | None:
    """Return the number of a secret's newest version, None when there is no such secret.

    Opens nothing and notes nothing: for whoever asks again and again whether a value changed.
    """
    return store.version_of(connection, team, name)


def read_secret(context: Context, team: str, name: str, *, purpose: str) -> bytes:
    """Take the newest value of a secret for a use of the platform's own.

    `purpose`: `kind/name` of what needs it, such as `endpoint/chat`, at most 80 characters. The
    first time that a version is taken for a purpose goes into the audit log, before the value is
    returned; the same again is not noted. Opens transactions of its own, and may call a KMS between
    them: never call it within one. Raises NotFound when there is no such secret, Permanent when it
    does not open, Temporary when the database or the KMS is away.
    """
    if not 0 < len(purpose) <= store.PURPOSE_LENGTH:
        raise ValueError(f"a purpose has 1 to {store.PURPOSE_LENGTH} characters: {purpose!r}")
    stored, value = _open(context, team, name)
    with context.database.read() as connection:
        is_known = store.has_use(connection, team, name, purpose, stored.version)
    if not is_known:
        _note_use(context, stored, purpose)
    return value


def _open(context: Context, team: str, name: str) -> tuple[StoredSecret, bytes]:
    before: str | None = None
    for _ in range(_TRIES):
        with context.database.read() as connection:
            stored = store.find_secret(connection, team, name)
        if stored is None:
            raise no_secret(team, name)
        try:
            return stored, unseal(context.master_key, _sealed(stored), _place(stored))
        except MissingMasterKey as err:
            missing = err
            if stored.master_key == before:
                break
            before = stored.master_key
    raise MissingMasterKey(
        f"secret `{name}` of team `{team}` does not open: {missing.message}", hint=missing.hint
    ) from missing


def _note_use(context: Context, stored: StoredSecret, purpose: str) -> None:
    now = context.clock.now()
    with context.database.write() as connection:
        if store.has_use(connection, stored.team, stored.name, purpose, stored.version):
            return  # Another control plane has just noted the same.
        platform = find_principal(connection, PLATFORM_PRINCIPAL)
        assert platform is not None  # made at the first start
        store.add_use(connection, stored, purpose, now)
        entry = Entry(
            at=now,
            principal=platform,
            team=stored.team,
            action="read",
            subject=f"secret/{stored.name}",
            detail={"purpose": purpose, "version": stored.version},
        )
        add_entry(connection, entry)


def _sealed(stored: StoredSecret) -> Sealed:
    data_key = WrappedKey(stored.master_key, stored.wrapped_key)
    return Sealed(data_key, stored.nonce, stored.ciphertext)


def _place(stored: StoredSecret) -> Place:
    return Place(stored.team, stored.name, stored.version)
