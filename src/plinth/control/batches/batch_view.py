"""A batch for people: how far it is, how its model runs, what it wrote, where that is data now."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from plinth.control.batches.preparation import work_folder
from plinth.control.batches.progress import read_progress
from plinth.control.batches.publication import (
    MANIFEST,
    OUTPUT,
    PART_NAME,
    QUARANTINE,
    files_in,
)
from plinth.control.batches.run_folder import list_inside, read_inside
from plinth.control.context import Context
from plinth.control.data_folder import digest_of_files
from plinth.domain.batch import BatchInference
from plinth.kit.errors import Permanent
from plinth.store.data_versions import find_by_digest
from plinth.store.runs import StoredRun

FOLDERS = (OUTPUT, QUARANTINE)
_SHOWN = ("form", "rows", "answered", "set_aside")


def describe_batch(connection: Connection, context: Context, run: StoredRun) -> dict[str, Any]:
    """Return what is known of a batch beside its run. `output`: the data version, once there."""
    manifest = read_inside(work_folder(context, run.id), MANIFEST) or {}
    progress = read_progress(context, run.id)
    return {
        "progress": progress.model_dump(mode="json"),
        "words": progress.words,
        "manifest": _encodable({name: manifest[name] for name in _SHOWN if name in manifest}),
        "output": _output(connection, run, manifest),
    }


def list_files(context: Context, run: StoredRun) -> list[str]:
    """Return the files that a run has finished: its manifest, its parts, what it set aside."""
    work = work_folder(context, run.id)
    found = [MANIFEST] if MANIFEST in list_inside(work) else []
    for folder in FOLDERS:
        names = list_inside(work, folder)
        found += [f"{folder}/{name}" for name in names if PART_NAME.fullmatch(name)]
    return found


def _encodable(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a run wrote so that it can be answered: JSON may name half a character."""
    text = json.dumps(told, ensure_ascii=False).encode(errors="replace")
    found: dict[str, Any] = json.loads(text)
    return found


def _output(connection: Connection, run: StoredRun, manifest: dict[str, Any]) -> str | None:
    """Return the data version that the output became; the same output is the same version."""
    if not isinstance(run.workload, BatchInference) or not manifest.get("parts"):
        return None
    try:
        digest = digest_of_files(files_in(manifest))
    except Permanent:
        return None
    found = find_by_digest(connection, run.team, run.workload.dataset, digest)
    return f"{found.name}@{found.version}" if found is not None else None
