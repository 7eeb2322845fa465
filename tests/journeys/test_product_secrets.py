"""Secrets of a whole Plinth: nothing stored or listed holds one, and no kill loses one.

Processes are needed: what is looked for stands in files, in memory of the kernel's process list,
and in what a killed control plane left behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from plinth.access.master_key import MasterKeyring, key_files
from plinth.access.vault import new_data_key
from plinth.control.context import Context
from plinth.control.secrets import put_secret, read_secret
from plinth.kit.errors import PlinthError
from plinth.kit.home import Home
from plinth.server import ControlPlane
from plinth.store.identities import load_actor
from plinth.store.session import Database
from plinth.upkeep.restore import restore
from plinth.upkeep.stores import copy_store
from tests.control.plane import make_plane
from tests.control.test_secrets import put
from tests.journeys.plinth_node import Plinth, kill, running_plinth, wait_for
from tests.journeys.postgres_stand import Databases, SteppedDatabase

TEAM = "research"
# Made anew for each session, so that it can be in no file from before.
VALUE = f"hunter2-{secrets.token_hex(12)}".encode()
USE = "endpoint/chat"
MANY = 1500


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with running_plinth(managed_environments, free_port(), teams=[TEAM]) as plinth:
        yield plinth


@pytest.fixture
def inside(plinth: Plinth) -> Iterator[Context]:
    """Give the parts of a control plane of this home, which reads as the gateway's does."""
    with opened(plinth.home) as context:
        yield context


@contextlib.contextmanager
def opened(home: Home) -> Iterator[Context]:
    context = ControlPlane(home).context
    try:
        yield context
    finally:
        context.tracking.close()
        context.ledger.close()
        context.database.close()


def set_secret(plinth: Plinth, name: str, value: bytes = VALUE) -> None:
    """Set a secret as a person does, through standard input, looking at all processes meanwhile."""
    command = [sys.executable, "-m", "plinth.cli.main", "secrets", "set", name, "--team", TEAM]
    environment = {**os.environ, "PLINTH_HOME": str(plinth.home.root)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    ) as process:
        assert value not in process_list()
        out, err = process.communicate(value + b"\n", timeout=60)
        assert process.returncode == 0, err
        assert value not in out + err
    assert value not in process_list()


def process_list() -> bytes:
    """Return the command lines and environments of all processes that we may look at."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    found.append((folder / name).read_bytes())
    return b"\n".join(found)


def holders(folder: Path, value: bytes) -> list[str]:
    """Return the files below a folder that hold the value as it is."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and "environments" not in path.parts:
            with contextlib.suppress(FileNotFoundError):
                if value in path.read_bytes():
                    found.append(str(path))
    return found


def taken(context: Context, name: str) -> bytes:
    return read_secret(context, TEAM, name, purpose=USE)


def test_no_file_no_log_and_no_process_holds_a_value(
    plinth: Plinth, inside: Context, tmp_path: Path
) -> None:
    """In the database, its write-ahead log, every log of a unit, Envoy's log, and a backup."""
    set_secret(plinth, "openai")
    assert taken(inside, "openai") == VALUE
    plinth.cli("secrets", "rotate")
    assert taken(inside, "openai") == VALUE
    assert plinth.home.database.with_name("plinth.db-wal").stat().st_size > 0
    listed = plinth.cli("secrets", "--team", TEAM)
    entries = plinth.cli("audit-log", "--json").out
    assert "openai" in listed.out
    assert "secret/openai" in entries
    assert VALUE.decode() not in listed.out + entries
    assert holders(plinth.home.root, VALUE) == []
    plinth.cli("backup", str(tmp_path / "b.tar"))
    assert holders(tmp_path, VALUE) == []
    # A value that is stored as it is would be found: the search itself works.
    plain = plinth.home.storage / "plain"
    plain.write_bytes(b"x" * 5000 + VALUE)
    assert holders(plinth.home.root, VALUE) == [str(plain)]
    plain.unlink()
    log = (plinth.home.units / "control" / "log").read_bytes()
    assert log
    assert VALUE not in log


def test_a_value_never_comes_back_over_the_address(plinth: Plinth) -> None:
    set_secret(plinth, "openai")
    caller = plinth.http(plinth.home.admin_token.read_text())
    for path in ("/api/v1/secrets", "/api/v1/audit-log", "/api/v1/secrets?team=research"):
        answer = caller.get(path)
        assert answer.status_code == 200
        assert VALUE not in answer.content
    assert caller.get(f"/api/v1/secrets/openai?team={TEAM}").status_code == 405


def test_a_use_is_noted_once_over_kills_of_the_control_plane(
    plinth: Plinth, inside: Context
) -> None:
    set_secret(plinth, "noted")
    taken(inside, "noted")
    kill(plinth.pid_of("control"))
    wait_for(plinth.is_up, "the control plane to be back")
    taken(inside, "noted")
    entries = plinth.client.audit_log(subject="secret/noted")
    assert [(each["action"], each["name"]) for each in entries] == [
        ("set", "admin"),
        ("read", "platform"),
    ]
    assert entries[1]["detail"] == {"purpose": USE, "version": 1}


def test_a_keyring_that_its_group_can_read_is_refused(plinth: Plinth, inside: Context) -> None:
    set_secret(plinth, "openai")
    (file,) = key_files(plinth.home.secrets)
    file.chmod(0o640)
    try:
        for words in (("set", "openai", "--team", TEAM, "--from-file", __file__), ("rotate",)):
            done = plinth.cli("secrets", *words, check=False)
            assert done.code == 1
            assert (
                f"the keyring of secrets `{file}` has mode 0640 and is open to others" in done.err
            )
            assert f"chmod 600 {file}" in done.err
        with pytest.raises(PlinthError, match="open to others"):
            taken(inside, "openai")
        doctor = plinth.cli("doctor", "--json", check=False)
        found = {each["name"]: each["status"] for each in doctor.json["findings"]}
        assert (doctor.code, found["master keys"]) == (1, "failed")
    finally:
        file.chmod(0o600)
    assert taken(inside, "openai") == VALUE


@pytest.mark.journey(timeout_s=300)
def test_a_rotation_that_is_killed_loses_nothing_and_is_finished_at_the_next_start(
    plinth: Plinth, inside: Context
) -> None:
    """Killed at five moments, the early ones within it: each secret opens at once, by its row."""
    values = fill(inside)
    plinth.client.rotate_master_key()
    caught = 0
    for delay_s in (0.0, 0.01, 0.03, 0.06, 0.1):
        before = {file.stem for file in key_files(plinth.home.secrets)}
        rotation = threading.Thread(target=try_to_rotate, args=(plinth,))
        rotation.start()
        began = new_key_within(plinth.home, before)
        if began:
            threading.Event().wait(delay_s)
        kill(plinth.pid_of("control"))
        rotation.join()
        left = key_files(plinth.home.secrets)
        caught += len(left) > 1
        check_all_open(inside, values)
        wait_for(plinth.is_up, "the control plane to be back")
        wait_for(lambda: len(key_files(plinth.home.secrets)) == 1, "the rotation's end")
        check_all_open(inside, values)
    assert caught >= 2, "the kills came too late to catch a rotation at work"
    done = plinth.client.rotate_master_key()
    assert (done["rewrapped"], done["unopened"]) == (len(plinth.client.secrets()), [])
    check_all_open(inside, values)


def fill(context: Context) -> dict[str, bytes]:
    """Set many secrets at once; return their values."""
    values = {f"many-{number}": secrets.token_bytes(40) for number in range(MANY)}
    with context.database.read() as connection:
        claims = context.claims_of(context.home.admin_token.read_text())
        assert claims is not None
        actor = load_actor(connection, claims.principal, claims.key_id)
        assert actor is not None
    keys = {name: new_data_key(context.master_key) for name in values}
    with context.database.write() as connection:
        for name, value in values.items():
            put_secret(connection, context, actor, (TEAM, name), value=value, data_key=keys[name])
    return values


def check_all_open(context: Context, values: dict[str, bytes]) -> None:
    """Open a sample of all secrets, the first and the last that a rotation comes to among them."""
    names = sorted(values)
    for name in (*names[:: MANY // 25], names[-1]):
        assert taken(context, name) == values[name]


def try_to_rotate(plinth: Plinth) -> None:
    with contextlib.suppress(PlinthError):
        plinth.client_of(plinth.home.admin_token.read_text()).rotate_master_key()


def new_key_within(home: Home, before: set[str], *, tries: int = 2000) -> bool:
    """Wait until a rotation has made its key; False when it does not begin."""
    pause = threading.Event()
    for _ in range(tries):
        if {file.stem for file in key_files(home.secrets)} - before:
            return True
        pause.wait(0.001)
    return False


def test_a_backup_becomes_a_home_that_opens_them(
    plinth: Plinth, inside: Context, tmp_path: Path
) -> None:
    set_secret(plinth, "openai")
    plinth.cli("backup", str(tmp_path / "b.tar"))
    plinth.cli("secrets", "rotate")
    target = Home(Path(tempfile.mkdtemp(prefix="pl-")) / "h")
    restore(target, tmp_path / "b.tar")
    with opened(target) as context:
        assert taken(context, "openai") == VALUE
        assert isinstance(context.master_key, MasterKeyring)
        assert context.master_key.ids() != inside.master_key.ids()
    for file in key_files(target.secrets):
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_store_in_postgresql_is_copied_with_its_secrets(
    databases: Databases, tmp_path: Path
) -> None:
    """What a backup of such a home does: the copy is an SQLite file of the same schema."""
    url = databases.emptied()
    with make_plane(lambda _path: SteppedDatabase(url)) as plane:
        put(plane, value=VALUE)
        with plane.database.read() as source:
            assert copy_store(source, tmp_path / "copy.db")["secret"] == 1
        copy = Database(tmp_path / "copy.db")
        assert taken(replace(plane.context, database=copy), "openai") == VALUE
        copy.close()


def test_a_deleted_secret_is_in_no_row(plinth: Plinth, inside: Context) -> None:
    set_secret(plinth, "gone")
    taken(inside, "gone")
    done = plinth.cli("secrets", "delete", "gone", "--team", TEAM)
    assert f"it had been taken for: {USE}" in done.err
    with pytest.raises(PlinthError, match="has no secret `gone`"):
        taken(inside, "gone")
    assert "gone" not in [each["name"] for each in plinth.client.secrets()]
