"""Workspaces as people work in them: real JupyterLab, kernels over WebSockets, the whole Plinth.

A journey because the gateway, the kernel's confinement, MLflow and the tool each decide a part.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.web_page import workspace_page
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.units.isolation import best_level
from tests.journeys.chromium import Chromium, running_chromium
from tests.journeys.chromium_page import Page
from tests.journeys.notebook import Notebook, Refused, WebSocket
from tests.journeys.plinth_node import Plinth, is_alive, kill, running_plinth, wait_for
from tests.journeys.workspace_stand import (
    People,
    bring_up,
    cookie_for,
    host_of,
    notebook,
    until_open,
    until_stopped,
)

needs_files = pytest.mark.skipif(
    best_level() < 2, reason=f"isolation level {best_level()} here; limits on files begin at 2"
)
needs_own_files = pytest.mark.skipif(
    best_level() < 3, reason=f"isolation level {best_level()} here; terminals begin at 3"
)


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with running_plinth(managed_environments, free_port(), teams=["red", "blue"]) as plinth:
        yield plinth


@pytest.fixture(scope="module")
def people(plinth: Plinth) -> People:
    return People(plinth)


@pytest.fixture(scope="module")
def lab(plinth: Plinth, people: People) -> str:
    """Return Ann's workspace, which stays open."""
    bring_up(plinth, people.key("ann"), "ann-lab", team="red", idle_stop="1h")
    return "ann-lab"


@pytest.mark.journey(timeout_s=400)
def test_a_cell_runs_and_the_time_until_then_is_told(
    plinth: Plinth, people: People, lab: str
) -> None:
    page = notebook(plinth, people.key("ann"), lab)
    assert page.ask("GET", "/lab").status_code == 200
    assert page.run("print(6 * 7)").text == "42\n"
    page.close()

    def seen() -> Any:
        return plinth.client.workspace(lab)["activity"]["first_cell_s"]

    first_s = wait_for(seen, "the first cell's time")
    assert first_s >= plinth.client.workspace(lab)["activity"]["ready_s"] > 0
    shown = plinth.cli("workspace", "get", lab).out
    assert "first cell" in shown
    assert "open after" in shown


def test_mlflow_logs_under_the_team_and_models_are_called_with_the_session_s_key(
    plinth: Plinth, people: People, lab: str
) -> None:
    page = notebook(plinth, people.key("ann"), lab)
    logged = page.run(
        "import mlflow\nmlflow.log_metric('auc', 0.75)\n"
        "print(mlflow.active_run().info.run_id)\nmlflow.end_run()"
    )
    assert logged.error is None, logged.traceback
    run = logged.text.split()[-1]
    path = "/api/2.0/mlflow/runs/get"
    found = plinth.http(people.key("ann")).get(path, params={"run_id": run}).json()["run"]
    assert [each["key"] for each in found["data"]["metrics"]] == ["auc"]
    tags = {each["key"]: each["value"] for each in found["data"]["tags"]}
    assert tags["plinth.run"] == plinth.client.workspace(lab)["run"]
    assert tags["plinth.team"] == "red"
    stranger = plinth.http(people.key("eve", team="blue"))
    assert stranger.get(path, params={"run_id": run}).status_code == 404
    listed = page.run("import openai\nprint([each.id for each in openai.OpenAI().models.list()])")
    assert (listed.error, listed.text) == (None, "[]\n")
    key = page.run("import os; print(os.environ['OPENAI_API_KEY'])").text.strip()
    whoami = plinth.http(key).get("/api/v1/whoami").json()
    assert (whoami["principal"]["kind"], whoami["principal"]["team"]) == ("run", "red")
    page.close()


@needs_own_files
def test_shell_commands_and_terminals_work(plinth: Plinth, people: People, lab: str) -> None:
    page = notebook(plinth, people.key("ann"), lab)
    assert page.run("!echo from a shell").text.strip() == "from a shell"
    terminal = page.ask("POST", "/api/terminals").json()["name"]
    socket = page.connect(f"/terminals/websocket/{terminal}")
    socket.send('["stdin", "expr 40 + 2\\r"]')
    said = ""
    while "42" not in said:
        kind, text, *_ = json.loads(socket.receive())
        said += text if kind == "stdout" else ""
    socket.close()
    page.ask("DELETE", f"/api/terminals/{terminal}")
    page.close()


_ATTEMPTS = """
import os, socket
def tried(what):
    try:
        return f'GOT {what()!r}'[:60]
    except OSError as err:
        return type(err).__name__
def connect(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        return 'connected'
for path in %r:
    print(tried(lambda: os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(9)))
for path in %r:
    print(tried(lambda: connect(path)))
"""


@needs_files
def test_a_workspace_reads_no_secret_no_socket_and_nobody_else_s_files(
    plinth: Plinth, people: People, lab: str
) -> None:
    home = plinth.home
    strangers = home.files / "blue" / "team"
    strangers.mkdir(parents=True, exist_ok=True)
    (strangers / "plan.txt").write_text("of team blue")
    others = home.files / "red" / "people" / "p_somebody"
    others.mkdir(parents=True, exist_ok=True)
    (others / "diary.txt").write_text("of somebody else")
    files = [
        *(home.admin_token, home.database, home.ledger, home.node_file),
        *(home.tracking / "mlflow.db", home.gateway / "bootstrap.json"),
        *(home.secrets, home.units, home.runs, home.storage, home.files, home.files / "red"),
        *(strangers / "plan.txt", others / "diary.txt", home.files / "red" / "people"),
    ]
    sockets = [str(home.socket(name)) for name in ("agent", "control", "mlflow", "envoy-admin")]
    page = notebook(plinth, people.key("ann"), lab)
    cell = page.run(_ATTEMPTS % ([str(each) for each in files], sockets))
    assert cell.error is None, cell.traceback
    told = cell.text.split("\n")[:-1]
    assert len(told) == len(files) + len(sockets)
    # At level 3 a folder on the way to its own files has a name, and nothing else in it.
    mine = home.files / "red"
    allowed = {str(each) for each in (home.files, mine, mine / "people", home.runs)}
    names = [*map(str, files), *sockets]
    got = {name for name, said in zip(names, told, strict=True) if said.startswith("GOT")}
    assert got <= allowed, got
    assert "diary" not in cell.text
    page.close()


def test_personal_and_team_files_outlive_stop_resize_and_removal(
    plinth: Plinth, people: People
) -> None:
    ann, bob = people.key("ann"), people.key("bob")
    bring_up(plinth, ann, "files", team="red")
    page = notebook(plinth, ann, "files")
    kept = page.run("from pathlib import Path\n(Path.home() / 'mine.txt').write_text('of ann')")
    assert kept.error is None, kept.traceback
    for path, text in (("team/ours.txt", "of red"), ("personal/lab.txt", "by the page")):
        body = {"type": "file", "format": "text", "content": text}
        assert page.ask("PUT", f"/api/contents/{path}", json=body).status_code == 201
    for method, path in (("PUT", "top.txt"), ("DELETE", "team"), ("DELETE", "personal")):
        body = {"type": "file", "format": "text", "content": "x"}
        refused = page.ask(method, f"/api/contents/{path}", json=body)
        assert refused.status_code == 403
        assert "Only what is in `personal` and `team`" in refused.json()["message"]
    for path, made in (("team/old", {"type": "directory"}), ("team/old/a.txt", body)):
        assert page.ask("PUT", f"/api/contents/{path}", json=made).status_code == 201
    assert page.ask("DELETE", "/api/contents/team/old").status_code == 204
    page.close()
    client = plinth.client_of(ann)
    client.stop_workspace("files")
    until_stopped(plinth, "files")
    client.resize_workspace("files", "medium", None)
    client.start_workspace("files")
    assert until_open(plinth, "files")["profile"] == "medium"
    page = notebook(plinth, ann, "files")
    for path, text in (
        ("personal/mine.txt", "of ann"),
        ("personal/lab.txt", "by the page"),
        ("team/ours.txt", "of red"),
    ):
        assert page.ask("GET", f"/api/contents/{path}").json()["content"] == text
    page.close()
    client.delete_workspace("files")
    wait_for(lambda: "files" not in names(plinth), "the removal")
    bring_up(plinth, bob, "files", team="red")
    page = notebook(plinth, bob, "files")
    assert page.ask("GET", "/api/contents/team/ours.txt").json()["content"] == "of red"
    assert page.ask("GET", "/api/contents/personal/mine.txt").status_code == 404
    page.close()
    plinth.client_of(bob).delete_workspace("files")


def names(plinth: Plinth) -> set[str]:
    return {each["name"] for each in plinth.client.workspaces()}


def test_a_cell_that_runs_is_not_stopped_unless_somebody_says_so(
    plinth: Plinth, people: People
) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "busy", team="red")
    page = notebook(plinth, ann, "busy")
    page.begin("import time\nfor _ in range(600): time.sleep(0.1)")
    wait_for(lambda: plinth.client.workspace("busy")["activity"]["busy"], "the cell")
    for ask in ("stop", "rm"):
        refused = plinth.cli("workspace", ask, "busy", check=False)
        assert refused.code == 1
        assert "a cell of" in refused.err
        assert f"`plinth workspace {ask} busy --force`" in refused.err
    refused = plinth.cli("down", check=False)
    assert refused.code == 1
    assert "workspace `busy` is busy: a cell of" in refused.err
    with pytest.raises(Conflict) as caught:
        plinth.client_of(ann).stop_workspace("busy")
    assert caught.value.code == "workspace_busy"
    run = plinth.client.workspace("busy")["run"]
    with pytest.raises(Conflict, match="is a session of"):
        plinth.client_of(ann).stop_run(run)
    done = plinth.cli("workspace", "stop", "busy", "--force")
    assert "stopped" in done.err
    page.close()

    def ended() -> float | None:
        usage = plinth.client.usage()
        found = [each for each in usage if each["workload"] == "workspace/busy"]
        seconds: float | None = found[0]["serving_seconds"] if found else None
        return seconds

    stopped = plinth.client.run(run)
    attempt = stopped["attempts"][0]
    assert attempt["ended_at"] is not None
    charged = wait_for(ended, "its usage")
    time.sleep(2.5)
    assert ended() == charged


def test_it_stops_when_nobody_works_in_it_and_not_while_a_cell_runs(
    plinth: Plinth, people: People
) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "idle", team="red", idle_stop="6s")
    page = notebook(plinth, ann, "idle")
    busy = time.monotonic()
    assert page.run("import time\nfor _ in range(120): time.sleep(0.1)").error is None
    assert time.monotonic() - busy > 12
    assert plinth.client.workspace("idle")["desired"] == "run"
    told: set[str] = set()

    # What a page that nobody looks at asks again and again.
    polled = ("kernels", "sessions", "terminals", "contents/personal?content=1", "kernelspecs")

    def seen() -> bool:
        for each in polled:
            page.ask("GET", f"/api/{each}")
        answer = page.ask("GET", "/plinth/status")
        if answer.status_code == 200 and answer.json()["counts_down"]:
            told.add("page")
        found = plinth.client.workspace("idle")
        if found["reason"] == "Idle":
            told.add("list")
            assert "stops in" in found["message"]
        return found["phase"] == "stopped"

    wait_for(seen, "the idle stop")
    found = plinth.client.workspace("idle")
    assert found["reason"] == "IdleStopped"
    assert told == {"page", "list"}
    page.close()
    closed = page.ask("GET", "/lab")
    assert closed.status_code == 409
    assert "plinth workspace start idle" in closed.text


def test_nobody_else_comes_in_unless_it_is_shared(plinth: Plinth, people: People, lab: str) -> None:
    bob, viewer, eve = (
        people.key("bob"),
        people.key("vic", role="viewer"),
        people.key("eve", "blue"),
    )
    for key, refusal in ((bob, Denied), (viewer, Denied), (eve, NotFound)):
        with pytest.raises(refusal):
            plinth.client_of(key).sign_in(workspace_page(lab))
        # Nor with a key in a header, which the gateway itself refuses.
        answer = Notebook(
            plinth.port, host_of(plinth, lab), {"authorization": f"Bearer {key}"}
        ).ask("GET", "/api/contents")
        assert answer.status_code == 403
    with pytest.raises(Denied):
        plinth.client_of(bob).stop_workspace(lab)
    with pytest.raises(Conflict, match="taken"):
        bring_up(plinth, bob, lab, team="red", shared=True)
    bring_up(plinth, bob, "room", team="red", shared=True)
    mine, yours = notebook(plinth, bob, "room"), notebook(plinth, people.key("ann"), "room")
    mine.run("(__import__('pathlib').Path.home() / 'both.txt').write_text('hello')")
    assert yours.ask("GET", "/api/contents/personal/both.txt").json()["content"] == "hello"
    with pytest.raises(Denied):
        plinth.client_of(viewer).sign_in(workspace_page("room"))
    with pytest.raises(NotFound):
        plinth.client_of(eve).sign_in(workspace_page("room"))
    # A session's own key opens nobody's page, not even of its team.
    key = mine.run("import os; print(os.environ['PLINTH_KEY'])").text.strip()
    run = Notebook(plinth.port, host_of(plinth, "room"), {"authorization": f"Bearer {key}"})
    assert run.ask("GET", "/api/contents").status_code == 403
    mine.close()
    plinth.client_of(bob).delete_workspace("room", force=True)


def goes_on(socket: WebSocket) -> bool:
    """Tell whether a terminal still answers."""
    try:
        socket.send('["stdin", "expr 40 + 2\\r"]')
        said = ""
        while "42" not in said:
            kind, text, *_ = json.loads(socket.receive())
            said += text if kind == "stdout" else ""
    except (EOFError, OSError):
        return False
    return True


@needs_own_files
@pytest.mark.journey(timeout_s=300)
def test_who_loses_the_right_is_out_at_once_also_where_a_terminal_is_open(
    plinth: Plinth, people: People
) -> None:
    ann, leo = people.key("ann"), people.key("leo")
    bring_up(plinth, ann, "den", team="red", shared=True)
    mine = notebook(plinth, ann, "den")
    assert mine.run("kept = 40").error is None
    kept = mine.ask("POST", "/api/terminals").json()["name"]
    staying = mine.connect(f"/terminals/websocket/{kept}")
    out = {
        "is removed": lambda _page: plinth.cli("members", "remove", "leo", "--on-team", "red"),
        "signs out": lambda page: page.ask("POST", "/sign-out"),
    }
    for how in ("signs out", "is removed"):
        theirs = notebook(plinth, leo, "den")
        assert theirs.run("print('in')").text == "in\n"
        terminal = theirs.ask("POST", "/api/terminals").json()["name"]
        socket = theirs.connect(f"/terminals/websocket/{terminal}")
        assert goes_on(socket)
        out[how](theirs)
        wait_for(lambda open_=socket: not goes_on(open_), f"the terminal of who {how}", within_s=20)
        with pytest.raises((EOFError, OSError)):
            theirs.run("print('still in')")
        with pytest.raises(Refused) as refused:
            theirs.connect(f"/terminals/websocket/{terminal}")
        assert refused.value.status in (401, 403)
        theirs.close()
        socket.close()
    # Who may stay notices nothing of it.
    assert goes_on(staying)
    assert mine.run("print(kept + 2)").text == "42\n"
    staying.close()
    mine.close()
    plinth.client_of(ann).delete_workspace("den", force=True)


_FORKS = """
import os, time
kept = bytearray(b'x') * 250_000_000
for _ in range(4):
    if os.fork() == 0:
        time.sleep(15); os._exit(0)
"""
_FILE_IN_MEMORY = """
import os
held = os.memfd_create('held')
for _ in range(90): os.write(held, bytes(10_000_000))
"""


def test_memory_counts_once_and_also_where_no_process_has_it(
    plinth: Plinth, people: People
) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "wide", team="red", resources={"memory": "600MB"}, idle_stop="10s")
    page = notebook(plinth, ann, "wide")
    # The children have all that the kernel has, and add nothing.
    assert page.run(_FORKS).error is None
    before = time.monotonic()
    assert page.run("time.sleep(8)").error is None
    assert time.monotonic() - before > 7
    found = plinth.client.workspace("wide")
    assert found["desired"] == "run", found["message"]
    assert 250_000_000 < found["activity"]["memory_bytes"] < 600_000_000
    if best_level() >= 3:
        room = page.run("s = os.statvfs('/dev/shm'); print(s.f_blocks * s.f_frsize)")
        assert int(room.text) < 601_000_000
    page.begin(_FILE_IN_MEMORY)
    until_stopped(plinth, "wide")
    found = plinth.client.workspace("wide")
    assert found["reason"] == "OutOfMemory", found["message"]
    assert "has 600.0 MB" in found["message"]
    page.close()
    plinth.client_of(ann).delete_workspace("wide", force=True)


def test_a_session_that_crashes_begins_anew_and_says_so(plinth: Plinth, people: People) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "crashes", team="red")
    run = plinth.client.workspace("crashes")["run"]
    kill(plinth.pid_of(f"{run}.0.1", "supervisor"))

    def said() -> list[str]:
        events = plinth.client.workspace("crashes")["events"]
        return [each["message"] for each in events if each["reason"] == "Restarting"]

    (message,) = wait_for(said, "what became of the session")
    assert message.startswith("attempt 1 ended: its supervisor was killed; attempt 2 begins with")
    until_open(plinth, "crashes")
    assert "in memory, are gone" in plinth.cli("workspace", "get", "crashes").out
    plinth.client_of(ann).delete_workspace("crashes", force=True)


def test_a_size_that_it_cannot_have_stops_nothing(plinth: Plinth, people: People) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "sized", team="red")
    run = plinth.client.workspace("sized")["run"]
    for profile in ("vast", "gpu"):
        refused = plinth.cli("workspace", "resize", "sized", "--profile", profile, check=False)
        assert refused.code == 1
    found = plinth.client.workspace("sized")
    assert (found["desired"], found["run"]) == ("run", run)
    plinth.client_of(ann).delete_workspace("sized", force=True)


def test_one_workspace_attacks_another_and_gets_nothing(
    plinth: Plinth, people: People, lab: str
) -> None:
    ann, bob = people.key("ann"), people.key("bob")
    bring_up(plinth, bob, "mallory", team="red")
    stolen, own = cookie_for(plinth, bob, "mallory"), cookie_for(plinth, ann, lab)
    target = host_of(plinth, lab)
    # A cookie of one page, planted at another, or of no page at all.
    planted = Notebook(plinth.port, target, {"cookie": stolen})
    assert planted.ask("GET", "/api/contents").status_code == 401
    with pytest.raises(Refused) as refused:
        planted.connect("/api/kernels/x/channels")
    assert refused.value.status == 401
    # The victim's browser, asked by the attacker's page: it sends the cookie, and says who asks.
    strange = f"http://{host_of(plinth, 'mallory')}"
    victim = Notebook(plinth.port, target, {"cookie": own})
    kernel = victim.ask("POST", "/api/kernels", json={}).json()["id"]
    for origin in (strange, "null", "http://evil.example", ""):
        with pytest.raises(Refused) as refused:
            victim.connect(f"/api/kernels/{kernel}/channels", origin=origin)
        assert refused.value.status == 403, origin
    for site in ("same-site", "cross-site"):
        for method, path in (("POST", "/api/kernels"), ("DELETE", f"/api/kernels/{kernel}")):
            said = {"sec-fetch-site": site, "origin": strange}
            assert victim.ask(method, path, json={}, headers=said).status_code == 403
    assert victim.ask("GET", f"/api/kernels/{kernel}").status_code == 200
    # What a workspace answers sets no cookie, neither here nor elsewhere.
    assert "set-cookie" not in victim.ask("GET", "/lab").headers
    assert "cookie" not in victim.ask("GET", "/api/me").text
    victim.ask("DELETE", f"/api/kernels/{kernel}")
    plinth.client_of(bob).delete_workspace("mallory", force=True)


def test_memory_processes_and_daemons_end_with_their_workspace(
    plinth: Plinth, people: People, lab: str
) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "rude", team="red", resources={"memory": "1GB"})
    page = notebook(plinth, ann, "rude")
    full = page.run("kept = []\nwhile True: kept.append(bytearray(50_000_000))")
    assert full.error == "MemoryError"
    page.run("del kept")
    daemon = page.run(
        "import os, time\nr, w = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.write(w, str(os.getpid()).encode()); time.sleep(900)\n"
        "    os._exit(0)\n"
        "print(os.read(r, 20).decode())"
    )
    pid = int(daemon.text.split()[-1])
    assert is_alive(pid)
    other = notebook(plinth, ann, lab)
    assert other.run("print('unharmed')").text == "unharmed\n"
    other.close()
    page.close()
    plinth.client_of(ann).stop_workspace("rude", force=True)
    until_stopped(plinth, "rude")
    assert not is_alive(pid)


def test_data_versions_are_there_to_read_and_not_to_change(
    plinth: Plinth, people: People, tmp_path: Path
) -> None:
    ann = people.key("ann")
    file = tmp_path / "flights.csv"
    file.write_text("a,b\n1,2\n")
    plinth.cli("data", "add", "flights", str(file), "--team", "red")
    bring_up(plinth, ann, "reader", team="red", data={"flights": "flights@1"})
    page = notebook(plinth, ann, "reader")
    read = page.run("import os\nprint(open(os.environ['PLINTH_DATA_FLIGHTS']).read())")
    assert read.text.strip() == "a,b\n1,2"
    content = page.ask("GET", "/api/contents/data/flights").json()["content"]
    assert "a,b" in str(content)
    if best_level() >= 2:
        changed = page.run("open(os.environ['PLINTH_DATA_FLIGHTS'], 'a').write('x')")
        assert changed.error in ("PermissionError", "OSError")
    page.close()
    plinth.client_of(ann).delete_workspace("reader", force=True)


def test_it_starts_again_with_its_files_after_the_node_went_down(
    plinth: Plinth, people: People
) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "night", team="red")
    page = notebook(plinth, ann, "night")
    page.run("(__import__('pathlib').Path.home() / 'night.txt').write_text('kept')")
    page.close()
    plinth.cli("down", "--force")
    plinth.up()
    found = until_stopped(plinth, "night")
    assert found["desired"] == "stop" or wait_for(
        lambda: plinth.client.workspace("night")["desired"] == "stop", "the end to be noted"
    )
    plinth.client_of(ann).start_workspace("night")
    until_open(plinth, "night")
    page = notebook(plinth, ann, "night")
    assert page.ask("GET", "/api/contents/personal/night.txt").json()["content"] == "kept"
    page.close()
    plinth.client_of(ann).delete_workspace("night", force=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as running:
        yield running


def test_a_real_browser_shows_jupyterlab(
    plinth: Plinth, people: People, lab: str, chromium: Chromium
) -> None:
    if plinth.client.workspace(lab)["desired"] != "run":
        plinth.client_of(people.key("ann")).start_workspace(lab)
    until_open(plinth, lab)
    page: Page = chromium.open()
    page.visit(str(plinth.client_of(people.key("ann")).sign_in(workspace_page(lab))["url"]))
    page.wait_for_text("Launcher")
    page.wait_for_text("Python 3")
    origin = f"http://{host_of(plinth, lab)}"
    strangers = [url for url in page.asked if not url.startswith((origin, "data:", "blob:"))]
    assert [url for url in strangers if not url.startswith(f"ws://{host_of(plinth, lab)}")] == []
    assert page.refused == []


def test_it_stops_though_jupyterlab_stands_open_in_a_browser(
    plinth: Plinth, people: People, chromium: Chromium
) -> None:
    ann = people.key("ann")
    # Longer than a browser takes to open it on a busy machine.
    bring_up(plinth, ann, "seen", team="red", idle_stop="25s")
    page: Page = chromium.open()
    page.visit(str(plinth.client_of(ann).sign_in(workspace_page("seen"))["url"]))
    page.wait_for_text("Launcher")
    page.wait_for_text("This workspace stops in")
    until_stopped(plinth, "seen")
    assert plinth.client.workspace("seen")["reason"] == "IdleStopped"
    assert any("/api/kernels" in url for url in page.asked)
    plinth.client_of(ann).delete_workspace("seen", force=True)
