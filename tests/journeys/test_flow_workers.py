"""Workers of a unit come when somebody asks and go when nobody does, and no request is lost.

Real agents, supervisors, guards and kills; the command is a small server, and the flows' own host.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.units import processes
from plinth.units.spec import Elastic
from plinth.units.worker_times import read_times, running_workers
from tests.units.node import Node, running_node, wait_for

HOSTS = Path(__file__).parents[2] / "src" / "plinth" / "runtimes"
IDLE_S = 0.03
# Takes one connection at a time, says who it is, and ends when it has rested. `slow`: it takes
# long to answer; `die`: it dies of it; a file `broken` in its folder keeps it from starting.
SERVER = f"""
import os, select, socket, sys, time
if os.path.exists('broken'): print('cannot start', flush=True); sys.exit(3)
if os.path.exists('hangs'): time.sleep(1000)
server = socket.socket(fileno=3)
server.setblocking(False)
os.write(4, b'.'); os.close(4)
while select.select([server], [], [], {IDLE_S})[0]:
    try: connection, _ = server.accept()
    except BlockingIOError: continue
    connection.setblocking(True)
    asked = connection.recv(100)
    if asked == b'die': os.kill(os.getpid(), 9)
    if asked == b'slow': time.sleep(0.5)
    if asked == b'daemon' and os.fork() == 0:
        os.setsid(); time.sleep(1000)
    connection.sendall(b'%s %d' % (os.environ['PLINTH_WORKER'].encode(), os.getpid()))
    connection.close()
"""


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running_node() as running:
        yield running


def begin(node: Node, unit: str, most: int = 2, code: str = SERVER, **more: float) -> str:
    """Start an elastic unit; return its socket."""
    path = str(node.home.socket(unit))
    elastic = Elastic(0, most, **more)
    node.client.start(node.python(unit, code, socket=path, elastic=elastic, grace_s=2.0))
    node.wait_for_phase(unit, "running")
    return path


def ask(path: str, what: bytes = b"hello") -> str:
    """Return what a worker says; empty when the connection ended without an answer."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(path)
        caller.sendall(what)
        try:
            return caller.recv(4096).decode()
        except ConnectionResetError:
            return ""


def workers(node: Node, unit: str) -> int | None:
    return node.state(unit).workers


def falls_asleep(node: Node, unit: str) -> None:
    wait_for(lambda: workers(node, unit) == 0, f"{unit} asleep")


def lives(node: Node, unit: str) -> list[tuple[float, float | None]]:
    """Return when each worker ran, in seconds since the first began."""
    times, _ = read_times(node.home.units / unit / "workers", 0)
    first = times[0].started_at
    return [
        (
            (each.started_at - first).total_seconds(),
            None if each.ended_at is None else (each.ended_at - first).total_seconds(),
        )
        for each in times
    ]


def test_nobody_runs_until_somebody_asks_and_nobody_after(node: Node) -> None:
    path = begin(node, "first")
    state = node.wait_for_phase("first", "running")
    assert (state.workers, state.pid) == (0, None)
    assert processes.descendants(node.supervisor("first").pid) == []
    place, pid = ask(path).split()
    assert (place, int(pid)) == ("0", running_workers(node.home.units / "first" / "workers")[0].pid)
    falls_asleep(node, "first")
    assert processes.descendants(node.supervisor("first").pid) == []
    assert len(lives(node, "first")) == 1
    node.client.stop("first", 1.0)
    assert node.wait_for_phase("first", "exited").stopped


def test_no_request_is_lost_in_many_falls_and_wakes(node: Node) -> None:
    path, seed = begin(node, "cycles"), random.randrange(10**6)
    pauses, answered = random.Random(seed), 0
    # Most come just as the worker ends: it rests for `IDLE_S`, and takes a few milliseconds to go.
    for _ in range(150):
        time.sleep(pauses.uniform(0.5, 1.5) * IDLE_S)
        answered += bool(ask(path))
    assert answered == 150, seed
    falls_asleep(node, "cycles")
    ran = lives(node, "cycles")
    assert len(ran) > 20, f"{len(ran)} workers ran, with seed {seed}"
    assert all(end is not None for _, end in ran)


def test_who_goes_on_waiting_gets_another_worker_up_to_the_most(node: Node) -> None:
    path = begin(node, "busy", most=3)
    said: list[str] = []
    callers = [threading.Thread(target=lambda: said.append(ask(path, b"slow"))) for _ in range(6)]
    for caller in callers:
        caller.start()
    wait_for(lambda: workers(node, "busy") == 3, "three workers")
    for caller in callers:
        caller.join()
    assert {each.split()[0] for each in said} == {"0", "1", "2"}
    falls_asleep(node, "busy")
    assert len(lives(node, "busy")) == 3


def test_a_worker_that_dies_takes_its_own_request_only(node: Node) -> None:
    path = begin(node, "dying", most=1)
    assert ask(path, b"die") == ""
    assert ask(path)
    assert node.state("dying").phase == "running"
    lines = (node.home.units / "dying" / "workers").read_text().splitlines()
    assert json.loads(lines[1])["reason"] == "ended by SIGKILL"


def test_what_a_worker_leaves_behind_goes_with_it(node: Node) -> None:
    path = begin(node, "daemon")
    ask(path, b"daemon")
    falls_asleep(node, "daemon")
    supervisor = node.supervisor("daemon").pid
    wait_for(lambda: not processes.descendants(supervisor), "the daemon's end")


def test_one_that_cannot_start_ends_the_unit_and_whoever_waits_is_told(node: Node) -> None:
    path = begin(node, "broken")
    assert ask(path)
    falls_asleep(node, "broken")
    (node.work("broken") / "broken").touch()
    assert ask(path) == ""
    state = node.wait_for_phase("broken", "exited")
    assert (state.exit_code, state.reason) == (3, "exited with code 3")
    assert not os.path.exists(path)


def test_while_a_start_cannot_be_written_nobody_starts_and_who_waits_goes_on_waiting(
    node: Node,
) -> None:
    path = begin(node, "unwritten")
    # As on a full disk: what cannot be charged is not run.
    obstacle = node.home.units / "unwritten" / "workers"
    obstacle.mkdir()
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(ask(path)))
    caller.start()
    node.wait_for_line("unwritten", "a worker cannot be started: ")
    assert said == []
    obstacle.rmdir()
    caller.join()
    assert said[0].startswith("0 ")
    falls_asleep(node, "unwritten")


def test_one_that_takes_too_long_to_start_ends_the_unit(node: Node) -> None:
    (node.work("late") / "hangs").touch()
    path = begin(node, "late", start_s=0.3)
    assert ask(path) == ""
    state = node.wait_for_phase("late", "exited")
    assert (state.exit_code, state.reason) == (137, "was not ready after 0.3 s")


def test_a_stop_finishes_what_is_worked_on(node: Node) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    path = begin(node, "stopped", code=code)
    said: list[str] = []
    caller = threading.Thread(target=lambda: said.append(ask(path, b"slow")))
    caller.start()
    wait_for(lambda: workers(node, "stopped") == 1, "a worker")
    time.sleep(0.1)
    node.client.stop("stopped", 20.0)
    caller.join()
    assert said[0]
    state = node.wait_for_phase("stopped", "exited")
    assert (state.stopped, state.exit_code) == (True, None)
    assert all(end is not None for _, end in lives(node, "stopped"))


def test_asleep_and_awake_it_is_adopted_by_the_next_agent(node: Node) -> None:
    path = begin(node, "adopted")
    node.kill_agent()
    # Nobody needs an agent to be woken.
    assert ask(path)
    node.begin()
    falls_asleep(node, "adopted")
    assert ask(path)


@pytest.mark.parametrize("what", [b"hello", b"slow"], ids=["asleep", "awake"])
def test_a_killed_supervisor_takes_its_workers_with_it(node: Node, what: bytes) -> None:
    unit = f"killed-{what.decode()}"
    path = begin(node, unit)
    ask(path)
    falls_asleep(node, unit)
    caller = threading.Thread(target=lambda: ask(path, what))
    if what == b"slow":
        caller.start()
        wait_for(lambda: workers(node, unit) == 1, "a worker")
    os.kill(node.supervisor(unit).pid, signal.SIGKILL)
    state = node.wait_for_phase(unit, "lost")
    assert state.reason == "its supervisor was killed"
    if what == b"slow":
        caller.join()
    assert processes.left_behind(processes.Process(-1, 0), str(node.home.units / unit)) == []
    # Whoever has a start and no end ended with the unit.
    assert [end is None for _, end in lives(node, unit)] == [False, *([True] * (what == b"slow"))]


def test_the_flows_own_host_falls_asleep_and_wakes_without_a_lost_request(node: Node) -> None:
    work = node.work("host")
    (work / "main.py").write_text(
        "from flowhost.host import answer\n"
        "async def app(scope, receive, send):\n"
        "    await answer(send, 200, {'place': __import__('os').environ['PLINTH_WORKER']})\n"
    )
    path = str(node.home.socket("host"))
    command = (
        *(sys.executable, "-m", "flowhost", "--folder", str(work), "--name", "host"),
        *("--app", "main:app", "--concurrency", "4", "--idle-s", "0.2"),
    )
    spec = node.spec("host", *command, socket=path, elastic=Elastic(0, 2))
    environment = {**spec.env, "PYTHONPATH": str(HOSTS), "PYTHONDONTWRITEBYTECODE": "1"}
    node.client.start(type(spec).from_json({**spec.to_json(), "env": environment}))
    node.wait_for_phase("host", "running")
    request = b"GET / HTTP/1.1\r\nhost: flow\r\n\r\n"
    for pause in (0.0, 0.0, 0.15, 0.2, 0.22, 0.25, 0.3, 0.33, 0.36, 0.4):
        time.sleep(pause)
        head = ask(path, request)
        assert head.startswith("HTTP/1.1 200 OK"), node.log("host")
        assert "connection: close" in head
    falls_asleep(node, "host")
    assert len(lives(node, "host")) > 2
