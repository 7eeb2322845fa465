"""The verb on secrets: values come from standard input or a file, and are shown nowhere."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from plinth.cli import secrets
from plinth.control.secrets import read_secret
from plinth.domain.access import Role
from tests.api.service import TEAM
from tests.cli.terminal import Said, Terminal

VALUE = "sk-hunter2"


class Keyboard(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


class Pipe:
    """Standard input with bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


def set_by(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, content: bytes, *more: str) -> Said:
    monkeypatch.setattr(sys, "stdin", Pipe(content))
    return terminal("secrets", "set", "openai", "--team", TEAM, *more)


def taken(terminal: Terminal) -> bytes:
    return read_secret(terminal.service.plane.context, TEAM, "openai", purpose="endpoint/chat")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"sk-hunter2", b"sk-hunter2"),
        (b"sk-hunter2\n", b"sk-hunter2"),
        (b"sk-hunter2\n\n", b"sk-hunter2\n"),
        (b"\n\n", b"\n"),
        (b"\x00\xff\r\n", b"\x00\xff\r"),
        (b"x" * 65_536 + b"\n", b"x" * 65_536),
    ],
)
def test_standard_input_is_kept_less_one_newline(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, sent: bytes, kept: bytes
) -> None:
    said = set_by(terminal, monkeypatch, sent)
    assert (said.code, said.out) == (0, "")
    assert "secret `openai` of team `research` has version 1" in said.err
    assert taken(terminal) == kept
    assert ("ends with a newline" in said.err) == kept.endswith(b"\n")


@pytest.mark.parametrize(
    ("sent", "words"), [(b"", "empty"), (b"\n", "empty"), (b"x" * 65_537, "more than 65,536 bytes")]
)
def test_what_is_no_value_is_refused_before_it_is_sent(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, sent: bytes, words: str
) -> None:
    said = set_by(terminal, monkeypatch, sent)
    assert said.code == 1
    assert words in said.err
    assert terminal("secrets", "--json").json == []


def test_a_file_is_kept_byte_for_byte(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xffsk-hunter2\n")
    said = terminal("secrets", "set", "openai", "--team", TEAM, "--from-file", path)
    assert said.code == 0
    assert "ends with a newline, which no HTTP header can hold" in said.err
    assert taken(terminal) == b"\xffsk-hunter2\n"


def test_a_file_that_cannot_be_read_is_told(terminal: Terminal, tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        said = terminal("secrets", "set", "openai", "--from-file", path)
        assert said.code == 1
        assert f"`{path}` cannot be read" in said.err


def test_a_person_is_asked_and_nothing_is_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return VALUE

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr(secrets.getpass, "getpass", typed)
    said = terminal("secrets", "set", "openai", "--team", TEAM)
    assert said.code == 0
    assert asked == ["value of secret `openai`: "]
    assert VALUE not in said.out + said.err
    assert taken(terminal) == VALUE.encode()


def test_a_person_who_ends_the_input_has_set_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys, "stdin", Keyboard())
    monkeypatch.setattr(secrets.getpass, "getpass", ended)
    said = terminal("secrets", "set", "openai", "--team", TEAM)
    assert said.code == 1
    assert "the value is empty" in said.err


def test_a_value_as_an_argument_is_refused_and_not_repeated(terminal: Terminal) -> None:
    for words in ((VALUE,), (VALUE, "more"), ("--team", TEAM, VALUE)):
        said = terminal("secrets", "set", "openai", *words)
        assert said.code == 1
        assert "not taken from the command line" in said.err
        assert VALUE not in said.err
    assert terminal("secrets", "--json").json == []


def test_secrets_are_listed_deleted_and_say_what_took_them(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`plinth secrets set NAME` keeps one" in terminal("secrets").err
    set_by(terminal, monkeypatch, VALUE.encode())
    made = set_by(terminal, monkeypatch, VALUE.encode(), "--json").json
    assert made == {"team": TEAM, "name": "openai", "version": 2}
    taken(terminal)
    shown = terminal("secrets", "list", "--team", TEAM).out
    for word in ("research", "openai", "2", "admin", "endpoint/chat"):
        assert word in shown
    assert VALUE not in shown
    (secret,) = terminal("secrets", "--json").json
    assert secret["uses"] == ["endpoint/chat"]
    said = terminal("secrets", "delete", "openai", "--team", TEAM)
    assert "secret `openai` of team `research` deleted" in said.err
    assert "it had been taken for: endpoint/chat" in said.err
    said = terminal("secrets", "delete", "openai", "--team", TEAM)
    assert (said.code, "has no secret `openai`" in said.err) == (1, True)


def test_an_answer_to_a_delete_is_json_for_programs(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_by(terminal, monkeypatch, b"x")
    deleted = terminal("secrets", "delete", "openai", "--team", TEAM, "--json").json
    assert deleted == {"deleted": "openai", "team": TEAM, "version": 1, "uses": []}


def test_a_rotation_says_what_it_did(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    set_by(terminal, monkeypatch, b"x")
    said = terminal("secrets", "rotate")
    assert "1 secret wrapped by the new master key `m_" in said.err
    assert "1 old master key removed" in said.err
    done = terminal("secrets", "rotate", "--json").json
    assert set(done) == {"master_key", "rewrapped", "removed", "unopened"}
    for path in (terminal.home / "secrets" / "master").glob("*.json"):
        path.unlink()
    said = terminal("secrets", "rotate")
    assert "no master key here opens research/openai: set or delete them" in said.err


def test_who_may_not_is_told_why(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal.key = terminal.service.caller(Role.VIEWER)
    said = set_by(terminal, monkeypatch, b"x")
    assert said.code == 1
    assert "this needs role `contributor` on team `research`" in said.err
    assert "no secrets that you may see" in terminal("secrets").err


def test_the_help_says_where_the_value_comes_from(terminal: Terminal) -> None:
    said = terminal("secrets", "set", "--help")
    assert said.code == 0
    assert "Usage: plinth secrets set [OPTIONS] NAME\n" in said.out
    assert "less one newline at its end" in " ".join(said.out.split())
