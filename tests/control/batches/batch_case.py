"""A batch on a whole control plane: submitted, and its process's files written by the test."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from plinth.control.batches.preparation import work_folder
from plinth.control.batches.service import submit_batch
from plinth.control.datasets import add_version
from plinth.control.lineage import find_lineage
from plinth.control.many_files import FileList, NamedFile, keep_file, make_version
from plinth.control.planning import plan_or_refuse
from plinth.domain.batch import BatchInference
from plinth.domain.model import DataVersion
from plinth.domain.workload_fields import parse_model
from plinth.store.runs import StoredRun
from tests.control.plane import TEAM, Plane

MLMODEL = "flavors:\n  python_function:\n    env: {}\n"


def add_files(plane: Plane, name: str = "rows", **texts: str) -> DataVersion:
    """Add a version of CSV files: their names without the ending -> what stands in them."""
    files = []
    for stem, text in texts.items():
        path = plane.home.root / "sent.csv"
        path.write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        files.append(NamedFile(name=f"{stem}.csv", digest=digest))
        keep_file(plane.context, TEAM, files[-1], path)
    wanted = FileList(files=tuple(files), as_is=True)
    data, table = make_version(plane.context, TEAM, name, wanted)
    with plane.write() as connection:
        return add_version(connection, plane.context, plane.actor(), data, table)[0]


def batch_of(**fields: Any) -> BatchInference:
    """Return a batch of team `research` over `rows`."""
    given = {"model": "models:/scale@champion", "data": "rows", "team": TEAM}
    return BatchInference(kind="batch", **{"name": "nightly", **given, **fields})


def submit(plane: Plane, batch: BatchInference | None = None) -> StoredRun:
    """Write the intent to run a batch."""
    batch = batch or batch_of()
    plan = plan_or_refuse(plane.context, batch)
    model = plane.tracking.resolve_model(TEAM, parse_model(batch.model))
    lineage = find_lineage(plane.context, batch.model, model)
    with plane.write() as connection:
        return submit_batch(
            connection,
            plane.context,
            plane.actor(),
            batch,
            plan=plan,
            model=model,
            lineage=lineage,
        )


def write_output(plane: Plane, run: StoredRun, *rows: int) -> Path:
    """Write what a run that came to its end leaves: a part for each number of rows."""
    work = work_folder(plane.context, run.id)
    (work / "output").mkdir(parents=True, exist_ok=True)
    parts = []
    for number, count in enumerate(rows):
        content = f"{number} {count}".encode()
        name = f"part-00000-{number:06d}.parquet"
        (work / "output" / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        parts.append(
            {"name": name, "digest": digest, "rows": count, "size_bytes": len(content)}
            | {"file": 0, "batch": number}
        )
    (work / "manifest.json").write_text(json.dumps({"parts": parts, "set_aside": 1}))
    return work
