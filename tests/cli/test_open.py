"""The link is opened where the person sees it, and printed elsewhere."""

from __future__ import annotations

import webbrowser

import pytest

from plinth.cli.open import has_browser
from tests.cli.terminal import Terminal

URL = "http://mlflow.localhost:1/sign-in?code="


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a browser was asked to open, on a machine with a display."""
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: asked.append(url) is None)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    return asked


def test_a_browser_is_opened_and_the_link_is_not_printed(
    terminal: Terminal, opened: list[str]
) -> None:
    said = terminal("open")
    assert said.out == ""
    assert "opens in your browser" in said.err
    assert len(opened) == 1
    assert opened[0].startswith(URL)
    assert terminal("open", "mlflow").code == 0
    assert opened[1] != opened[0]


def test_the_link_alone_is_on_stdout_when_it_is_asked_for(
    terminal: Terminal, opened: list[str]
) -> None:
    said = terminal("open", "--print")
    assert said.out.startswith(URL)
    assert said.out.count("\n") == 1
    assert "works once" in said.err
    link = terminal("open", "mlflow", "--json").json
    assert set(link) == {"url", "expires_at"}
    assert opened == []


def test_over_ssh_the_link_is_printed_with_the_way_to_reach_it(
    terminal: Terminal, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    said = terminal("open")
    assert said.out.startswith(URL)
    assert "ssh -L 1:127.0.0.1:1" in said.err
    assert opened == []


def test_where_no_browser_starts_the_link_is_printed(
    terminal: Terminal, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    assert terminal("open").out.startswith(URL)


@pytest.mark.parametrize(
    ("environment", "platform", "seen"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "x"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "x"}, "darwin", False),
    ],
)
def test_a_browser_is_there_where_a_display_is(
    environment: dict[str, str], platform: str, seen: bool
) -> None:
    assert has_browser(environment, platform) is seen


def test_the_browser_s_key_stands_out_among_the_keys(terminal: Terminal) -> None:
    path = terminal("open", "--print").out.strip().partition(":1/")[2]
    said = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    terminal.service.client.get(f"/{path}", headers=said, follow_redirects=False)
    (line,) = [line for line in terminal("keys").out.splitlines() if " browser " in line]
    assert "until " in line


def test_there_is_nothing_else_to_open(terminal: Terminal) -> None:
    assert terminal("open", "payroll").code == 1
