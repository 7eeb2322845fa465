"""One file with everything that cannot be made anew, written while all of it is in use."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from plinth import __version__
from plinth.kit.errors import Conflict, Invalid, NotFound, Temporary
from plinth.kit.home import Home
from plinth.kit.ids import digest_of
from plinth.store.schema import newest_revision
from plinth.tracking.layout import aside, bring_forward
from plinth.upkeep import backup, databases
from plinth.upkeep.backup import back_up
from tests.store.test_schema import future
from tests.upkeep.stand import (
    ARTIFACT,
    LARGE,
    LINE,
    add_usage,
    full_home,
    manifest_of,
    members,
    new_place,
)


def test_it_holds_what_cannot_be_made_anew_and_nothing_else(tmp_path: Path) -> None:
    with full_home() as plane:
        made = back_up(plane.home, tmp_path / "b.tar")
        key = next(plane.home.secrets.glob("signing/*.json")).name
    found = members(tmp_path / "b.tar")
    names = list(found)[1:-1]
    assert names[:3] == ["db/plinth.db", "db/ledger.db", "mlflow/mlflow.db"]
    assert {name for name in names[3:] if not name.startswith("storage/")} == {
        ARTIFACT,
        "gateway/access.log",
        "gateway/access.log.000001",
        "node.json",
        "secrets/admin.token",
        f"secrets/signing/{key}",
        "settings.toml",
    }
    assert sum(name.startswith("storage/") for name in names) == 3
    assert found[ARTIFACT] == LARGE
    assert found["gateway/access.log"] == LINE * 3
    assert (made["files"], made["missing"]) == (len(names), [])


def test_it_is_refused_while_mlflows_files_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_home() as plane:
        aside(plane.home).mkdir()
        with pytest.raises(Conflict, match="are being moved") as refused:
            back_up(plane.home, tmp_path / "b.tar")
        assert "`plinth up` ends the move" in str(refused.value.hint)
        aside(plane.home).rmdir()
        written = backup.stored_files

        def move_first(home: Home) -> Any:
            # As the control plane does when it starts MLflow: begun and done during the backup.
            bring_forward(home, [])
            return written(home)

        monkeypatch.setattr(backup, "stored_files", move_first)
        with pytest.raises(Conflict, match="are being moved"):
            back_up(plane.home, tmp_path / "b.tar")
        assert list(tmp_path.iterdir()) == []
        back_up(plane.home, tmp_path / "b.tar")
    assert members(tmp_path / "b.tar")


def test_what_is_told_of_it(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    with full_home() as plane:
        made = back_up(plane.home, tmp_path / "b.tar", report=lambda *words: said.append(words))
        home = str(plane.home.root)
    assert (made["plinth"], made["schema"]) == (__version__, newest_revision())
    assert (made["home"], made["store"]) == (home, "sqlite")
    assert made["file"] == str(tmp_path / "b.tar")
    assert made["size_bytes"] == (tmp_path / "b.tar").stat().st_size
    counted = {name: made["counts"]["store"][name] for name in ("team", "run", "data_version")}
    assert counted == {"team": 2, "run": 1, "data_version": 1}
    assert made["counts"]["ledger"]["usage"] == 1
    assert made["counts"]["tracking"]["model_versions"] == 1
    assert made["sizes"]["models and artifacts"] == len(LARGE)
    assert [step for step, _, _ in said][:3] == [
        f"copying the {name} database" for name in ("store", "ledger", "tracking")
    ]
    step, done, total = said[-1]
    assert (step, done) == ("writing", total)
    manifest = manifest_of(tmp_path / "b.tar")
    assert manifest["members"][ARTIFACT] == [len(LARGE), digest_of(LARGE)]


def test_only_its_owner_reads_it_and_nothing_is_left_beside(tmp_path: Path) -> None:
    with full_home() as plane:
        back_up(plane.home, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_the_store_is_copied_before_the_ledger_and_files_come_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is in the backup never points to a file that was not there yet."""
    with full_home() as plane:
        copied = []
        copy = databases.copy_sqlite

        def late(source: Path, target: Path) -> None:
            copy(source, target)
            copied.append(source.name)
            # What comes after a database was copied is in the files, not in its rows.
            (plane.home.storage / f"after-{source.stem}").write_bytes(b"x")
            if source.name == "plinth.db":
                add_usage(plane, "two")

        monkeypatch.setattr(databases, "copy_sqlite", late)
        made = back_up(plane.home, tmp_path / "b.tar")
    assert copied == ["plinth.db", "ledger.db", "mlflow.db"]
    assert made["counts"]["ledger"]["usage"] == 2
    assert {"storage/after-plinth", "storage/after-mlflow"} <= set(members(tmp_path / "b.tar"))


def test_it_is_consistent_while_rows_are_written(tmp_path: Path) -> None:
    """A writer adds a file, then its row, again and again: no row is without its file."""
    with full_home() as plane:
        stop = threading.Event()

        def write() -> None:
            number = 2
            while not stop.is_set():
                uri = plane.context.storage.put_file(
                    plane.home.node_file, f"data/research/flights/{number}/f.csv"
                )
                with plane.write() as connection:
                    connection.exec_driver_sql(
                        "insert into data_version select team, name, ?, ?, ?, file_name, "
                        "size_bytes, rows, columns, created_by, created_at from data_version "
                        "where version = 1",
                        (number, f"{number:064d}", uri),
                    )
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            made = [back_up(plane.home, tmp_path / f"{n}.tar") for n in range(3)]
        finally:
            stop.set()
            writer.join()
    assert [each["missing"] for each in made] == [[], [], []]
    rows = [each["counts"]["store"]["data_version"] for each in made]
    assert rows == sorted(rows)
    assert rows[-1] > rows[0]


def test_a_file_that_rows_name_and_that_is_gone_is_told(tmp_path: Path) -> None:
    with full_home() as plane:
        (lost,) = plane.home.storage.glob("data/*/*/*/f.csv")
        lost.unlink()
        made = back_up(plane.home, tmp_path / "b.tar")
        assert made["missing"] == [str(lost.relative_to(plane.home.root))]


def test_a_file_that_is_removed_while_it_is_written_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_home() as plane:
        listed = list(backup.stored_files(plane.home))
        (plane.home.root / ARTIFACT).unlink()
        monkeypatch.setattr(backup, "stored_files", lambda _home: listed)
        back_up(plane.home, tmp_path / "b.tar")
    assert ARTIFACT not in members(tmp_path / "b.tar")


def test_no_file_is_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("precious")
    with full_home() as plane:
        with pytest.raises(Conflict) as refused:
            back_up(plane.home, tmp_path / "b.tar")
        assert refused.value.code == "file_exists"
        assert (tmp_path / "b.tar").read_text() == "precious"
        back_up(plane.home, tmp_path / "b.tar", force=True)
    assert members(tmp_path / "b.tar")
    assert (tmp_path / "b.tar").stat().st_mode & 0o777 == 0o600


def test_a_file_that_comes_meanwhile_is_not_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with full_home() as plane:
        publish = backup._publish

        def late(archive: Path, file: Path, *, force: bool) -> None:
            file.write_text("precious")
            publish(archive, file, force=force)

        monkeypatch.setattr(backup, "_publish", late)
        with pytest.raises(Conflict):
            back_up(plane.home, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_where_no_hard_links_are_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with full_home() as plane:
        back_up(plane.home, tmp_path / "b.tar")
    assert members(tmp_path / "b.tar")


@pytest.mark.parametrize("inside", ["storage/b.tar", "mlflow/artifacts/b.tar", "db/b.tar"])
def test_it_cannot_lie_in_what_it_holds(inside: str) -> None:
    with full_home() as plane, pytest.raises(Invalid, match="inside of what is backed up"):
        back_up(plane.home, plane.home.root / inside)


def test_a_place_that_will_not_do_is_refused(tmp_path: Path) -> None:
    with full_home() as plane:
        with pytest.raises(Invalid, match="is not a folder"):
            back_up(plane.home, tmp_path / "absent" / "b.tar")
        with pytest.raises(Invalid, match="is a folder"):
            back_up(plane.home, tmp_path)
    with pytest.raises(NotFound, match="no Plinth was started"):
        back_up(Home(tmp_path / "empty"), tmp_path / "b.tar")


def test_a_home_of_a_newer_plinth_is_refused(tmp_path: Path) -> None:
    with full_home() as plane:
        future(plane.database)
        with pytest.raises(Conflict, match=r"9\.9\.0"):
            back_up(plane.home, tmp_path / "b.tar")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before_the_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "free_bytes", lambda _folder: 1000)
    with full_home() as plane, pytest.raises(Temporary) as full:
        back_up(plane.home, tmp_path / "b.tar")
    assert full.value.code == "disk_full"
    assert "1 kB are free" in full.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_becomes_full_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup.ArchiveWriter, "add_bytes", fill)
    with full_home() as plane, pytest.raises(Temporary) as full:
        back_up(plane.home, tmp_path / "b.tar")
    assert full.value.code == "disk_full"
    assert "nothing was left behind" in str(full.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_real_file_system_that_becomes_full_leaves_nothing(tmp_path: Path) -> None:
    """The limit on a file's size is what an ordinary user has in place of a full disk."""
    with full_home() as plane:
        code = (
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
            "from plinth.upkeep.__main__ import main\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, "backup", str(tmp_path / "b.tar")]
        done = subprocess.run(
            [*command, "--home", str(plane.home.root)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert '"error"' in done.stdout
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_the_middle_leaves_a_partial_that_the_next_one_replaces(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from plinth.upkeep import backup\n"
        "backup.small_files = lambda _home: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from plinth.upkeep.__main__ import main\n"
        "main(sys.argv[1:])"
    )
    with full_home() as plane:
        options = ["backup", str(tmp_path / "b.tar"), "--home", str(plane.home.root)]
        done = subprocess.run(
            [sys.executable, "-c", code, *options], capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert [path.name for path in tmp_path.iterdir()] == ["b.tar.partial"]
        back_up(plane.home, tmp_path / "b.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["b.tar"]


def test_a_home_that_never_got_as_far_as_mlflow_is_backed_up(tmp_path: Path) -> None:
    with full_home() as plane:
        (plane.home.tracking / "mlflow.db").unlink()
        made = back_up(plane.home, tmp_path / "b.tar")
    assert set(made["counts"]) == {"store", "ledger"}


def test_a_home_whose_control_plane_never_started_is_backed_up(tmp_path: Path) -> None:
    home = Home(new_place())
    home.prepare()
    home.node_file.write_text('{"port": 1}')
    made = back_up(home, tmp_path / "b.tar")
    assert (made["schema"], made["counts"], made["missing"]) == (None, {}, [])


def test_the_copies_of_databases_are_whole(tmp_path: Path) -> None:
    with full_home() as plane:
        back_up(plane.home, tmp_path / "b.tar")
        found = members(tmp_path / "b.tar")
        (tmp_path / "plinth.db").write_bytes(found["db/plinth.db"])
        connection = sqlite3.connect(tmp_path / "plinth.db")
        (count,) = connection.execute("select count(*) from run").fetchone()
        (state,) = connection.execute("pragma integrity_check").fetchone()
        connection.close()
    assert (count, state) == (1, "ok")
