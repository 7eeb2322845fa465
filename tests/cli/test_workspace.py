"""The verb `workspace`: what it says, asks and prints, over the whole application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plinth.api import workspaces as api
from plinth.cli import workspace as verb
from plinth.control.workspaces.service import Busy
from plinth.kit.errors import Invalid
from tests.cli.terminal import Steps, Terminal
from tests.control.workspaces.session import until_open

FILE = "kind: workspace\nname: lab\nteam: research\nidle_stop: 20m\n"


@pytest.fixture(autouse=True)
def _time_passes(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = terminal.service.plane

    class Saying(Steps):
        def sleep(self, seconds: float) -> None:
            plane.says()
            super().sleep(seconds)

    monkeypatch.setattr(verb, "time", Saying(terminal.service))


def busy(*_: Any) -> None:
    raise Busy("workspace `lab` is busy: a cell of `a.ipynb` runs", hint="--force")


def idle(*_: Any) -> None:
    """Nothing runs in it."""


def test_one_is_opened_from_its_file_and_shown(terminal: Terminal) -> None:
    said = terminal("workspace", "up", terminal.write("lab.yaml", FILE))
    assert said.code == 0, said.err
    assert "workspace `lab` is open after" in said.err
    assert said.out == ""
    listed = terminal("workspace")
    assert "lab" in listed.out
    assert "jupyterlab" in listed.out
    assert terminal("workspace", "list", "--json").json[0]["name"] == "lab"
    shown = terminal("workspace", "get", "lab")
    assert "http://lab-ws.localhost:1" in shown.out
    assert "nobody works in it" in shown.out
    assert terminal("get", "lab").out == shown.out
    assert "lab" in terminal("list").out


def test_a_name_alone_makes_a_plain_one(terminal: Terminal) -> None:
    made = terminal("workspace", "up", "plain", "--profile", "medium", "--json").json
    assert (made["workload"]["profile"], made["workload"]["idle_stop"]) == ("medium", 1800.0)
    said = terminal("workspace", "up", "No Name")
    assert said.code == 1
    assert "is not a name" in said.err
    assert "there is no file `No Name`" in said.err


def test_the_options_say_otherwise_than_the_file(terminal: Terminal) -> None:
    file = terminal.write("lab.yaml", FILE)
    made = terminal("workspace", "up", file, "--profile", "medium", "--json").json
    assert made["workload"]["resources"]["cpu"] == 2.0
    assert made["workload"]["idle_stop"] == 1200.0
    for option, value, accepted in (
        ("--profile", "vast", "small, medium, large, gpu, gpu-large"),
        ("--tool", "rstudio", "jupyterlab, marimo"),
    ):
        for target in (file, "plain"):
            said = terminal("workspace", "up", target, option, value)
            assert said.code == 1
            assert f"{option[2:]}: `{value}` is not one of the accepted values" in said.err
            assert f"accepted: {accepted}" in said.err


def test_a_folder_of_the_same_name_is_no_file(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(tmp_path)
    said = terminal("workspace", "up", "lab", "--detach")
    assert said.code == 0, said.err
    assert terminal("workspace", "list", "--json").json[0]["name"] == "lab"


def test_a_gpu_needs_a_reason_and_a_time(terminal: Terminal) -> None:
    said = terminal("workspace", "up", "big", "--profile", "gpu")
    assert said.code == 1
    assert "for a reason and a time" in said.err
    half = terminal("workspace", "up", "big", "--profile", "gpu", "--gpu-reason", "x")
    assert half.code == 1
    assert "--gpu-time" in half.err
    wrong = terminal(
        *("workspace", "up", "big", "--profile", "gpu"),
        *("--gpu-reason", "x", "--gpu-time", "soon"),
    )
    assert "is not a duration" in wrong.err


def test_stopping_what_is_busy_is_refused_where_nobody_can_be_asked(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal("workspace", "up", "lab", "--detach")
    until_open(terminal.service.plane)
    monkeypatch.setattr(api, "require_idle", busy)
    for words in (("workspace", "stop", "lab"), ("workspace", "rm", "lab"), ("stop", "lab")):
        said = terminal(*words)
        assert said.code == 1
        assert "a cell of `a.ipynb` runs" in said.err
    assert "stopped" in terminal("workspace", "stop", "lab", "--force").err


def test_at_a_terminal_it_asks_whether_to_stop_what_is_busy(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal("workspace", "up", "lab", "--detach")
    until_open(terminal.service.plane)
    monkeypatch.setattr(api, "require_idle", busy)
    monkeypatch.setattr(verb, "_can_ask", lambda: True)
    answers = iter([False, True])
    monkeypatch.setattr(verb.typer, "confirm", lambda *_a, **_k: next(answers))
    assert terminal("workspace", "stop", "lab").code == 1
    assert terminal("workspace", "stop", "lab").code == 0


def test_it_starts_again_and_grows(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "require_idle", idle)
    terminal("workspace", "up", "lab")
    assert "has profile `medium` and is open" in (
        terminal("workspace", "resize", "lab", "--profile", "medium").err
    )
    assert terminal("workspace", "stop", "lab").code == 0
    assert "workspace start lab" in terminal("workspace", "stop", "lab").err
    assert "is open" in terminal("workspace", "start", "lab").err
    assert "its files stay" in terminal("workspace", "rm", "lab").err
    assert terminal("workspace", "list").out == ""


def test_what_its_file_said_of_its_size_is_not_dropped_without_a_word(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(api, "require_idle", idle)
    file = tmp_path / "lab.yaml"
    file.write_text("kind: workspace\nname: lab\nresources: {memory: 600MB, cpu: 1}\n")
    terminal("workspace", "up", file, "--detach")
    until_open(terminal.service.plane)
    said = terminal("workspace", "resize", "lab", "--profile", "medium").err
    assert "what its `resources` said (memory) counts no longer" in said
    assert "resources" not in terminal("workspace", "resize", "lab", "--profile", "small").err


def test_a_gpu_is_asked_for_in_the_words_of_the_command_line(terminal: Terminal) -> None:
    said = terminal("workspace", "up", "lab", "--profile", "gpu")
    assert said.code == 1
    assert "profile `gpu` has a GPU, which is given for a reason and a time" in said.err
    assert "hint: give --gpu-reason and --gpu-time" in said.err


@pytest.mark.parametrize("profile", ["vast", "gpu", "large"])
def test_a_size_that_it_cannot_have_stops_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    def refuse(*_: Any) -> None:
        raise Invalid("no platform fits")

    monkeypatch.setattr(api, "require_idle", idle)
    terminal("workspace", "up", "lab", "--detach")
    run = until_open(terminal.service.plane).run
    if profile == "large":
        monkeypatch.setattr(api, "plan_workspace", refuse)
    said = terminal("workspace", "resize", "lab", "--profile", profile)
    assert said.code == 1
    told = {"vast": "`vast` is not one of", "gpu": "for a reason", "large": "no platform fits"}
    assert told[profile] in said.err
    assert ("hint: give --gpu-reason and --gpu-time" in said.err) == (profile == "gpu")
    shown = terminal("workspace", "get", "lab", "--json").json
    assert (shown["desired"], shown["run"], shown["profile"]) == ("run", run, "small")


def test_what_is_busy_says_how_to_do_this_very_thing_all_the_same(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal("workspace", "up", "lab", "--detach")
    until_open(terminal.service.plane)
    monkeypatch.setattr(api, "require_idle", busy)
    for words in (("rm", "lab"), ("resize", "lab", "--profile", "medium"), ("stop", "lab")):
        said = terminal("workspace", *words)
        assert said.code == 1
        assert f"`plinth workspace {words[0]} lab --force`" in said.err
    assert terminal("workspace", "get", "lab", "--json").json["desired"] == "run"


def test_one_whose_name_ends_like_a_page_is_opened_by_its_name(terminal: Terminal) -> None:
    terminal("workspace", "up", "lab", "--detach")
    assert "//lab-ws.localhost" in terminal("workspace", "open", "lab-ws", "--print").out
    terminal("workspace", "up", "lab-ws", "--detach")
    assert "//lab-ws-ws.localhost" in terminal("workspace", "open", "lab-ws", "--print").out
    said = terminal("workspace", "open", "lab-ws-ws.localhost:8470", "--print")
    assert "//lab-ws-ws.localhost" in said.out


def test_its_page_is_opened_by_name_or_host(terminal: Terminal) -> None:
    terminal("workspace", "up", "lab")
    for words in (
        ("workspace", "open", "lab"),
        ("workspace", "open", "lab-ws.localhost:8470"),
        ("open", "lab-ws"),
        ("open", "lab-ws.localhost:8470"),
    ):
        said = terminal(*words, "--print")
        assert said.out.startswith("http://lab-ws.localhost:1/sign-in?code="), said.err
    assert terminal("workspace", "open", "none").code == 1


def test_a_file_of_another_kind_says_what_it_is(terminal: Terminal) -> None:
    job = "kind: job\nname: train\ncommand: [python]\n"
    said = terminal("workspace", "up", terminal.write("job.yaml", job))
    assert said.code == 1
    assert "declares a job" in said.err
