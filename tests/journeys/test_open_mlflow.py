"""From `plinth open` to MLflow's pages, through the whole of Plinth; with a real browser if any.

A journey because a browser, the gateway, the control plane and MLflow each decide a part of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module, util
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.traffic import tracking_origin
from tests.journeys.browsing import link, page_headers, sign_in, visit
from tests.journeys.leak_plants import V2, Planted, plant_tracking
from tests.journeys.plinth_node import Plinth, running_plinth, wait_for

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
AJAX = V2.replace("/api/", "/ajax-api/")
# What MLflow's pages ask for and may not have: whoever is not signed in to MLflow itself, and its
# assistant. They do without.
DONE_WITHOUT = ("users/current", "/assistant/")


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with running_plinth(managed_environments, free_port(), teams=["red"]) as plinth:
        yield plinth


@pytest.fixture(scope="module")
def key(plinth: Plinth) -> str:
    return plinth.key("red", role="contributor")


@pytest.fixture(scope="module")
def planted(plinth: Plinth, key: str) -> Planted:
    client, path = plinth.http(key), f"{V2}/runs/set-tag"
    wait_for(lambda: client.post(path, json={}).status_code == 400, "the grant and the workspace")
    return plant_tracking(client, "red", "flights")


def test_a_link_from_the_command_line_signs_one_browser_in(plinth: Plinth) -> None:
    answer = plinth.cli("open", "mlflow", "--json").json
    url = str(answer["url"])
    assert url.startswith(f"{tracking_origin(plinth.port)}/sign-in?code=")
    assert plinth.cli("open", "--print").out.startswith(url.partition("=")[0])
    path = url.removeprefix(tracking_origin(plinth.port))
    first, second = visit(plinth, path), visit(plinth, path)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    assert second.status_code == 410
    assert "used already" in second.text


def test_of_many_who_open_a_link_at_once_one_is_signed_in(plinth: Plinth, key: str) -> None:
    path, statuses = link(plinth, key), []
    together = threading.Barrier(8)

    def open_it() -> None:
        together.wait()
        statuses.append(visit(plinth, path).status_code)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [303, *([410] * 7)]


def test_a_signed_in_browser_sees_the_team_s_mlflow(
    plinth: Plinth, key: str, planted: Planted
) -> None:
    headers = page_headers(plinth, sign_in(plinth, key))
    browser = plinth.http()
    assert "<title>MLflow</title>" in browser.get("/", headers=headers).text
    found = browser.get(f"{AJAX}/experiments/search?max_results=9", headers=headers).json()
    assert [each["name"] for each in found["experiments"]] == ["flights-experiment"]
    tag = {"run_id": planted.names["tracking_run"], "key": "seen", "value": "yes"}
    origin = {"origin": tracking_origin(plinth.port)}
    changed = browser.post(f"{AJAX}/runs/set-tag", json=tag, headers={**headers, **origin})
    assert changed.status_code == 200, changed.text


def test_a_viewer_s_browser_reads_and_changes_nothing(plinth: Plinth, planted: Planted) -> None:
    headers = page_headers(plinth, sign_in(plinth, plinth.key("red")))
    path = f"{AJAX}/runs/get?run_id={planted.names['tracking_run']}"
    assert plinth.http().get(path, headers=headers).status_code == 200
    answer = plinth.http().post(f"{AJAX}/runs/set-tag", json={}, headers=headers)
    assert answer.status_code == 403
    assert "contributor" in answer.json()["error"]["message"]


def test_who_is_not_signed_in_is_told_how(plinth: Plinth) -> None:
    answer = visit(plinth, "/")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "<code>plinth open mlflow</code>" in answer.text
    assert answer.headers["x-plinth-id"]


def test_a_browser_is_out_when_it_signs_out_or_its_key_or_the_one_before_is_revoked(
    plinth: Plinth, key: str
) -> None:
    def is_in(headers: dict[str, str]) -> bool:
        return plinth.http().get("/", headers=headers).status_code == 200

    out = page_headers(plinth, sign_in(plinth, key))
    assert is_in(out)
    answer = plinth.http().post("/sign-out", headers=out)
    assert answer.headers["set-cookie"].partition("=")[2].startswith(";")
    wait_for(lambda: not is_in(out), "the end of the sign-in")

    own = page_headers(plinth, sign_in(plinth, key))
    keys = plinth.client.keys()
    browser = [k for k in keys if k["label"] == "browser" and k["principal"]["team"] == "red"][-1]
    plinth.cli("keys", "revoke", browser["id"])
    wait_for(lambda: not is_in(own), "the end of the browser's key")

    made = plinth.client.create_key(team="red", name="laptop", role="viewer", days=1)
    child = page_headers(plinth, sign_in(plinth, made["token"]))
    assert is_in(child)
    plinth.client.revoke_key(made["id"])
    wait_for(lambda: not is_in(child), "the end of what came of the key")


def test_no_code_and_no_cookie_stands_in_any_log(plinth: Plinth, key: str) -> None:
    path = link(plinth, key)
    cookie = visit(plinth, path).headers["set-cookie"].partition(";")[0].partition("=")[2]
    page_headers(plinth, cookie)
    secret = (path.partition("code=")[2].encode(), cookie.rpartition(".")[2].encode())
    log = plinth.home.gateway / "access.log"
    wait_for(lambda: b"/sign-in" in log.read_bytes(), "the line of the sign-in")
    files = [log, *plinth.home.units.glob("*/log"), *plinth.home.database.parent.iterdir()]
    for file in files:
        content = file.read_bytes()
        assert not any(each in content for each in secret), file


def test_nobody_calls_a_server_past_the_gateway(plinth: Plinth) -> None:
    """Sockets are their owner's alone; whoever else there is on this machine is refused."""
    sockets = list(plinth.home.sockets.iterdir())
    assert {"control.sock", "mlflow.sock", "agent.sock"} <= {path.name for path in sockets}
    assert plinth.home.sockets.stat().st_mode & 0o777 == 0o700
    for path in sockets:
        assert path.is_socket(), path
        assert path.stat().st_mode & 0o777 == 0o600, path
    if os.geteuid() != 0:
        return  # Only root can become another user.
    knock = (
        "import socket, sys\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        socket.socket(socket.AF_UNIX).connect(path)\n"
        "    except PermissionError:\n        continue\n"
        "    sys.exit(path)\n"
    )
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    # From the root folder: a stranger may not even enter the one of the tests.
    done = subprocess.run(
        [python, "-I", "-c", knock, *map(str, sockets)],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# -- with a real browser ---------------------------------------------------------------------------


@pytest.fixture
def page(plinth: Plinth) -> Iterator[Any]:
    """Open a page of Chromium, and keep what went wrong in it as `page.trouble`."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no Chromium on this machine: none of {', '.join(BROWSERS)} is on the PATH")
    if util.find_spec("playwright") is None:
        pytest.skip("the package `playwright` is not installed; it drives the browser")
    driver = import_module("playwright.sync_api")
    with driver.sync_playwright() as playing:
        browser = playing.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.trouble = []
        opened.on("response", lambda r: _note_answer(opened.trouble, r))
        opened.on("pageerror", lambda error: opened.trouble.append(str(error)))
        yield opened
        browser.close()


def _note_answer(trouble: list[str], response: Any) -> None:
    is_missed = any(path in response.url for path in DONE_WITHOUT)
    if response.status >= 400 and not is_missed:
        trouble.append(f"{response.status} {response.request.method} {response.url}")


def test_a_real_browser_shows_experiments_runs_and_models(
    plinth: Plinth, key: str, planted: Planted, page: Any
) -> None:
    origin, names = tracking_origin(plinth.port), planted.names
    page.goto(f"{origin}/")
    assert page.get_by_text("plinth open mlflow").is_visible()
    page.trouble.clear()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{origin}{link(plinth, key)}")
    page.get_by_text("flights-experiment").first.wait_for()
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
        f"__Host-plinth-{plinth.port}",
        True,
        True,
        "Lax",
    )
    for where, text in (
        (f"experiments/{names['experiment']}/runs", "flights-run"),
        (f"experiments/{names['experiment']}/runs/{names['tracking_run']}", "flights-param"),
        (f"experiments/{names['experiment']}/runs/{names['tracking_run']}/artifacts", "notes.txt"),
        ("models", "flights-model"),
    ):
        page.goto(f"{origin}/#/{where}")
        page.get_by_text(text).first.wait_for()
    _create_experiment(page, origin)
    assert page.trouble == []
    assert [url for url in asked if not url.startswith((origin, "data:", "blob:"))] == []


def _create_experiment(page: Any, origin: str) -> None:
    """Make an experiment as MLflow's own page does, from within the page."""
    body = json.dumps({"name": "made in a browser"})
    script = (
        "([path, body]) => fetch(path, {method: 'POST', body, "
        "headers: {'content-type': 'application/json'}}).then(answer => answer.status)"
    )
    assert page.evaluate(script, [f"{AJAX}/experiments/create", body]) == 200
    page.goto(f"{origin}/#/experiments")
    page.reload()
    page.get_by_text("made in a browser").first.wait_for()


def test_a_real_browser_signs_out_and_asks_before_it_follows_a_strange_link(
    plinth: Plinth, key: str, page: Any
) -> None:
    origin = tracking_origin(plinth.port)
    url = f"{origin}{link(plinth, key)}"
    page.goto("about:blank")
    page.set_content(f'<a href="{url}">Free money</a>')
    page.click("a")
    page.get_by_text("Go on only if you asked for it yourself").wait_for()
    page.click("button")
    page.get_by_text("Welcome to MLflow").wait_for()
    page.goto(f"{origin}/sign-out")
    page.click("button")
    page.get_by_text("This browser is signed out").wait_for()
    assert page.context.cookies() == []
    assert page.goto(f"{origin}/").status == 401


def test_a_page_of_another_origin_makes_a_real_browser_change_nothing(
    plinth: Plinth, key: str, planted: Planted, page: Any
) -> None:
    """Even one of the same site: another port of the very same host, which gets the cookie too."""
    origin, run = tracking_origin(plinth.port), planted.names["tracking_run"]
    page.goto(f"{origin}{link(plinth, key)}")
    page.get_by_text("Welcome to MLflow").wait_for()
    target = f"{origin}{AJAX}/runs/delete"
    form = (
        f'<form method="post" enctype="text/plain" action="{target}">'
        f'<input name=\'{{"run_id":"{run}","x":"\' value=\'"}}\'></form>'
    )
    page.route(
        lambda url: not url.startswith(origin),
        lambda route: route.fulfill(status=200, content_type="text/html", body=form),
    )
    for stranger in ("http://mlflow.localhost:8999/", "http://evil.example/"):
        page.goto(stranger)
        with page.expect_navigation() as sent:
            page.evaluate("document.forms[0].submit()")
        assert sent.value.status in (401, 403)
        page.goto(stranger)
        call = "fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'})"
        page.evaluate(f"url => {call}.then(() => null, () => null)", target)
    found = plinth.http(key).get(f"{V2}/runs/get?run_id={run}").json()
    assert found["run"]["info"]["lifecycle_stage"] == "active"
