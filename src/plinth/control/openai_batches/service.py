"""Keep files and make batches. Called by the API inside its transaction; never commits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.openai_batches.limits import (
    ENDPOINTS,
    FILE_DAYS,
    MOST_ACTIVE,
    MOST_TEAM_BYTES,
    Expiry,
    window_s,
)
from plinth.control.openai_batches.preparation import file_key
from plinth.domain.access import Actor
from plinth.domain.base import Declared
from plinth.kit.errors import Busy, Conflict, Invalid, TooLarge
from plinth.kit.excerpt import excerpt
from plinth.kit.ids import new_id
from plinth.kit.units import format_bytes
from plinth.store.openai_batches import (
    StoredBatch,
    add_batch,
    count_active,
    find_batch,
    no_batch,
    reads_file,
    want_cancel,
)
from plinth.store.openai_files import (
    StoredFile,
    add_file,
    delete_file,
    list_expired,
    stored_bytes,
)
from plinth.store.runs import want_stop

BATCH_PURPOSE, OUTPUT_PURPOSE = "batch", "batch_output"
FILE_PREFIX, BATCH_PREFIX = "file-", "batch_"
_ID_LENGTH = 16
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
_RETRY_AFTER_S = 60.0
_AT_ONCE = 100


class NewFile(Declared):
    """A file that was received: whose, what for, and what is in it. `expiry_s` None: the usual."""

    id: str
    team: str
    purpose: str
    name: str
    size_bytes: int
    digest: str
    expiry_s: int | None = None


class NewBatch(Declared):
    """What is asked for, as OpenAI names it."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: Expiry | None = None


def new_file_id() -> str:
    """Return the id of a file that is about to be made."""
    return new_id(FILE_PREFIX, _ID_LENGTH)


def require_room(connection: Connection, team: str, size_bytes: int) -> None:
    """Return if a team may keep so many bytes more. Raises TooLarge."""
    held = stored_bytes(connection, team)
    if held + size_bytes > MOST_TEAM_BYTES:
        raise TooLarge(
            f"team `{team}` has {format_bytes(held)} of files, and {format_bytes(MOST_TEAM_BYTES)} "
            "is the most",
            hint="delete some: `DELETE /v1/files/ID`",
        )


def keep_file(connection: Connection, context: Context, actor: Actor, file: NewFile) -> StoredFile:
    """Write the row of a file whose bytes are stored."""
    require_room(connection, file.team, file.size_bytes)
    now = context.clock.now()
    seconds = FILE_DAYS * 86400 if file.expiry_s is None else file.expiry_s
    is_kept = file.expiry_s is None and file.purpose != BATCH_PURPOSE
    stored = StoredFile(
        **file.model_dump(exclude={"expiry_s"}),
        created_at=now,
        created_by=actor.principal.id,
        expires_at=None if is_kept else now + timedelta(seconds=seconds),
    )
    add_file(connection, stored)
    return stored


def remove_file(connection: Connection, file: StoredFile) -> None:
    """Forget a file; its bytes go when that is committed. Raises Conflict while it is read."""
    batch = reads_file(connection, file.id)
    if batch is not None:
        raise Conflict(
            f"batch `{batch}` reads file `{file.id}`",
            hint=f"`POST /v1/batches/{batch}/cancel` first",
        )
    delete_file(connection, file.id)


def remove_bytes(context: Context, file: StoredFile) -> None:
    """Remove the bytes of a file that has no row any more."""
    key = file_key(file.team, file.id)
    context.storage.delete(key)
    path = context.storage.local_path(key)
    if path is not None:
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def purge_expired(context: Context) -> None:
    """Remove the files that have expired; two that do so at once do each other no harm."""
    now = context.clock.now()
    with context.database.read() as connection:
        expired = list_expired(connection, now, _AT_ONCE)
    for file in expired:
        with context.database.write() as connection:
            if reads_file(connection, file.id) is not None:
                continue
            delete_file(connection, file.id)
        remove_bytes(context, file)


def create_batch(
    connection: Connection, context: Context, actor: Actor, asked: NewBatch, file: StoredFile
) -> StoredBatch:
    """Write a batch; its lines are checked later. Raises Invalid, Busy when there are too many."""
    if asked.endpoint not in ENDPOINTS:
        raise Invalid(
            f"`endpoint` is `{excerpt(asked.endpoint)}`; {', '.join(ENDPOINTS)} are accepted"
        )
    if file.purpose != BATCH_PURPOSE:
        raise Invalid(
            f"the file `{file.id}` is for `{file.purpose}`; a batch reads one for `batch`",
            hint="upload it with `purpose` set to `batch`",
        )
    _check_metadata(asked.metadata or {})
    seconds, expiry = window_s(asked.completion_window), asked.output_expires_after
    if count_active(connection, file.team) >= MOST_ACTIVE:
        raise Busy(
            f"team `{file.team}` has {MOST_ACTIVE} batches that have not ended, the most at once",
            hint="send it again when one of them has ended",
            retry_after_s=_RETRY_AFTER_S,
        )
    now = context.clock.now()
    batch = StoredBatch(
        id=new_id(BATCH_PREFIX, _ID_LENGTH),
        team=file.team,
        endpoint=asked.endpoint,
        input_file=file.id,
        window=asked.completion_window,
        metadata=asked.metadata,
        output_expires_s=None if expiry is None else expiry.checked("output_expires_after"),
        created_at=now,
        created_by=actor.principal.id,
        expires_at=now + timedelta(seconds=seconds),
    )
    add_batch(connection, batch)
    return batch


def cancel_batch(connection: Connection, context: Context, batch: StoredBatch) -> StoredBatch:
    """Ask a batch to end with what it has. Raises Conflict when it has ended otherwise."""
    if batch.status in ("cancelling", "cancelled"):
        return batch
    if batch.status not in ("validating", "in_progress"):
        raise Conflict(f"Cannot cancel a batch with status '{batch.status}'.")
    now = context.clock.now()
    want_cancel(connection, batch, now)
    if batch.run is not None:
        want_stop(connection, batch.run, now)
    found = find_batch(connection, batch.id)
    if found is None:
        raise no_batch(batch.id)
    return found


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > _MOST_PAIRS:
        raise Invalid(f"`metadata` has {len(metadata)} pairs; {_MOST_PAIRS} is the most")
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            raise Invalid(
                f"`metadata.{excerpt(key)}` is too long; keys have up to {_LONGEST_KEY} "
                f"characters, values up to {_LONGEST_VALUE}"
            )
