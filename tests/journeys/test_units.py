"""Units outlive whoever started them, start once, and leave nothing: real processes, real kills."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plinth.kit.clock import from_text
from plinth.kit.errors import Conflict, Temporary
from plinth.kit.files import write_json
from plinth.units import processes
from plinth.units.folder import claim
from tests.units.node import Node, running_node, wait_for

COUNT = "import os; os.write(os.open('count', os.O_WRONLY | os.O_APPEND | os.O_CREAT), b'x')\n"
WAIT = "print('ready', flush=True)\nimport time\nwhile True: time.sleep(1)\n"
FILL = "import sys\ntry:\n while True: os.write(1, b'x' * 512)\nexcept OSError: sys.exit(0)\n"
# A daemon in a session of its own; it says when it is there.
DAEMON = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    " os.setsid()\n"
    " if os.fork() == 0:\n"
    "  print('ready', flush=True); time.sleep(1000)\n"
    " os._exit(0)\n"
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a job with its parent")


@pytest.fixture
def node() -> Iterator[Node]:
    with running_node() as running:
        yield running


def starts(node: Node, unit: str) -> int:
    path = node.work(unit) / "count"
    return len(path.read_text()) if path.exists() else 0


def has_started(node: Node, unit: str, times: int) -> bool:
    return starts(node, unit) == times


def has_restarted(node: Node, unit: str, times: int) -> bool:
    return node.state(unit).restarts == times


def test_a_second_agent_is_refused(node: Node) -> None:
    second = subprocess.run(node.command(), capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"another agent runs for `{node.home.root}`" in second.stderr
    assert "hint: " in second.stderr
    assert node.answers()


def test_the_files_of_a_unit_are_private(node: Node) -> None:
    path = node.home.socket("job")
    node.client.start(node.python("job", WAIT, socket=str(path)))
    node.wait_for_line("job", "ready")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(node.home.socket("agent").stat().st_mode) == 0o600
    for file in (node.home.units / "job").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_a_unit_gets_its_socket_as_descriptor_3_and_no_other_descriptor(node: Node) -> None:
    path = node.home.socket("job")
    code = (
        "import os, socket\n"
        "server = socket.socket(fileno=3)\n"
        "print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:5], flush=True)\n"
        "connection, _ = server.accept()\n"
        "connection.sendall(b'hello')\n"
    )
    node.client.start(node.python("job", code, socket=str(path)))
    node.wait_for_phase("job", "running")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(10)
        caller.connect(str(path))
        assert caller.recv(100) == b"hello"
    assert node.wait_for_phase("job", "exited").exit_code == 0
    # 4 is the listing itself.
    assert "[0, 1, 2, 3, 4]" in node.log("job")
    assert not path.exists()


def test_a_stale_socket_is_replaced(node: Node) -> None:
    path = node.home.socket("job")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    node.client.start(node.python("job", WAIT, socket=str(path)))
    node.wait_for_line("job", "ready")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))


def test_a_socket_that_cannot_be_made_is_a_reason(node: Node) -> None:
    node.client.start(node.python("job", WAIT, socket="/nonexistent/x.sock"))
    state = node.wait_for_phase("job", "exited")
    assert state.reason is not None
    assert "/nonexistent/x.sock" in state.reason


def test_a_unit_lives_on_when_the_agent_is_killed_and_is_adopted(node: Node) -> None:
    node.client.start(node.python("job", COUNT + WAIT))
    node.wait_for_line("job", "ready")
    main = node.main("job")
    node.kill_agent()
    assert processes.is_alive(main)
    with pytest.raises(Temporary):
        node.client.ping()
    node.begin()
    state = node.state("job")
    assert (state.phase, state.pid) == ("running", main.pid)
    os.kill(main.pid, signal.SIGKILL)
    assert node.wait_for_phase("job", "exited").exit_code == 137
    assert starts(node, "job") == 1


def test_an_end_while_there_is_no_agent_is_found_out(node: Node) -> None:
    path = node.work("job") / "go"
    code = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nraise SystemExit(4)"
    node.client.start(node.python("job", code))
    node.wait_for_phase("job", "running")
    node.kill_agent()
    path.touch()
    wait_for((node.home.units / "job" / "exit.json").exists)
    node.begin()
    state = node.state("job")
    assert (state.phase, state.exit_code, state.reason) == ("exited", 4, "exited with code 4")


def test_a_unit_that_was_accepted_and_never_begun_is_begun_by_the_next_agent(node: Node) -> None:
    spec = node.python("job", COUNT + WAIT)
    node.kill_agent()
    # What an agent leaves that is killed between accepting and forking.
    assert claim(node.home.units, spec)
    node.begin()
    node.wait_for_line("job", "ready")
    assert starts(node, "job") == 1


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.01, 0.02, 0.04])
def test_a_unit_starts_once_whenever_the_agent_is_killed(node: Node, delay: float) -> None:
    spec = node.python("job", COUNT + WAIT)
    assert node.agent is not None
    request = subprocess.Popen(
        [
            sys.executable,
            "-c",
            ASK,
            str(node.home.socket("agent")),
            str(delay),
            str(node.agent.pid),
        ],
        stdin=subprocess.PIPE,
    )
    request.communicate(json.dumps({"op": "start", "spec": spec.to_json()}).encode() + b"\n")
    node.agent.wait()
    node.begin()
    node.client.start(spec)
    node.wait_for_line("job", "ready")
    assert starts(node, "job") == 1


@linux
def test_a_job_does_not_outlive_its_killed_supervisor(node: Node) -> None:
    node.client.start(node.python("job", COUNT + DAEMON + WAIT))
    wait_for(lambda: node.log("job").count("ready") == 2)
    left = node.remains()
    assert len(left) == 2
    processes.send(node.supervisor("job"), signal.SIGKILL)
    state = node.wait_for_phase("job", "lost")
    assert state.reason == "its supervisor was killed"
    assert not any(processes.is_alive(process) for process in left)
    assert starts(node, "job") == 1
    assert node.client.start(node.python("job", COUNT + WAIT)).phase == "lost"


@linux
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02])
def test_a_unit_starts_at_most_once_whenever_its_supervisor_is_killed(
    node: Node, delay: float
) -> None:
    assert node.agent is not None
    spec = node.python("job", COUNT + WAIT)
    node.client.start(spec)
    time.sleep(delay)
    for process in processes.descendants(node.agent.pid):
        processes.send(process, signal.SIGKILL)

    def is_settled() -> bool:
        phase = node.state("job").phase
        lives = phase == "running" and processes.is_alive(node.supervisor("job"))
        return phase in ("lost", "exited") or (lives and "ready" in node.log("job"))

    wait_for(is_settled)
    if node.state("job").phase == "running":
        assert starts(node, "job") == 1
    else:
        assert starts(node, "job") <= 1
        assert node.remains() == []
        assert node.client.start(spec).phase in ("lost", "exited")


def test_a_folder_that_cannot_be_read_does_not_stop_the_agent(node: Node) -> None:
    (node.home.units / "broken").mkdir()
    (node.home.units / "broken" / "spec.json").write_text("{}")
    node.kill_agent()
    node.begin()
    with pytest.raises(Conflict, match="cannot be read"):
        node.client.start(node.python("broken", WAIT))
    assert node.client.observe() == []


@linux
def test_agent_and_supervisor_killed_together_leave_a_lost_unit(node: Node) -> None:
    node.client.start(node.python("job", DAEMON + WAIT))
    node.client.start(node.python("other", WAIT))
    wait_for(lambda: node.log("job").count("ready") == 2)
    node.wait_for_line("other", "ready")
    supervisor, left = node.supervisor("job"), node.remains()
    node.kill_agent()
    processes.send(supervisor, signal.SIGKILL)
    node.begin()
    node.wait_for_phase("job", "lost")
    assert sum(processes.is_alive(process) for process in left) == 1
    assert node.state("other").phase == "running"


@linux
def test_a_killed_supervisor_takes_its_daemons_with_it_while_no_agent_lives(node: Node) -> None:
    node.client.start(node.python("job", COUNT + DAEMON + WAIT))
    wait_for(lambda: node.log("job").count("ready") == 2)
    supervisor, left = node.supervisor("job"), node.remains()
    assert len(left) == 2
    node.kill_agent()
    killed = datetime.now(UTC)
    processes.send(supervisor, signal.SIGKILL)
    wait_for((node.home.units / "job" / "exit.json").exists, within_s=5.0)
    assert not any(processes.is_alive(process) for process in left)
    ended = from_text(node.record("job", "exit.json")["ended_at"])
    assert timedelta(0) <= ended - killed < timedelta(seconds=5)
    wait_for(lambda: not processes.is_alive(node.guard("job")))
    node.begin()
    state = node.state("job")
    assert (state.phase, state.reason) == ("lost", "its supervisor was killed")
    assert from_text(state.ended_at or "") == ended


@linux
def test_a_killed_guard_is_no_harm_and_a_guard_ends_with_its_unit(node: Node) -> None:
    for unit in ("bare", "guarded"):
        node.client.start(node.python(unit, WAIT))
        node.wait_for_line(unit, "ready")
    guards = [node.guard(unit) for unit in ("bare", "guarded")]
    assert all(processes.is_alive(guard) for guard in guards)
    processes.send(guards[0], signal.SIGKILL)
    for unit in ("bare", "guarded"):
        assert node.state(unit).phase == "running"
        node.client.stop(unit, 1.0)
        assert node.wait_for_phase(unit, "exited").stopped
    wait_for(lambda: not any(processes.is_alive(guard) for guard in guards))


@linux
def test_a_unit_that_was_lost_unseen_ends_at_its_last_sign_of_life(node: Node) -> None:
    for unit in ("unseen", "seen"):
        node.client.start(node.python(unit, WAIT))
        node.wait_for_line(unit, "ready")
    killed = datetime.now(UTC)
    processes.send(node.supervisor("seen"), signal.SIGKILL)
    assert from_text(node.wait_for_phase("seen", "lost").ended_at or "") >= killed
    supervisor, left = node.supervisor("unseen"), node.remains()
    node.kill_agent()
    # The guard too: then nobody is left who could see the end.
    processes.send(node.guard("unseen"), signal.SIGKILL)
    processes.send(supervisor, signal.SIGKILL)
    wait_for(lambda: not any(processes.is_alive(process) for process in left))
    folder = node.home.units / "unseen"
    hour_ago = (killed - timedelta(hours=1)).timestamp()
    os.utime(folder / "identity.json", (hour_ago, hour_ago - 60))
    os.utime(folder / "log", (hour_ago, hour_ago))
    node.begin()
    ended_at = node.wait_for_phase("unseen", "lost").ended_at
    assert from_text(ended_at or "").timestamp() == pytest.approx(hour_ago, abs=0.001)


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_unit_that_fills_the_disk_is_not_lost(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", small], check=True)
    try:
        with running_node() as node:
            node.home.units.rmdir()
            node.home.units.symlink_to(small)
            node.client.start(node.python("job", COUNT + FILL))
            wait_for((small / "job" / "log").exists)
            try:
                state = node.wait_for_phase("job", "exited")
                assert os.statvfs(small).f_bavail == 0
                assert (state.exit_code, state.reason, starts(node, "job")) == (0, None, 1)
            finally:
                os.truncate(small / "job" / "log", 0)
    finally:
        subprocess.run(["umount", small], check=True)


def test_units_of_a_former_boot_are_lost(node: Node) -> None:
    node.client.start(node.python("job", WAIT))
    node.wait_for_line("job", "ready")
    identity, left = node.record("job", "identity.json"), node.remains()
    node.kill_agent()
    # The guard first: nobody must be left who would still write an end after the next lines.
    left = [node.guard("job"), node.supervisor("job"), *left]
    for process in left:
        processes.send(process, signal.SIGKILL)
    wait_for(lambda: not any(processes.is_alive(process) for process in left))
    folder = node.home.units / "job"
    (folder / "exit.json").unlink(missing_ok=True)
    # Its number now names a process of another boot, which must be left alone.
    me = processes.identify(os.getpid()).to_json()
    write_json(folder / "identity.json", {**identity, "boot_id": "former", "child": me})
    node.begin()
    assert node.wait_for_phase("job", "lost").reason == "the machine was started anew"


def test_what_must_always_run_starts_again_with_its_count(node: Node) -> None:
    node.client.start(node.python("system", COUNT + WAIT, restart="always"))
    for restarts in (1, 2):
        wait_for(functools.partial(has_started, node, "system", restarts))
        os.kill(node.wait_for_phase("system", "running").pid or 0, signal.SIGKILL)
        wait_for(functools.partial(has_restarted, node, "system", restarts))
    node.kill_agent()
    node.begin()
    assert node.wait_for_phase("system", "running").restarts == 2


@linux
def test_what_must_always_run_starts_again_after_its_supervisor_was_killed(node: Node) -> None:
    node.client.start(node.python("system", COUNT + WAIT, restart="always"))
    node.wait_for_line("system", "ready")
    processes.send(node.supervisor("system"), signal.SIGKILL)
    wait_for(lambda: starts(node, "system") == 2)
    assert node.wait_for_phase("system", "running").restarts == 1


def test_what_always_fails_is_tried_less_and_less(node: Node) -> None:
    node.client.start(node.python("system", COUNT + "raise SystemExit(1)", restart="always"))
    wait_for(lambda: node.state("system").restarts >= 3)
    state = node.state("system")
    assert node.record("system", "previous.json")["failures"] >= 3
    assert state.phase in ("starting", "running")
    node.client.stop("system")
    state = node.wait_for_phase("system", "exited")
    assert state.stopped
    count = starts(node, "system")
    node.kill_agent()
    node.begin()
    assert node.state("system").phase == "exited"
    assert starts(node, "system") == count


def test_a_stopped_system_unit_can_be_started_with_a_new_spec(node: Node) -> None:
    node.client.start(node.python("system", WAIT, restart="always"))
    node.wait_for_line("system", "ready")
    node.client.stop("system", 1.0)
    node.wait_for_phase("system", "exited")
    node.client.start(node.python("system", "print('new')\n" + WAIT, restart="always"))
    node.wait_for_line("system", "new")


@linux
@pytest.mark.parametrize("old", [WAIT, "raise SystemExit(1)"], ids=["sound", "broken"])
def test_a_lost_system_unit_starts_again_with_a_new_spec(node: Node, old: str) -> None:
    node.client.start(node.python("system", "print('old', flush=True)\n" + old, restart="always"))
    node.wait_for_line("system", "old")
    left = [*node.remains(), *processes.descendants(node.agent.pid if node.agent else 0)]
    node.kill_agent()
    for process in left:
        processes.send(process, signal.SIGKILL)
    count = node.log("system").count("old")
    node.begin()
    node.client.start(node.python("system", "print('new')\n" + WAIT, restart="always"))
    node.wait_for_line("system", "new")
    assert node.log("system").count("old") == count
    assert node.wait_for_phase("system", "running").restarts >= 1


@linux
def test_a_system_unit_that_lives_takes_a_new_spec_when_it_starts_next(node: Node) -> None:
    node.client.start(node.python("system", WAIT, restart="always"))
    node.wait_for_line("system", "ready")
    main = node.main("system")
    node.client.start(node.python("system", "print('new')\n" + WAIT, restart="always"))
    assert processes.is_alive(main)
    assert "new" not in node.log("system")
    processes.send(main, signal.SIGKILL)
    node.wait_for_line("system", "new")


@linux
def test_a_lost_system_unit_starts_again_when_nobody_asks_for_it(node: Node) -> None:
    node.client.start(node.python("system", COUNT + WAIT, restart="always"))
    node.wait_for_line("system", "ready")
    supervisor = node.supervisor("system")
    node.kill_agent()
    processes.send(supervisor, signal.SIGKILL)
    node.begin()
    wait_for(lambda: starts(node, "system") == 2)


def test_a_stop_without_agent_work_between_is_not_forgotten(node: Node) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT
    node.client.start(node.python("job", code))
    node.wait_for_line("job", "ready")
    node.client.stop("job", 0.2)
    node.kill_agent()
    node.begin()
    state = node.wait_for_phase("job", "exited")
    assert (state.stopped, state.exit_code) == (True, 137)


def test_a_shorter_grace_counts_when_stop_is_asked_again(node: Node) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAIT
    node.client.start(node.python("job", code))
    node.wait_for_line("job", "ready")
    node.client.stop("job", 1000.0)
    node.client.stop("job", 0.0)
    assert node.wait_for_phase("job", "exited").exit_code == 137


def test_what_a_job_leaves_running_is_ended_with_it(node: Node) -> None:
    node.client.start(node.python("job", DAEMON + "os.wait()\n"))
    state = node.wait_for_phase("job", "exited")
    assert (state.exit_code, state.stopped) == (0, False)
    assert node.remains() == []


def test_a_command_that_signals_its_group_does_not_end_its_supervisor(node: Node) -> None:
    node.client.start(node.python("job", "import os, signal; os.kill(0, signal.SIGTERM)"))
    state = node.wait_for_phase("job", "exited")
    assert (state.exit_code, state.stopped, state.reason) == (143, False, "ended by SIGTERM")


@pytest.mark.parametrize(
    ("argv", "code", "reason"),
    [
        (("no-such-command",), 127, "command not found: `no-such-command`"),
        (("/etc/passwd",), 126, "cannot be executed"),
        (("/",), 126, "cannot be executed"),
    ],
)
def test_a_command_that_cannot_begin_says_why(
    node: Node, argv: tuple[str, ...], code: int, reason: str
) -> None:
    node.client.start(node.spec("job", *argv))
    state = node.wait_for_phase("job", "exited")
    assert state.exit_code == code
    assert reason in (state.reason or "")


def test_a_missing_work_folder_is_a_reason(node: Node) -> None:
    spec = node.python("job", WAIT)
    node.work("job").rmdir()
    node.client.start(spec)
    assert "work folder" in (node.wait_for_phase("job", "exited").reason or "")


def test_forgetting_needs_an_end(node: Node) -> None:
    node.client.start(node.python("job", WAIT))
    with pytest.raises(Conflict):
        node.client.forget("job")
    node.client.stop("job", 1.0)
    node.wait_for_phase("job", "exited")
    node.client.forget("job")
    node.client.forget("job")
    assert node.client.observe() == []
    assert list(node.home.units.iterdir()) == []


def test_memory_is_measured_when_asked_for(node: Node) -> None:
    node.client.start(node.python("job", "x = b'x' * 50_000_000\n" + WAIT))
    node.wait_for_line("job", "ready")
    assert node.state("job").memory_bytes is None
    (state,) = node.client.observe(["job"], memory=True)
    assert state.memory_bytes is not None
    assert 50_000_000 < state.memory_bytes < 100_000_000


def test_memory_over_the_limit_is_refused_to_the_job(node: Node) -> None:
    code = "x = bytearray(300_000_000)"
    node.client.start(node.python("job", code, memory_bytes=200_000_000))
    assert node.wait_for_phase("job", "exited").exit_code == 1
    assert "MemoryError" in node.log("job")


def test_sigterm_ends_the_agent_and_leaves_its_units(node: Node) -> None:
    node.client.start(node.python("job", WAIT))
    node.wait_for_line("job", "ready")
    assert node.kill_agent(signal.SIGTERM) == 0
    assert processes.is_alive(node.main("job"))
    assert not node.home.socket("agent").exists()


def test_shutdown_stops_jobs_then_the_system_in_reverse_order(node: Node) -> None:
    for unit in ("first", "second"):
        node.client.start(node.python(unit, WAIT, restart="always"))
    node.client.start(node.python("job", WAIT))
    for unit in ("first", "second", "job"):
        node.wait_for_line(unit, "ready")
    node.client.shutdown()
    assert node.agent is not None
    assert node.agent.wait(20) == 0
    ends = {unit: node.record(unit, "exit.json") for unit in ("first", "second", "job")}
    assert ends["job"]["ended_at"] < ends["second"]["ended_at"] < ends["first"]["ended_at"]
    assert all(end["stopped"] for end in ends.values())
    assert node.remains() == []


ASK = """
import os, signal, socket, sys, time
path, delay, agent = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
line = sys.stdin.buffer.readline()
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(path)
    connection.sendall(line)
    time.sleep(delay)
    os.kill(agent, signal.SIGKILL)
"""
