"""A home with something of everything that a backup holds, its control plane open."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sqlalchemy import insert, update

from plinth.control.data_folder import data_key
from plinth.control.preparation import code_key, diff_key
from plinth.domain.usage import Meter, UsageRecord
from plinth.kit.files import write_json
from plinth.kit.home import Home
from plinth.kit.ids import digest_of
from plinth.store import tables
from plinth.tracking.server import MLFLOW_SCHEMA
from tests.control.plane import TEAM, Plane, make_plane

PORT = 20_001
CONTENT = b"a,b\n1,2\n"
CODE = b"a snapshot"
DIFF = b"a difference"
ARTIFACT = "mlflow/artifacts/workspaces/research/1/models/m-1/artifacts/MLmodel"
LARGE = b"0123456789abcdef" * (1 << 17)
LINE = b'{"id":"one"}\n'


def new_place() -> Path:
    """Return a path at which nothing is, short enough for a home."""
    return Path(mkdtemp(prefix="pl-")) / "h"


@contextmanager
def full_home() -> Iterator[Plane]:
    """Give a control plane whose home was started, and has files, a job, usage and models."""
    with make_plane() as plane:
        home = plane.home
        write_json(home.node_file, {"port": PORT, "address": f"http://127.0.0.1:{PORT}"})
        (home.root / "settings.toml").write_text("# ours\ntrace_days = 7\n")
        add_files(plane)
        add_usage(plane, "one")
        add_tracking(home)
        (home.gateway / "access.log").write_bytes(LINE * 3)
        (home.gateway / "access.log.000001").write_bytes(LINE)
        for made_anew in ("environments/x/bin", "runs/r_1/work", "models/m", "units/r_1.0.1"):
            (home.root / made_anew).mkdir(parents=True)
            (home.root / made_anew / "file").write_text("not in a backup")
        yield plane


def add_files(plane: Plane) -> None:
    """Store data, code and its difference, and a row for each."""
    source = Path(mkdtemp(prefix="pl-")) / "f"
    source.write_bytes(CONTENT)
    digest = digest_of(CONTENT)
    key = f"{data_key(TEAM, 'flights', digest)}/f.csv"
    uri = plane.context.storage.put_file(source, key)
    source.write_bytes(CODE)
    plane.context.storage.put_file(source, code_key(TEAM, digest_of(CODE)))
    source.write_bytes(DIFF)
    plane.context.storage.put_file(source, diff_key(TEAM, digest_of(DIFF)))
    (plane.home.storage / ".uploads").mkdir()
    (plane.home.storage / ".uploads" / "half").write_bytes(b"x")
    run_id = plane.submit()
    with plane.write() as connection:
        row = {"team": TEAM, "name": "flights", "version": 1, "digest": digest, "uri": uri}
        row |= {"file_name": "f.csv", "size_bytes": len(CONTENT), "rows": 1, "columns": []}
        row |= {"created_by": "admin", "created_at": plane.clock.now()}
        connection.execute(insert(tables.data_version).values(**row))
        ended = {"phase": "succeeded", "closed": True, "due_at": None}
        code = {"commit": "0" * 40, "diff_digest": digest_of(DIFF)}
        connection.execute(
            update(tables.run)
            .where(tables.run.c.id == run_id)
            .values(code_digest=digest_of(CODE), code=code, **ended)
        )


def add_usage(plane: Plane, request_id: str) -> None:
    """Put a request into the ledger."""
    now, ledger = plane.clock.now(), plane.context.ledger
    record = UsageRecord(
        source="gateway:x",
        position=request_id,
        meter=Meter.REQUESTS,
        quantity=1.0,
        team=TEAM,
        workload="endpoint/delay",
        request_id=request_id,
        started_at=now,
        ended_at=now + timedelta(seconds=1),
    )
    ledger.commit("gateway:x", [record], expected=ledger.cursor("gateway:x"), cursor=request_id)


def add_tracking(home: Home, *, schema: str = MLFLOW_SCHEMA) -> None:
    """Make what MLflow would: its database and an artifact, and a folder of its own."""
    with closing(sqlite3.connect(home.tracking / "mlflow.db")) as connection:
        connection.executescript(
            "create table alembic_version (version_num text);"
            f"insert into alembic_version values ('{schema}');"
            "create table model_versions (name text, version integer);"
            "insert into model_versions values ('m', 1);"
        )
    artifact = home.root / ARTIFACT
    artifact.parent.mkdir(parents=True)
    artifact.write_bytes(LARGE)
    (home.tracking / "tmp").mkdir()
    (home.tracking / "tmp" / "half").write_bytes(b"x")


def members(file: Path) -> dict[str, bytes]:
    """Return what is in an archive, in order."""
    with tarfile.open(file) as archive:
        found = {}
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None
            found[member.name] = stream.read()
        return found


def manifest_of(file: Path) -> dict[str, Any]:
    """Return a backup's last member."""
    name, content = list(members(file).items())[-1]
    assert name.startswith("manifest-")
    found: dict[str, Any] = json.loads(content)
    return found


def write_archive(file: Path, entries: dict[str, bytes], **fields: Any) -> Path:
    """Write a tar file with these members; `fields` are set on the header of each."""
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in entries.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            for field, value in fields.items():
                setattr(header, field, value)
            archive.addfile(header, io.BytesIO(content))
    return file
