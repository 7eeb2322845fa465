"""From `plinth open` to MLflow's pages, through the whole of Plinth; with a real browser if any.

A journey because a browser, the gateway, the control plane and MLflow each decide a part of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.domain.traffic import tracking_authority, tracking_origin
from tests.journeys.browsing import link, page_headers, sign_in, visit
from tests.journeys.chromium import Chromium, running_chromium
from tests.journeys.chromium_page import Page
from tests.journeys.leak_plants import V2, Planted, plant_tracking
from tests.journeys.one_node import with_teams
from tests.journeys.plinth_node import Plinth, wait_for

AJAX = V2.replace("/api/", "/ajax-api/")
# What MLflow's pages ask for and may not have: whoever is not signed in to MLflow itself, and its
# assistant. They do without.
DONE_WITHOUT = ("users/current", "/assistant/")


@pytest.fixture(scope="module")
def plinth(one_node: Plinth) -> Plinth:
    return with_teams(one_node, "red")


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
    # The gateway names the whole host, which `plinth open` takes too.
    assert f"<code>plinth open {tracking_authority(plinth.port)}</code>" in answer.text
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture
def page(chromium: Chromium) -> Page:
    return chromium.open()


def _trouble(page: Page) -> list[str]:
    """Return what went wrong in the page, less what it does without."""
    refused = [each for each in page.refused if not any(path in each for path in DONE_WITHOUT)]
    return [*refused, *page.errors]


def test_a_real_browser_shows_experiments_runs_and_models(
    plinth: Plinth, key: str, planted: Planted, page: Page
) -> None:
    origin, names = tracking_origin(plinth.port), planted.names
    assert page.visit(f"{origin}/") == 401
    assert "plinth open mlflow" in page.text()
    assert page.refused.pop(0) == f"401 GET {origin}/"
    page.visit(f"{origin}{link(plinth, key)}")
    page.wait_for_text("flights-experiment")
    (cookie,) = page.cookies()
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
        page.visit(f"{origin}/#/{where}")
        page.wait_for_text(text)
    _create_experiment(page, origin)
    assert _trouble(page) == []
    assert [url for url in page.asked if not url.startswith((origin, "data:", "blob:"))] == []


def _create_experiment(page: Page, origin: str) -> None:
    """Make an experiment as MLflow's own page does, from within the page."""
    body = json.dumps({"name": "made in a browser"})
    script = (
        "(path, body) => fetch(path, {method: 'POST', body, "
        "headers: {'content-type': 'application/json'}}).then(answer => answer.status)"
    )
    assert page.run(script, f"{AJAX}/experiments/create", body) == 200
    page.visit(f"{origin}/#/experiments")
    page.follow(lambda: page.run("() => location.reload()"))
    page.wait_for_text("made in a browser")


def test_a_real_browser_signs_out_and_asks_before_it_follows_a_strange_link(
    plinth: Plinth, key: str, page: Page
) -> None:
    origin = tracking_origin(plinth.port)
    url = f"{origin}{link(plinth, key)}"
    page.show(f'<a href="{url}">Free money</a>')
    page.click("a")
    page.wait_for_text("Go on only if you asked for it yourself")
    assert page.cookies() == []
    page.click("button")
    page.wait_for_text("Welcome to MLflow")
    page.visit(f"{origin}/sign-out")
    page.click("button")
    page.wait_for_text("This browser is signed out")
    assert page.cookies() == []
    assert page.visit(f"{origin}/") == 401


def test_a_page_of_another_origin_makes_a_real_browser_change_nothing(
    plinth: Plinth, key: str, planted: Planted, page: Page
) -> None:
    """Even one of the same site: another port of the very same host, which gets the cookie too."""
    origin, run = tracking_origin(plinth.port), planted.names["tracking_run"]
    page.visit(f"{origin}{link(plinth, key)}")
    page.wait_for_text("Welcome to MLflow")
    target = f"{origin}{AJAX}/runs/delete"
    form = (
        f'<form method="post" enctype="text/plain" action="{target}">'
        f'<input name=\'{{"run_id":"{run}","x":"\' value=\'"}}\'></form>'
    )
    for stranger in ("http://mlflow.localhost:8999/", "http://evil.example/"):
        page.pretend(f"{stranger}*", form)
        page.visit(stranger)
        assert page.follow(lambda: page.run("() => document.forms[0].submit()")) in (401, 403)
        page.visit(stranger)
        page.refused.clear()
        call = "fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'})"
        page.run(f"url => {call}.then(() => null, () => null)", target)
        assert page.refused in ([f"401 POST {target}"], [f"403 POST {target}"])
    found = plinth.http(key).get(f"{V2}/runs/get?run_id={run}").json()
    assert found["run"]["info"]["lifecycle_stage"] == "active"
