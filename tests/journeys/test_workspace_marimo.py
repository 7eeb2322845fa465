"""Workspaces with marimo: the real one behind Envoy, its kernels, its page in a real browser.

A journey: the gateway's rules for pages, the confinement and marimo's replaced parts must fit.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uv

from plinth.domain.web_page import workspace_page
from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.runtimes.tool import load_tools
from tests.journeys.chromium import Chromium, running_chromium
from tests.journeys.marimo_page import MarimoNotebook
from tests.journeys.notebook import Notebook, Refused
from tests.journeys.openai_mock import Provider, running_provider
from tests.journeys.package_index import build_or_skip
from tests.journeys.plinth_node import Plinth, running_plinth, wait_for
from tests.journeys.workspace_stand import (
    People,
    bring_up,
    cookie_for,
    host_of,
    notebook,
    until_open,
    until_stopped,
)

FILE = "study.py"
# A metric of MLflow and an answer of a model, as somebody writes it who knows neither's address.
CODE = """import mlflow
import openai

mlflow.log_metric("auc", 0.75)
run = mlflow.active_run().info.run_id
mlflow.end_run()
asked = [{"role": "user", "content": "Who?"}]
answer = openai.OpenAI().chat.completions.create(model="smollm2", messages=asked)
print("logged", "to", run, "and", "heard", answer.choices[0].message.content)"""
SLOW = "import time\nfor _ in range(100): time.sleep(0.1)"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def plinth(
    managed_environments: Path, free_port: Callable[[], int], provider: Provider
) -> Iterator[Plinth]:
    """Start Plinth with a model that the notebooks ask, which a provider on loopback serves."""
    spec = EnvironmentSpec(load_tools()["marimo"].packages, this_python())
    build_or_skip(Environments(managed_environments, uv.find_uv_bin()), spec)
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "settings.toml").write_text("allow_private_upstreams = true\n")
    with running_plinth(
        managed_environments, free_port(), teams=["red", "blue"], folder=folder
    ) as plinth:
        model = {"url": provider.url, "protocol": "openai", "model": "gpt-9"}
        file = plinth.write(kind="endpoint", name="smollm2", team="red", external=model)
        plinth.cli("apply", file)
        yield plinth


@pytest.fixture(scope="module")
def people(plinth: Plinth) -> People:
    return People(plinth)


@pytest.fixture(scope="module")
def study(plinth: Plinth, people: People) -> str:
    """Return Ann's workspace, which stays open, with a notebook in her folder."""
    bring_up(plinth, people.key("ann"), "study", team="red", tool="marimo", idle_stop="1h")
    write_notebook(plinth, CODE)
    return "study"


def write_notebook(plinth: Plinth, code: str, name: str = FILE) -> Path:
    """Write a notebook of one cell into the personal folder of whoever has one, and return it."""
    (folder,) = plinth.home.files.glob("red/people/*")
    body = "".join(f"    {line}\n" if line else "\n" for line in code.splitlines())
    text = f"import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n{body}    return\n"
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.journey(timeout_s=400)
def test_a_cell_logs_a_metric_and_asks_a_model_and_there_is_no_token_to_copy(
    plinth: Plinth, people: People, provider: Provider, study: str
) -> None:
    ann = people.key("ann")
    # The link that signs in holds no token of marimo's, and its page asks for none.
    assert "access_token" not in str(plinth.client_of(ann).sign_in(workspace_page(study))["url"])
    page = notebook(plinth, ann, study)
    opened = MarimoNotebook.open(page, FILE)
    assert list(opened.cells.values()) == [CODE]
    cell = opened.run(CODE)
    assert cell.error is None
    assert cell.text.endswith("and heard hello\n")
    opened.close()
    run = cell.text.split()[2]
    path = "/api/2.0/mlflow/runs/get"
    found = plinth.http(ann).get(path, params={"run_id": run}).json()["run"]
    assert [each["key"] for each in found["data"]["metrics"]] == ["auc"]
    tags = {each["key"]: each["value"] for each in found["data"]["tags"]}
    assert tags["plinth.run"] == plinth.client.workspace(study)["run"]
    stranger = plinth.http(people.key("eve", team="blue"))
    assert stranger.get(path, params={"run_id": run}).status_code == 404
    assert provider.seen[-1][2]["messages"] == [{"role": "user", "content": "Who?"}]

    def seen() -> float | None:
        first_s: float | None = plinth.client.workspace(study)["activity"]["first_cell_s"]
        return first_s

    assert wait_for(seen, "the first cell's time") > 0


def test_nobody_else_comes_in(plinth: Plinth, people: People, study: str) -> None:
    bob, eve = people.key("bob"), people.key("eve", team="blue")
    host = host_of(plinth, study)
    for key, refusal in ((bob, Denied), (eve, NotFound)):
        with pytest.raises(refusal):
            plinth.client_of(key).sign_in(workspace_page(study))
        by_header = Notebook(plinth.port, host, {"authorization": f"Bearer {key}"})
        for path in ("/", "/health", f"/?file={FILE}"):
            assert by_header.ask("GET", path).status_code == 403, path
    stranger = Notebook(plinth.port, host, {})
    assert stranger.ask("GET", "/").status_code == 401
    with pytest.raises(Refused):
        stranger.connect(f"/ws?session_id=s_x&file={FILE}")
    # Her own browser, asked by another page: marimo's socket would take any.
    ann = Notebook(plinth.port, host, {"cookie": cookie_for(plinth, people.key("ann"), study)})
    with pytest.raises(Refused) as refused:
        ann.connect(f"/ws?session_id=s_x&file={FILE}", origin="http://evil.example")
    assert refused.value.status == 403
    body = {"code": "print(1)"}
    crossed = ann.ask("POST", "/api/kernel/execute", json=body, headers={"sec-fetch-site": "none"})
    assert crossed.status_code == 403


def test_a_running_cell_keeps_it_open_and_its_files_outlive_the_idle_stop(
    plinth: Plinth, people: People, study: str
) -> None:
    ann = people.key("ann")
    bring_up(plinth, ann, "idle", team="red", tool="marimo", idle_stop="8s")
    file = write_notebook(plinth, "x = 1", "kept.py")
    opened = MarimoNotebook.open(notebook(plinth, ann, "idle"), file.name)
    began = time.monotonic()
    opened.begin(SLOW)
    wait_for(lambda: plinth.client.workspace("idle")["activity"]["busy"] == [file.name], "the cell")
    with pytest.raises(Conflict) as caught:
        plinth.client_of(ann).stop_workspace("idle")
    assert caught.value.code == "workspace_busy"
    wait_for(lambda: not plinth.client.workspace("idle")["activity"]["busy"], "its end")
    assert time.monotonic() - began > 10
    assert plinth.client.workspace("idle")["desired"] == "run"
    written = (
        "import os\nfrom pathlib import Path\n(Path.home() / 'mine.txt').write_text('of ann')\n"
        "Path(os.environ['PLINTH_TEAM_FOLDER'], 'ours.txt').write_text('of red')"
    )
    assert opened.run(written).error is None
    opened.save()
    opened.close()
    assert until_stopped(plinth, "idle")["reason"] == "IdleStopped"
    assert "mine.txt" in file.read_text()
    assert (plinth.home.files / "red" / "team" / "ours.txt").read_text() == "of red"
    plinth.client_of(ann).start_workspace("idle")
    until_open(plinth, "idle")
    again = MarimoNotebook.open(notebook(plinth, ann, "idle"), file.name)
    assert list(again.cells.values()) == [written]
    read = again.run("from pathlib import Path\nprint((Path.home() / 'mine.txt').read_text())")
    assert (read.error, read.text) == (None, "of ann\n")
    again.close()
    plinth.client_of(ann).delete_workspace("idle", force=True)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as running:
        yield running


def test_a_real_browser_opens_a_notebook_and_runs_it(
    plinth: Plinth, people: People, study: str, chromium: Chromium, tmp_path: Path
) -> None:
    write_notebook(plinth, CODE, "seen.py")
    page = chromium.open()
    page.visit(str(plinth.client_of(people.key("ann")).sign_in(workspace_page(study))["url"]))
    page.wait_for_text("Create a new notebook")
    page.wait_for_text("seen.py")
    host = host_of(plinth, study)
    assert page.visit(f"http://{host}/?file=seen.py") == 200
    page.wait_for_text("mlflow.log_metric")
    page.click("[data-testid=run-button]")
    page.wait_for_text("and heard hello")
    page.screenshot(tmp_path / "marimo.png")
    ours = (f"http://{host}", f"ws://{host}", "data:", "blob:")
    assert [url for url in page.asked if not url.startswith(ours)] == []
    assert (page.refused, page.errors) == ([], [])
