"""A confined process can do its work and nothing else, at each level that this machine offers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.errors import Permanent
from plinth.units.isolation import best_level, landlock
from plinth.units.isolation.confine import FILES, OWN_FILES
from plinth.units.spec import Confinement
from tests.units.node import Node, running_node

BEST = best_level()
WAIT = "print('ready', flush=True)\nimport time\nwhile True: time.sleep(1)\n"

needs_files = pytest.mark.skipif(
    BEST < FILES, reason=f"this machine offers isolation level {BEST}; limits on files begin at 2"
)

# Tries each thing it is told and writes down what came of it: "done", or the error's name.
INTRUDER = """
import ctypes, errno, json, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
targets = json.loads(sys.argv[1])

def read(path): open(path, 'rb').read(1)
def write(path): open(path, 'ab').write(b'x')
def listing(path):
    # At level 3 the folders on the way to its own are there, and hold nothing else.
    if set(os.listdir(path)) <= set(os.getcwd().split('/')):
        raise PermissionError(errno.EACCES, 'nothing but the way here')
def remove(path): os.unlink(path)
def change_mode(path): os.chmod(path, 0o777)
def unix(path): socket.socket(socket.AF_UNIX).connect(path)
def abstract(name): socket.socket(socket.AF_UNIX).connect(chr(0) + name)
def tcp(port): socket.create_connection(('127.0.0.1', port), 5).close()
def listen(port): socket.create_server(('127.0.0.1', port)).close()
def listen_anywhere(_): socket.socket().listen()
def fast_open(port): socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', port))
def fast_open_message(port):
    socket.socket().sendmsg([b'x'], [], 0x20000000, ('127.0.0.1', port))
def fast_open_later(port):
    caller = socket.socket()
    caller.setsockopt(socket.IPPROTO_TCP, 30, 1)
    caller.connect(('127.0.0.1', port))
    caller.send(b'x')
def other_host(port): socket.create_connection(('127.0.0.2', port), 5).close()
def udp(_): socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def kill(pid): os.kill(pid, 0)
def libc_call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
def ptrace(pid): libc_call('ptrace', 16, pid, 0, 0)
def unshare(_): libc_call('unshare', 0x10000000)
def mount(path): libc_call('mount', b'none', path.encode(), b'tmpfs', 0, None)
def become_root(_): os.setuid(0 if os.getuid() else 12345)

results = {}
for name, action, target in targets:
    try:
        globals()[action](target)
        results[name] = 'done'
    except OSError as err:
        results[name] = errno.errorcode.get(err.errno, type(err).__name__)
with open('results', 'w') as file: json.dump(results, file)
"""

# What ordinary training and serving code does. Every line must work.
WORKER = """
import mmap, multiprocessing, os, pathlib, random, socket, ssl, subprocess, sys, tempfile, threading
import time, urllib.request, asyncio, concurrent.futures, ctypes, json, sqlite3, zoneinfo

def square(x): return x * x

async def greet():
    async def answer(reader, writer): writer.write(b'hello'); writer.close()
    async with await asyncio.start_unix_server(answer, 'here.sock'):
        reader, writer = await asyncio.open_unix_connection('here.sock')
        assert await reader.read() == b'hello'
        writer.close()

def main(port):
    server = socket.socket(fileno=3)
    connection, _ = server.accept()
    connection.sendall(b'hello from fd 3')
    pathlib.Path('made').mkdir(); pathlib.Path('made/file').write_text('x')
    os.rename('made/file', 'made/other'); os.truncate('made/other', 0)
    os.symlink('other', 'made/l')
    os.chmod('made/other', 0o640); os.utime('made/other'); os.unlink('made/l')
    with tempfile.NamedTemporaryFile() as file: file.write(b'x')
    with tempfile.TemporaryDirectory() as folder: pathlib.Path(folder, 'x').write_text('x')
    with open('array', 'w+b') as file:
        file.truncate(10_000_000)
        with mmap.mmap(file.fileno(), 0) as area: area[5] = 1
    thread = threading.Thread(target=square, args=(2,)); thread.start(); thread.join()
    for method in METHODS:
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool: assert pool.map(square, range(4)) == [0, 1, 4, 9]
        queue = context.Queue(); queue.put(1); assert queue.get() == 1
    if 'forkserver' in METHODS:
        with multiprocessing.Manager() as manager: assert list(manager.list([1])) == [1]
        asyncio.run(greet())
    with concurrent.futures.ThreadPoolExecutor(2) as pool: list(pool.map(square, range(4)))
    assert asyncio.run(asyncio.sleep(0, 7)) == 7
    shell = subprocess.run(['/bin/sh', '-c', 'echo $((1+1)) | cat'], capture_output=True)
    assert shell.stdout == b'2\\n'
    assert urllib.request.urlopen(f'http://127.0.0.1:{port}/', timeout=10).read() == b'ok'
    sqlite3.connect('db.sqlite').execute('create table t (x)')
    ssl.create_default_context(); assert len(os.urandom(8)) == 8; random.random()
    open('/dev/null', 'w').write('x'); open('/proc/self/status').read()
    open('/proc/cpuinfo').read()
    assert os.cpu_count() > 0; socket.gethostbyname('localhost'); os.listdir('/usr')
    a, b = socket.socketpair(); a.sendall(b'x'); assert b.recv(1) == b'x'
    child = subprocess.Popen(['/bin/sleep', '100']); child.terminate(); child.wait()
    print('all done', flush=True)

if __name__ == '__main__':
    main(int(sys.argv[1]))
"""

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"


HTTP = f"""
import socket, sys
listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listener.accept()
    connection.settimeout(0.2)
    try:
        connection.recv(4096)
        connection.sendall({ANSWER!r})
    except OSError:
        pass
    connection.close()
"""


@dataclass
class Ground:
    """A node at one level, with a victim of each kind around the intruder."""

    node: Node
    level: int
    open_port: int
    closed_port: int

    def confinement(self, unit: str) -> Confinement:
        return Confinement(write=(str(self.node.work(unit)),), connect_ports=(self.open_port,))

    def try_all(self, *attempts: tuple[str, str, Any]) -> dict[str, str]:
        unit = "intruder"
        spec = self.node.python(unit, "", confinement=self.confinement(unit))
        argv = (*spec.argv[:-1], INTRUDER, json.dumps(attempts))
        self.node.client.start(type(spec).from_json({**spec.to_json(), "argv": argv}))
        state = self.node.wait_for_phase(unit, "exited")
        assert state.exit_code == 0, self.node.log(unit)
        assert state.isolation == self.level
        found: dict[str, str] = json.loads((self.node.work(unit) / "results").read_text())
        return found


@pytest.fixture(params=range(FILES, max(BEST, FILES) + 1), ids="level {}".format)
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ExitStack() as stack:
        node = stack.enter_context(running_node(request.param))
        allowed = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        refused = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = subprocess.Popen(
            [sys.executable, "-c", HTTP, str(allowed.fileno())], pass_fds=[allowed.fileno()]
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        yield Ground(node, request.param, allowed.getsockname()[1], refused.getsockname()[1])


@needs_files
def test_secrets_and_other_runs_cannot_be_read(ground: Ground) -> None:
    home = ground.node.home
    victim = ground.node.python("victim", WAIT, confinement=ground.confinement("victim"))
    ground.node.client.start(victim)
    ground.node.wait_for_line("victim", "ready")
    (home.secrets / "admin.token").write_text("secret")
    home.database.write_text("rows")
    (ground.node.work("victim") / "model").write_text("weights")
    own = ground.node.home.units / "intruder"
    files = {
        "token": home.secrets / "admin.token",
        "database": home.database,
        "model": ground.node.work("victim") / "model",
        "spec": home.units / "victim" / "spec.json",
        "own spec": own / "spec.json",
        "log": home.units / "victim" / "log",
        "shadow": Path("/etc/shadow"),
    }
    attempts: list[tuple[str, str, Any]] = [
        (f"{action} {name}", action, str(path))
        for name, path in files.items()
        for action in ("read", "write", "remove")
    ]
    if ground.level >= OWN_FILES:
        attempts += [(f"open {name}", "change_mode", str(path)) for name, path in files.items()]
    folders = (home.root, home.secrets, home.runs, home.units, Path("/root"), Path("/"))
    attempts += [(f"list {folder}", "listing", str(folder)) for folder in folders]
    assert_refused(ground.try_all(*attempts), {"EACCES", "ENOENT", "EROFS", "EPERM"})
    assert files["token"].read_text() == "secret"


@needs_files
def test_other_processes_cannot_be_looked_into_or_signalled(ground: Ground) -> None:
    ground.node.client.start(
        ground.node.python("victim", WAIT, confinement=ground.confinement("victim"))
    )
    ground.node.client.start(ground.node.python("system", WAIT))
    for unit in ("victim", "system"):
        ground.node.wait_for_line(unit, "ready")
    assert ground.node.agent is not None
    pids = {
        "victim": ground.node.main("victim").pid,
        "system": ground.node.main("system").pid,
        "agent": ground.node.agent.pid,
        "supervisor": ground.node.supervisor("victim").pid,
    }
    attempts: list[tuple[str, str, Any]] = []
    for name, pid in pids.items():
        attempts += [
            (f"environ of {name}", "read", f"/proc/{pid}/environ"),
            (f"memory of {name}", "read", f"/proc/{pid}/mem"),
            (f"root of {name}", "listing", f"/proc/{pid}/{'root'}/"),
            (f"work folder of {name}", "listing", f"/proc/{pid}/cwd/"),
            (f"log of {name}", "read", f"/proc/{pid}/fd/2"),
            (f"ptrace {name}", "ptrace", pid),
        ]
        if landlock.abi() >= 6:
            attempts.append((f"signal {name}", "kill", pid))
    assert_refused(ground.try_all(*attempts), {"EACCES", "EPERM", "ENOENT"})


@needs_files
def test_sockets_and_ports_of_others_cannot_be_reached(ground: Ground) -> None:
    path = ground.node.home.socket("control")
    name = f"plinth-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as hidden:
        listener.bind(str(path))
        listener.listen()
        hidden.bind("\0" + name)
        hidden.listen()
        attempts: list[tuple[str, str, Any]] = [
            ("control", "unix", str(path)),
            ("agent", "unix", str(ground.node.home.socket("agent"))),
            ("datagrams", "udp", 0),
            ("fast open", "fast_open", ground.closed_port),
            ("fast open by message", "fast_open_message", ground.closed_port),
        ]
        if ground.level < OWN_FILES:
            attempts.append(("listening unbound", "listen_anywhere", 0))
        if landlock.abi() >= 6 or ground.level < OWN_FILES:
            attempts.append(("abstract", "abstract", name))
        if landlock.abi() >= 4:
            attempts.append(("closed port", "tcp", ground.closed_port))
            attempts.append(("fast open later", "fast_open_later", ground.closed_port))
            attempts.append(("listening", "listen", 0))
        results = ground.try_all(*attempts, ("open port", "tcp", ground.open_port))
    assert results.pop("open port") == "done"
    assert_refused(results, {"EACCES", "EPERM", "ENOENT"})


@needs_files
def test_the_gates_of_the_network_that_stay_open_are_the_documented_ones(ground: Ground) -> None:
    # docs/decisions/0005: a rule of landlock has a port and no address, and a filter cannot tell
    # a TCP socket that listens from a Unix one. Whoever closes these, changes the page too.
    with socket.create_server(("127.0.0.2", ground.open_port)):
        results = ground.try_all(
            ("the gateway's port elsewhere", "other_host", ground.open_port),
            ("a port of the kernel's choice", "listen_anywhere", 0),
        )
    assert results == {
        "the gateway's port elsewhere": "done",
        "a port of the kernel's choice": "done" if ground.level >= OWN_FILES else "EACCES",
    }


@needs_files
def test_privileges_cannot_be_had(ground: Ground) -> None:
    work = str(ground.node.work("intruder"))
    results = ground.try_all(
        ("unshare", "unshare", 0),
        ("mount", "mount", work),
        ("another user", "become_root", 0),
        ("kernel settings", "write", "/proc/sys/kernel/core_pattern"),
        ("passwords", "write", "/etc/passwd"),
        ("programs", "write", "/usr/bin/env"),
    )
    # EINVAL: in an ordinary user's namespace there is no other user.
    assert_refused(results, {"EACCES", "EPERM", "EROFS", "EINVAL"})
    status = ground.node.client.observe(["intruder"])[0]
    assert status.exit_code == 0


@needs_files
def test_an_open_network_reaches_any_port(ground: Ground) -> None:
    unit = "open"
    code = (
        "import socket, sys\n"
        f"socket.create_connection(('127.0.0.1', {ground.closed_port})).close()\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()\n"
    )
    confinement = Confinement(write=(str(ground.node.work(unit)),))
    ground.node.client.start(ground.node.python(unit, code, confinement=confinement))
    assert ground.node.wait_for_phase(unit, "exited").exit_code == 0, ground.node.log(unit)


@needs_files
def test_an_open_network_never_listens_on_the_gateways_port(ground: Ground) -> None:
    # Nobody listens there now, as when Envoy restarts: whoever takes it is sent everybody's keys.
    with socket.create_server(("127.0.0.1", 0)) as free:
        gateway = free.getsockname()[1]
    script = (
        "import errno, socket, sys\n"
        "def listen(port):\n"
        "    with socket.socket() as server:\n"
        "        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "        try: server.bind(('127.0.0.1', port)); server.listen()\n"
        "        except OSError as err: return errno.errorcode[err.errno]\n"
        "        return 'listens'\n"
        f"print(*(listen(port) for port in ({gateway}, 8470, 29500, 0)), flush=True)\n"
    )
    confinement = Confinement(write=(str(ground.node.work("open")),), refuse_ports=(gateway, 8470))
    ground.node.client.start(ground.node.python("open", script, confinement=confinement))
    ground.node.wait_for_line("open", "EACCES EACCES listens listens")


@needs_files
def test_read_paths_can_be_read_and_not_changed(ground: Ground) -> None:
    folder = ground.node.home.models / "m1"
    folder.mkdir()
    (folder / "weights").write_text("w")
    (ground.node.home.models / "link").symlink_to("m1")
    unit = "reader"
    code = (
        "import os\n"
        f"path = {str(ground.node.home.models / 'link' / 'weights')!r}\n"
        "assert open(path).read() == 'w'\n"
        "try: open(path, 'a')\n"
        "except OSError as err: print('refused', err.errno)\n"
    )
    confinement = Confinement(
        read=(str(ground.node.home.models / "link"),), write=(str(ground.node.work(unit)),)
    )
    ground.node.client.start(ground.node.python(unit, code, confinement=confinement))
    assert ground.node.wait_for_phase(unit, "exited").exit_code == 0, ground.node.log(unit)
    assert "refused" in ground.node.log(unit)


@needs_files
def test_ordinary_work_is_not_disturbed(ground: Ground) -> None:
    unit = "worker"
    # The forkserver talks over a Unix socket, which only level 3 has.
    methods = ["fork", "spawn"] + (["forkserver"] if ground.level >= OWN_FILES else [])
    program = ground.node.work(unit) / "worker.py"
    program.write_text(WORKER.replace("METHODS", repr(methods)))
    path = ground.node.home.socket(unit)
    spec = ground.node.spec(
        unit,
        os.path.realpath(sys.executable),
        str(program),
        str(ground.open_port),
        socket=str(path),
        confinement=ground.confinement(unit),
    )
    ground.node.client.start(spec)
    ground.node.wait_for_phase(unit, "running")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(path))
        assert caller.recv(100) == b"hello from fd 3"
    state = ground.node.wait_for_phase(unit, "exited")
    assert state.exit_code == 0, ground.node.log(unit)
    assert "all done" in ground.node.log(unit)


def test_a_level_that_cannot_be_reached_is_refused() -> None:
    with running_node(0) as node:
        spec = node.python("job", WAIT, confinement=Confinement(minimum_level=1))
        with pytest.raises(Permanent, match="this node offers 0"):
            node.client.start(spec)


@pytest.mark.skipif(BEST < 1, reason="this machine offers no isolation")
def test_level_1_takes_every_capability() -> None:
    with running_node(1) as node:
        code = "print(open('/proc/self/status').read())"
        confinement = Confinement(write=(str(node.work("job")),))
        node.client.start(node.python("job", code, confinement=confinement))
        state = node.wait_for_phase("job", "exited")
        assert (state.exit_code, state.isolation) == (0, 1)
        lines = dict(line.split(":\t", 1) for line in node.log("job").splitlines() if ":\t" in line)
        assert lines["NoNewPrivs"] == "1"
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(lines[name], 16) == 0, name
        if os.geteuid() == 0:
            assert int(lines["CapBnd"], 16) == 0


def assert_refused(results: dict[str, str], allowed: set[str]) -> None:
    wrong = {name: result for name, result in results.items() if result not in allowed}
    assert not wrong
