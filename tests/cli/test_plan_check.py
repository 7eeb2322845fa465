"""A plan refuses what applying the file would refuse, with a control plane and without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.control.endpoints import resolution
from plinth.domain.access import Role
from tests.api.service import TEAM
from tests.cli.alone import Alone
from tests.cli.terminal import Terminal

HEAD = f"kind: endpoint\nname: chat\nteam: {TEAM}\n"
GOOD = "external: {url: 'https://1.1.1.1/v1', protocol: openai}\n"
PRIVATE = "external: {url: 'http://127.0.0.1:9000/v1', protocol: openai}\n"
SECRET = "external: {url: 'https://1.1.1.1/v1', protocol: openai, credential: 'secret:none'}\n"
MIXED = """\
deployments:
  a: {external: {url: 'https://1.1.1.1/v1', protocol: openai}}
  b: {model: 'models:/m/1'}
failover: [a, b]
"""
UNUSED = """\
deployments:
  a: {external: {url: 'https://1.1.1.1/v1', protocol: openai}}
  b: {external: {url: 'https://1.0.0.1/v1', protocol: openai}}
failover: [a]
"""


@pytest.mark.parametrize(("text", "said"), [(PRIVATE, "is this machine itself"), (MIXED, "speaks")])
def test_what_the_file_shows_is_refused_alike_with_and_without_a_control_plane(
    text: str, said: str, terminal: Terminal, alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(terminal.home))
    file = terminal.write("chat.yaml", HEAD + text)
    online, applied = terminal("plan", file), terminal("apply", file)
    monkeypatch.setenv("PLINTH_HOME", str(alone.home))
    offline = alone("plan", file)
    assert said in applied.err
    for plan in (online, offline):
        assert plan.code == applied.code == 1
        assert plan.err.endswith(applied.err)


def test_a_secret_that_there_is_not_is_refused_where_it_can_be_known(
    terminal: Terminal, alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLINTH_HOME", str(terminal.home))
    file = terminal.write("chat.yaml", HEAD + SECRET)
    online = terminal("plan", file)
    assert (online.code, "has no secret `none`" in online.err) == (1, True)
    monkeypatch.setenv("PLINTH_HOME", str(alone.home))
    offline = alone("plan", file)
    assert offline.code == 0
    assert "not checked: whether the secrets, teams and keys in the file are there" in offline.err
    alone.home.mkdir(exist_ok=True)
    (alone.home / "settings.toml").write_text("allow_private_upstreams = true\n")
    assert alone("plan", alone.write("private.yaml", HEAD + PRIVATE)).code == 0


def test_who_may_not_apply_a_file_may_plan_it(terminal: Terminal) -> None:
    terminal.key = terminal.service.caller(Role.VIEWER, TEAM)
    said = terminal("plan", terminal.write("chat.yaml", HEAD + SECRET))
    assert (said.code, "`plinth apply` would be refused" in said.err) == (0, True)


def test_a_deployment_that_gets_no_request_is_warned_of_in_a_plan_and_when_applied(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = terminal.write("chat.yaml", HEAD + UNUSED)
    warning = "warning: deployment `b` gets no request: neither `failover` nor"
    said = terminal("plan", file)
    assert (said.code, warning in said.err) == (0, True)
    assert len(terminal("plan", file, "--json").json["warnings"]) == 1
    assert warning in terminal("apply", file, "--detach").err
    assert "warning" not in terminal("plan", terminal.write("good.yaml", HEAD + GOOD)).err


def test_a_warning_that_only_a_control_plane_knows_is_said_once(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolution, "check_address", lambda *_, **__: "no host has that name")
    said = terminal("plan", terminal.write("chat.yaml", HEAD + UNUSED.replace("[a]", "[a, b]")))
    assert (said.code, said.err.count("warning: no host has that name")) == (0, 2)
    misspelt = GOOD.replace("openai}", "openai, region: swedncentral}")
    said = terminal("plan", terminal.write("other.yaml", HEAD + misspelt))
    assert said.err.count("did you mean `swedencentral`?") == 1
    assert said.err.count("warning: no host has that name") == 1
