"""Make a finished batch's output a data version of its team, with every byte looked at again.

Storing goes on in the background, so that no lease waits; the row is written by the reconciler in
the transaction that ends the run. Doing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import duckdb
from sqlalchemy import Connection

from plinth.control.batches.preparation import work_folder
from plinth.control.batches.run_folder import open_inside, read_inside
from plinth.control.context import Context
from plinth.control.data_folder import (
    LISTING,
    content_key,
    data_key,
    digest_of_files,
    write_listing,
)
from plinth.control.datasets import NewData, stored_at
from plinth.domain.batch import BatchInference
from plinth.domain.model import Column, DataFile, DataVersion
from plinth.kit.errors import Invalid, NotFound, Permanent
from plinth.kit.files import make_private
from plinth.storage.tabular import inspect
from plinth.store.data_versions import add_data_version, find_by_digest, next_version
from plinth.store.runs import StoredRun

MANIFEST, OUTPUT, QUARANTINE = "manifest.json", "output", "quarantine"
PART_NAME = re.compile(r"part-[0-9]{5,}-[0-9]{6,}\.parquet")
_PIECE_BYTES = 1 << 20
_MOST_PARTS = 10_000
_MOST_COUNT = 2**53


@dataclass(frozen=True, slots=True)
class Published:
    """What a run's output is as data: its files, its columns, its counts."""

    data: NewData
    columns: tuple[Column, ...]
    rows: int
    set_aside: int


def publish(context: Context, run: StoredRun, batch: BatchInference) -> Published | None:
    """Return the output once it is stored; None where no row was answered.

    Raises Temporary while it is being stored, Permanent when what the run wrote is not what its
    manifest says.
    """
    work = work_folder(context, run.id)
    manifest = read_inside(work, MANIFEST)
    if manifest is None:
        raise Permanent("the run ended well and left no manifest that can be read")
    files = files_in(manifest)
    if not files:
        return None
    size_bytes = sum(each.size_bytes for each in files)
    data = NewData(
        team=run.team,
        name=batch.dataset,
        file_name=LISTING,
        digest=digest_of_files(files),
        size_bytes=size_bytes,
    )
    listing = context.storage.local_path(stored_at(data))
    assert listing is not None  # `find_local` has refused another storage.
    context.builder.fetch(
        listing,
        f"the output of batch {batch.name}",
        lambda: _store(context, work, data, files),
        what="storing the output",
    )
    first = context.storage.local_path(content_key(run.team, files[0].digest))
    assert first is not None
    rows, set_aside = sum(each.rows or 0 for each in files), _count(manifest, "set_aside")
    return Published(data, _columns(first, files[0]), rows, set_aside)


def add_output(
    connection: Connection, context: Context, run: StoredRun, published: Published
) -> DataVersion:
    """Write the row of the output, unless it is there: made by the run's own principal."""
    data = published.data
    known = find_by_digest(connection, data.team, data.name, data.digest)
    if known is not None:
        return known
    version = DataVersion(
        team=data.team,
        name=data.name,
        version=next_version(connection, data.team, data.name),
        digest=data.digest,
        uri=context.storage.uri(stored_at(data)),
        file_name=data.file_name,
        size_bytes=data.size_bytes,
        rows=published.rows,
        columns=published.columns,
        created_by=run.principal,
        created_at=context.clock.now(),
    )
    add_data_version(connection, version)
    return version


def files_in(manifest: dict[str, Any]) -> tuple[DataFile, ...]:
    """Return the parts that a manifest names. Raises Permanent when it is not one of ours."""
    try:
        parts = manifest["parts"]
        files = tuple(
            DataFile(
                name=part["name"],
                digest=part["digest"],
                size_bytes=part["size_bytes"],
                rows=part["rows"],
            )
            for part in parts
        )
    except (KeyError, TypeError, ValueError) as err:
        raise Permanent("the run's manifest is damaged") from err
    names = {each.name for each in files}
    if len(names) != len(files) or not all(PART_NAME.fullmatch(name) for name in names):
        raise Permanent("the run's manifest names parts that no run writes")
    # No database holds more.
    if any(not 0 <= count <= _MOST_COUNT for each in files for count in _counts(each)):
        raise Permanent("the run's manifest counts what cannot be")
    if len(files) > _MOST_PARTS:
        raise Permanent(f"the run's manifest names more than {_MOST_PARTS:,} parts")
    return files


def _counts(file: DataFile) -> tuple[int, int]:
    return file.size_bytes, file.rows or 0


def _store(context: Context, work: Path, data: NewData, files: tuple[DataFile, ...]) -> None:
    uploads = make_private(context.home.storage / ".uploads")
    for each in files:
        key = content_key(data.team, each.digest)
        if context.storage.exists(key):
            continue
        with NamedTemporaryFile(dir=uploads) as stream:
            digest = hashlib.sha256()
            try:
                with open_inside(work, OUTPUT, each.name) as source:
                    while piece := source.read(_PIECE_BYTES):
                        digest.update(piece)
                        stream.write(piece)
            except NotFound as err:
                raise Permanent(f"the output's part `{each.name}` is gone") from err
            stream.flush()
            if digest.hexdigest() != each.digest:
                raise Permanent(f"the output's part `{each.name}` is damaged")
            os.fsync(stream.fileno())
            context.storage.put_file(Path(stream.name), key)
    with NamedTemporaryFile(dir=uploads) as stream:
        stream.write(write_listing(files))
        stream.flush()
        listing = f"{data_key(data.team, data.name, data.digest)}/{LISTING}"
        context.storage.put_file(Path(stream.name), listing)


def _columns(path: Path, file: DataFile) -> tuple[Column, ...]:
    try:
        return inspect(path, file_name=file.name).columns
    except (Invalid, duckdb.Error):
        # The run wrote something else than Parquet: it is kept, and says nothing of its columns.
        return ()


def _count(manifest: dict[str, Any], name: str) -> int:
    value = manifest.get(name)
    return value if isinstance(value, int) and value >= 0 else 0
