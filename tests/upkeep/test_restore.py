"""A backup becomes a home that is the same, but for where it is and for what cannot run on."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from plinth.catalog.imports import load_imports, save_import
from plinth.control.data_folder import data_key
from plinth.control.identities import make_first
from plinth.domain.run import Phase
from plinth.kit.clock import from_text
from plinth.kit.errors import Conflict, Invalid, PlinthError, Temporary
from plinth.kit.home import Home
from plinth.kit.ids import digest_of
from plinth.kit.settings import load_settings
from plinth.metering.ledger import Ledger
from plinth.store import tables
from plinth.store.data_versions import find_data_version
from plinth.store.runs import find_run, list_attempts
from plinth.store.schema import newest_revision
from plinth.store.session import Database
from plinth.upkeep import restore as restoring
from plinth.upkeep.archive import ArchiveWriter
from plinth.upkeep.backup import back_up
from plinth.upkeep.databases import copy_sqlite
from plinth.upkeep.restore import restore
from tests.catalog.imported import imported
from tests.control.plane import TEAM, Plane, open_database
from tests.store.test_migrations import FIRST, at_revision
from tests.store.test_schema import future
from tests.upkeep.stand import (
    ARTIFACT,
    CONTENT,
    LARGE,
    LINE,
    full_home,
    manifest_of,
    members,
    new_place,
    write_archive,
)


@contextmanager
def backed_up(file: Path, *, running: bool = False) -> Iterator[Plane]:
    """Give a plane whose home was backed up into `file`; `running`: with a job that runs."""
    with full_home() as plane:
        if running:
            plane.submit(name="runs", attempts=2)
            plane.until(lambda: any(a.phase is Phase.RUNNING for a in attempts_of(plane.database)))
        back_up(plane.home, file)
        yield plane


def attempts_of(database: Database) -> list[Any]:
    with database.read() as connection:
        ids = connection.execute(select(tables.run.c.id)).scalars().all()
        return list_attempts(connection, ids)


@contextmanager
def opened(home: Home) -> Iterator[Database]:
    database = open_database(home.database)
    yield database
    database.close()


def test_everything_is_there_again(tmp_path: Path) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar") as plane:
        made = restore(home, tmp_path / "b.tar")
        assert (made["home"], made["ended_runs"], made["notes"]) == (str(home.root), [], [])
        assert made["from"]["counts"]["store"]["run"] == 1
        for name in ("node.json", "settings.toml", "secrets/admin.token"):
            assert (home.root / name).read_bytes() == (plane.home.root / name).read_bytes()
        with opened(home) as database, database.read() as new, plane.database.read() as old:
            for table in (tables.team, tables.key, tables.grant, tables.principal, tables.event):
                query = select(table).order_by(*table.primary_key)
                assert new.execute(query).all() == old.execute(query).all()
        with closing(Ledger(home.ledger)) as ledger:
            assert ledger.records() == plane.context.ledger.records()
            (gap,) = ledger.gaps()
    # What the old home served after the backup, nobody here can know.
    made_at = from_text(made["from"]["made_at"])
    assert gap.started_at < made_at <= gap.ended_at
    assert (home.root / ARTIFACT).read_bytes() == LARGE
    assert (home.gateway / "access.log").read_bytes() == LINE * 3
    assert not any((home.root / name).exists() for name in ("units", "environments", "models"))


def test_imported_facts_hold_again(tmp_path: Path) -> None:
    with full_home() as plane:
        save_import(plane.home.catalog, imported("quotas", "quota,region,limit", "cpu,eastus,5"))
        back_up(plane.home, tmp_path / "b.tar")
    home = Home(new_place())
    restore(home, tmp_path / "b.tar")
    assert [each.name for each in load_imports(home.catalog)] == ["ours.csv"]


def test_it_is_private_and_nothing_is_left_beside(tmp_path: Path) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar"):
        restore(home, tmp_path / "b.tar")
    assert [path.name for path in home.root.parent.iterdir()] == ["h"]
    folders = [home.root, *(path for path in home.root.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_logs_keep_their_times_by_which_they_are_kept(tmp_path: Path) -> None:
    home = Home(new_place())
    with full_home() as plane:
        log = plane.home.gateway / "access.log.000001"
        os.utime(log, (1_800_000_000, 1_800_000_000))
        back_up(plane.home, tmp_path / "b.tar")
        restore(home, tmp_path / "b.tar")
    assert (home.gateway / log.name).stat().st_mtime == 1_800_000_000


def test_data_is_found_where_it_is_now(tmp_path: Path) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar") as plane:
        restore(home, tmp_path / "b.tar")
        old = str(plane.home.root)
    with opened(home) as database, database.read() as connection:
        version = find_data_version(connection, TEAM, "flights", 1)
        assert version is not None
        dump = [str(row) for table in tables.metadata.sorted_tables
                for row in connection.execute(select(table))]  # fmt: skip
    key = f"{data_key(TEAM, 'flights', version.digest)}/f.csv"
    assert version.uri == f"file://{home.storage}/{key}"
    assert Path(version.uri.removeprefix("file://")).read_bytes() == CONTENT
    assert not [row for row in dump if old in row]


def test_the_same_keys_are_valid(tmp_path: Path) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar") as plane:
        token = plane.home.admin_token.read_text()
        restore(home, tmp_path / "b.tar")
        plane.close()
        plane.home = home
        plane._open()
        make_first(plane.context)
        claims = plane.context.claims_of(token)
        assert claims is not None
        assert home.admin_token.read_text() == token
        assert plane.actor().principal.id == "admin"


def test_what_ran_is_tried_again_by_its_attempts_and_counted_once(tmp_path: Path) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar", running=True) as plane:
        (before,) = attempts_of(plane.database)
        made = restore(home, tmp_path / "b.tar")
        assert made["ended_runs"] == [before.run]
        plane.close()
        # The new home's engine knows of nothing, a day later.
        plane.home = home
        plane.world.replicas.clear()
        plane.clock.advance(timedelta(days=1).total_seconds())
        plane._open()
        plane.until(lambda: len(plane.attempts(before.run)) == 2)
        first, second = plane.attempts(before.run)
        assert (first.phase, first.ended_at) == (Phase.FAILED, first.seen_at)
        assert first.seen_at is not None
        assert first.seen_at <= before.seen_at
        assert "this node knows nothing of it" in str(first.reason)
        assert second.number == 2
        reasons = plane.reasons(f"run/{before.run}")
        assert reasons[reasons.index("Restored") :][:2] == ["Restored", "Retrying"]
        plane.parts.metering.collect()
        used = [r for r in plane.context.ledger.records() if r.run == before.run]
        assert sum(r.quantity for r in used if r.source.endswith(".0.1")) < 60


def test_a_job_without_attempts_left_has_failed(tmp_path: Path) -> None:
    home = Home(new_place())
    with full_home() as plane:
        run_id = plane.submit(name="runs")
        plane.until(lambda: plane.run(run_id).phase is Phase.RUNNING)
        back_up(plane.home, tmp_path / "b.tar")
        restore(home, tmp_path / "b.tar")
        plane.close()
        plane.home = home
        plane.world.replicas.clear()
        plane._open()
        plane.until(lambda: plane.run(run_id).phase.is_final)
        run = plane.run(run_id)
    assert (run.phase, run.reason) == (Phase.FAILED, "Failed")
    assert "this node knows nothing of it" in run.message


@pytest.mark.parametrize("content", ["file", "agent"])
def test_a_home_with_content_is_refused(tmp_path: Path, content: str) -> None:
    home = Home(new_place())
    home.root.mkdir()
    (home.root / content).write_text("mine")
    with backed_up(tmp_path / "b.tar"), pytest.raises(Conflict) as refused:
        restore(home, tmp_path / "b.tar")
    assert refused.value.code == "home_not_empty"
    assert "--home DIR" in str(refused.value.hint)
    assert [path.name for path in home.root.iterdir()] == [content]
    assert [path.name for path in home.root.parent.iterdir()] == ["h"]


def test_a_home_that_runs_is_refused_with_that_reason(tmp_path: Path) -> None:
    with backed_up(tmp_path / "b.tar") as plane:
        code = "import sys; from pathlib import Path; from plinth.kit.files import locked\n"
        code += "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", code, str(plane.home.root / "agent.lock")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(Conflict, match="Plinth runs in") as refused:
                restore(plane.home, tmp_path / "b.tar")
            assert holder.stdin is not None
            holder.stdin.close()
    assert refused.value.code == "home_in_use"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    home = Home(new_place())
    home.root.mkdir(mode=0o755)
    with backed_up(tmp_path / "b.tar"):
        restore(home, tmp_path / "b.tar")
    assert home.root.stat().st_mode & 0o777 == 0o700


def test_a_place_that_will_not_do_is_refused(tmp_path: Path) -> None:
    with backed_up(tmp_path / "b.tar"):
        (tmp_path / "file").write_text("x")
        (tmp_path / "link").symlink_to(tmp_path)
        short = Path(new_place().parent)
        (short / "file").write_text("x")
        (short / "link").symlink_to(tmp_path)
        for name in ("file", "link"):
            with pytest.raises(Conflict, match="is not a folder"):
                restore(Home(short / name), tmp_path / "b.tar")
        with pytest.raises(Invalid, match="cannot be made"):
            restore(Home(short / "file" / "h"), tmp_path / "b.tar")
        with pytest.raises(Invalid, match="Unix sockets"):
            restore(Home(short / ("x" * 80)), tmp_path / "b.tar")


def test_a_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar"):
        content = bytearray((tmp_path / "b.tar").read_bytes())
        content[content.index(LARGE[:4096]) + 5000] ^= 1
        (tmp_path / "b.tar").write_bytes(content)
        with pytest.raises(Invalid) as refused:
            restore(home, tmp_path / "b.tar")
    assert refused.value.code == "backup_damaged"
    assert list(home.root.parent.iterdir()) == []


def test_a_backup_of_a_newer_schema_is_refused_before_it_is_read(tmp_path: Path) -> None:
    home = Home(new_place())
    write_archive(
        tmp_path / "b.tar",
        {"backup.json": b'{"format": 1, "plinth": "9.9.0", "schema": "9999"}'},
    )
    with pytest.raises(Conflict) as refused:
        restore(home, tmp_path / "b.tar")
    assert "9.9.0" in refused.value.message
    assert refused.value.code == "newer_home"
    assert list(home.root.parent.iterdir()) == []


def test_a_backup_whose_store_is_newer_than_its_head_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(new_place())
    with full_home() as plane:
        future(plane.database)
        monkeypatch.setattr("plinth.upkeep.backup.refuse_newer", lambda _home: None)

        def copy(home: Home, _settings: object, target: Path) -> str:
            copy_sqlite(home.database, target)
            return "0001"

        monkeypatch.setattr("plinth.upkeep.backup.snapshot_store", copy)
        back_up(plane.home, tmp_path / "b.tar")
        with pytest.raises(Conflict, match="9999"):
            restore(home, tmp_path / "b.tar")
    assert list(home.root.parent.iterdir()) == []


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_a_backup_of_an_earlier_schema_is_brought_forward(tmp_path: Path, revision: str) -> None:
    old, home = Home(new_place()), Home(new_place())
    old.prepare()
    old.node_file.write_text('{"port": 20001}')
    at_revision(old.database, "0001").close()
    with closing(sqlite3.connect(old.database)) as connection:
        connection.executescript(FIRST)
    at_revision(old.database, revision).close()
    made = back_up(old, tmp_path / "b.tar")
    assert made["schema"] == revision
    assert restore(home, tmp_path / "b.tar")["ended_runs"] == ["r_a"]
    with opened(home) as database, database.read() as connection:
        (attempt,) = list_attempts(connection, ["r_a"])
        found = connection.exec_driver_sql("select version_num from alembic_version").scalar()
    assert found == newest_revision()
    assert (attempt.phase, attempt.ended_at) == (Phase.FAILED, attempt.started_at)


def test_a_store_that_was_postgresql_is_sqlite_here(tmp_path: Path) -> None:
    home = Home(new_place())
    settings = '# ours\ndatabase = "postgresql://u:p@db/x"  # shared\ntrace_days = 7\n'
    with backed_up(tmp_path / "b.tar") as plane:
        (plane.home.root / "settings.toml").write_text(settings)
        whole = members(tmp_path / "b.tar")
        manifest = manifest_of(tmp_path / "b.tar")
        assert manifest["members"]["settings.toml"]
        with_settings(tmp_path / "p.tar", whole, manifest, settings.encode())
        made = restore(home, tmp_path / "p.tar")
    assert "SQLite in this home now" in made["notes"][0]
    found = load_settings(home.root)
    assert (found.database, found.trace_days) == ("", 7.0)
    assert '# database = "postgresql://u:p@db/x"' in (home.root / "settings.toml").read_text()


def with_settings(
    file: Path, whole: dict[str, bytes], manifest: dict[str, Any], settings: bytes
) -> None:
    """Write the archive again, with other settings and a manifest that fits them."""
    with file.open("wb") as stream:
        head = {name: manifest[name] for name in ("plinth", "schema", "made_at")}
        writer = ArchiveWriter(stream, head)
        for name, content in list(whole.items())[1:-1]:
            new = settings if name == "settings.toml" else content
            writer.add(name, io.BytesIO(new), len(new))
        writer.finish({name: manifest[name] for name in ("home", "store", "counts", "missing")})


def test_a_disk_without_room_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar"):
        monkeypatch.setattr(restoring, "free_bytes", lambda _folder: 1000)
        with pytest.raises(Temporary) as full:
            restore(home, tmp_path / "b.tar")
        assert full.value.code == "disk_full"
        monkeypatch.undo()

        def fill(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(restoring.ArchiveReader, "extract", fill)
        with pytest.raises(Temporary, match="became full"):
            restore(home, tmp_path / "b.tar")
    assert list(home.root.parent.iterdir()) == []


def test_a_file_system_that_is_read_only_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(new_place())

    def refuse(*_: Any, **_more: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with backed_up(tmp_path / "b.tar"):
        # It is noticed as the folder is made, the parent's or our own.
        for root in (home.root / "parent" / "h", home.root):
            with monkeypatch.context() as patch:
                patch.setattr(Path, "mkdir", refuse)
                with pytest.raises(Invalid) as told:
                    restore(Home(root), tmp_path / "b.tar")
            assert "mounted read-only" in told.value.message
            assert "restore to another disk" in str(told.value.hint)
    assert list(home.root.parent.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"made_at": None}, {"made_at": "soon"}, {"home": 3}, {"counts": []}]
)
def test_a_manifest_without_what_it_must_say_changes_nothing(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    home = Home(new_place())
    with backed_up(tmp_path / "b.tar"):
        whole, manifest = members(tmp_path / "b.tar"), manifest_of(tmp_path / "b.tar")
        for number, changed in enumerate((change, None)):
            facts = {**manifest, **(change if changed else {})}
            if changed is None:
                facts.pop(next(iter(change)))
            content = json.dumps(facts).encode()
            file = tmp_path / f"{number}.tar"
            named = f"manifest-{digest_of(content)}.json"
            write_archive(file, dict([*list(whole.items())[:-1], (named, content)]))
            with pytest.raises(Invalid, match=f"damaged.*`{next(iter(change))}`") as refused:
                restore(home, file)
            assert refused.value.code == "backup_damaged"
    assert list(home.root.parent.iterdir()) == []


def test_a_head_that_says_too_little_is_refused_before_it_is_read(tmp_path: Path) -> None:
    home = Home(new_place())
    for head in (b'{"format": 1}', b'{"format": 1, "plinth": "0.1.0", "schema": []}'):
        write_archive(tmp_path / "b.tar", {"backup.json": head})
        with pytest.raises(Invalid, match="is damaged"):
            restore(home, tmp_path / "b.tar")
    assert list(home.root.parent.iterdir()) == []


def test_a_kill_in_the_middle_leaves_a_partial_that_the_next_one_replaces(tmp_path: Path) -> None:
    home = Home(new_place())
    code = (
        "import os, signal, sys\n"
        "os.sync = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from plinth.upkeep.__main__ import main\n"
        "main(sys.argv[1:])"
    )
    with backed_up(tmp_path / "b.tar"):
        options = ["restore", str(tmp_path / "b.tar"), "--home", str(home.root)]
        done = subprocess.run(
            [sys.executable, "-c", code, *options], capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert [path.name for path in home.root.parent.iterdir()] == ["h.partial"]
        restore(home, tmp_path / "b.tar")
    assert [path.name for path in home.root.parent.iterdir()] == ["h"]


def test_a_home_that_cannot_be_put_in_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(new_place())

    def refuse(*_: Any) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    with backed_up(tmp_path / "b.tar"):
        monkeypatch.setattr(os, "rename", refuse)
        with pytest.raises(PlinthError, match="cannot be put in place") as told:
            restore(home, tmp_path / "b.tar")
    assert "mount point" in str(told.value.hint)


def test_runs_name_data_in_the_new_home(tmp_path: Path) -> None:
    home = Home(new_place())
    with full_home() as plane:
        run_id = plane.submit(name="reads", data={"flights": "flights@1"})
        back_up(plane.home, tmp_path / "b.tar")
        restore(home, tmp_path / "b.tar")
    with opened(home) as database, database.read() as connection:
        run = find_run(connection, run_id)
    assert run.data["flights"].uri.startswith(f"file://{home.storage}/")
