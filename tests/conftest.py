"""What every test gets: a clean environment, a time limit, and no process left behind.

All temporary files of a session lie below one folder. A process whose command line, working folder
or environment names that folder was started by a test; what still lives at the end is ended, and
fails the session. Fixtures for journeys: `free_port`, `managed_environments`.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

UNIT_TIMEOUT_S = 60
JOURNEY_TIMEOUT_S = 300
# Below the ports that the kernel gives to outgoing connections (32768 and up).
PORTS = range(20_000, 30_000)
# Python's own process beside multiprocessing; it ends with the session.
OWN_PROCESSES = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")

OUTER_TEMPORARY = Path(tempfile.gettempdir())
FOLDER = pytest.StashKey[Path]()
KEPT = pytest.StashKey[bool]()

settings.register_profile(
    "plinth", deadline=None, database=None, print_blob=True, derandomize="CI" in os.environ
)
settings.load_profile("plinth")


def pytest_configure(config: pytest.Config) -> None:
    """Make the environment the same on every machine, before anything is collected."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # HOME moves below; the caches stay where they are, else every session fetches anew.
    os.environ.setdefault("UV_CACHE_DIR", str(caches / "uv"))
    kept = os.environ.setdefault("PLINTH_TEST_CACHE", str(caches / "plinth-tests"))
    for name in [name for name in os.environ if name.startswith(("PLINTH_", "MLFLOW_"))]:
        del os.environ[name]
    os.environ["PLINTH_TEST_CACHE"] = kept  # The workers of pytest-xdist read it again.
    folder = Path(tempfile.mkdtemp(prefix="pl-")).resolve()
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    os.environ["HOME"] = str(folder / "home")
    (folder / "home" / ".cache").mkdir(parents=True)
    # What Plinth builds once for a machine is built once for all sessions.
    (Path(kept) / "plinth").mkdir(parents=True, exist_ok=True)
    (folder / "home" / ".cache" / "plinth").symlink_to(Path(kept) / "plinth")
    config.stash[FOLDER] = folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep what a failed test wrote: its logs say why."""
    session.config.stash[KEPT] = session.testsfailed > 0


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where the files of a failed session are."""
    if config.stash.get(KEPT, False):
        terminalreporter.write_line(f"files of this session: {config.stash[FOLDER]}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's folder."""
    # What is frozen is never taken down, and DuckDB counts that as leaked.
    gc.unfreeze()
    folder = config.stash.get(FOLDER, None)
    if folder and not config.stash.get(KEPT, False):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage while modules are imported, nor ever again in what they made."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # Tests make thousands of things that last a moment; as it is, every 700th is a reason.
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in tests/journeys."""
    for item in items:
        if "journeys" in item.path.parts and not item.get_closest_marker("journey"):
            item.add_marker(pytest.mark.journey)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test, its fixtures included, that takes too long, with every thread's stack."""
    journey = item.get_closest_marker("journey")
    limit = journey.kwargs.get("timeout_s", JOURNEY_TIMEOUT_S) if journey else UNIT_TIMEOUT_S

    def expire(_number: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"took longer than {limit} s (see JOURNEY_TIMEOUT_S in tests/conftest.py)")

    previous = signal.signal(signal.SIGALRM, expire)
    # Again after that, since what hung in the test may hang in its teardown too.
    signal.setitimer(signal.ITIMER_REAL, limit, 60)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Give the next test the same variables and working folder, whatever this one does."""
    variables, folder = dict(os.environ), Path.cwd()
    yield
    if dict(os.environ) != variables:
        os.environ.clear()
        os.environ.update(variables)
    os.chdir(folder)


@pytest.fixture(scope="session", autouse=True)
def no_process_left(pytestconfig: pytest.Config) -> Iterator[None]:
    """End what the tests left running, and fail for it."""
    yield
    marker = os.fsencode(pytestconfig.stash[FOLDER])
    patience = time.monotonic() + 5
    while (left := find_processes(marker)) and time.monotonic() < patience:
        time.sleep(0.05)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert not left, f"the tests of this session left processes: {left}"


def find_processes(marker: bytes) -> dict[int, str]:
    """Return the living processes that name `marker`, by pid (none where there is no /proc)."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            folder = os.fsencode(os.readlink(entry / "cwd"))
            variables = (entry / "environ").read_bytes()
        except OSError:
            continue  # It ended meanwhile, or is another user's.
        if any(own in command for own in OWN_PROCESSES) or int(entry.name) == os.getpid():
            continue
        if command and marker in b"\n".join((command, folder, variables)):
            found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")[:200]
    return found


@pytest.fixture(scope="session")
def free_port() -> Iterator[Callable[[], int]]:
    """Return a function that gives a loopback port no other test of this machine has."""
    locks: list[int] = []
    folder = OUTER_TEMPORARY / f"plinth-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)

    def take() -> int:
        for port in random.sample(PORTS, 200):
            lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.create_server(("127.0.0.1", port)):
                    locks.append(lock)
                    return port
            except OSError:
                os.close(lock)
        raise AssertionError("200 ports in a row were taken")

    yield take
    for lock in locks:
        os.close(lock)


@pytest.fixture(scope="session")
def managed_environments() -> Path:
    """Return the folder of managed environments that sessions share: built once, kept for good.

    PLINTH_TEST_CACHE names another place for it than `~/.cache/plinth-tests`.
    """
    folder = Path(os.environ["PLINTH_TEST_CACHE"]) / "environments"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
