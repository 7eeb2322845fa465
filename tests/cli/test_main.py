"""Every verb explains itself, starts quickly, and ends with the code that says how it went."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from plinth.cli.main import VERBS
from tests.cli.terminal import Terminal

# What makes a command line slow to start; `plinth --help` must do without all of it.
HEAVY = {"alembic", "duckdb", "fastapi", "httpx", "joserfc", "pydantic", "sqlalchemy", "yaml"}


def commands() -> Iterator[tuple[str, Any]]:
    for name, (module, _) in VERBS.items():
        command = import_module(f"plinth.cli.{module}").COMMANDS[name]
        yield name, command
        for sub, each in getattr(command, "commands", {}).items():
            yield f"{name} {sub}", each


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_verb_says_in_a_sentence_what_it_does_and_what_each_option_means(
    name: str,
) -> None:
    command = dict(commands())[name]
    assert command.help, name
    first = command.help.split("\n")[0]
    assert first[0].isupper(), first
    assert first.endswith("."), first
    for parameter in command.params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("name", [name for name, each in commands() if hasattr(each, "commands")])
def test_the_help_of_a_group_cuts_no_line_of_its_verbs(terminal: Terminal, name: str) -> None:
    said = terminal(name, "--help").out.partition("Commands:")[2]
    assert said
    assert "..." not in said


def test_usage_names_what_is_needed_as_it_is_written(terminal: Terminal) -> None:
    assert "Usage: plinth run [OPTIONS] FILE\n" in terminal("run", "--help").out
    assert "Usage: plinth open [OPTIONS] [PAGE]\n" in terminal("open", "--help").out
    assert "plinth data add [OPTIONS] NAME FILE...\n" in terminal("data", "add", "--help").out


def test_a_verb_that_does_not_exist_is_answered_with_the_nearest(terminal: Terminal) -> None:
    assert "there is no verb `lst`. Did you mean `list`?" in terminal("lst").err
    assert "No such command 'frobnicate'" in terminal("frobnicate").err


def test_what_lists_or_shows_has_json() -> None:
    without = {
        name
        for name, command in commands()
        # What only says which verbs there are shows nothing.
        if not command.no_args_is_help
        and "--json" not in {option for each in command.params for option in each.opts}
    }
    assert without == {"logs"}


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_help_is_data(terminal: Terminal, name: str) -> None:
    said = terminal(*name.split(), "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Usage: plinth {name}" in said.out


def test_the_help_of_all_names_every_verb_and_where_to_start(terminal: Terminal) -> None:
    said = terminal("-h")
    assert said.code == 0
    assert all(line in said.out for _, line in VERBS.values())
    assert "plinth up --detach" in said.out


def test_help_and_the_version_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from plinth.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"], check=True, capture_output=True, text=True
    )
    assert "Usage: plinth" in done.stdout
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["run"],
        ["list", "--nope"],
        ["keys", "create", "x"],
        ["keys", "nope"],
        ["keys", "create", "x", "--team", "ops", "--days", "0"],
        ["grants", "give", "king"],
        ["keys", "--json", "list"],
        ["logs", "x", "--attempt", "0"],
    ],
    ids=" ".join,
)
def test_a_usage_that_is_wrong_ends_with_2(terminal: Terminal, arguments: list[str]) -> None:
    said = terminal(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "Usage: plinth" in said.err


def test_no_verb_at_all_explains_the_program(terminal: Terminal) -> None:
    said = terminal()
    assert "Start Plinth on this machine" in said.out + said.err


def test_an_error_is_on_stderr_with_its_hint_and_ends_with_1(terminal: Terminal) -> None:
    said = terminal("get", "r_nobody")
    assert (said.code, said.out) == (1, "")
    assert said.err == ("error: there is no run `r_nobody`\n\nhint: `plinth list` shows the runs\n")


def test_an_error_of_a_call_for_json_is_json(terminal: Terminal) -> None:
    said = terminal("get", "r_nobody", "--json")
    assert (said.code, said.out) == (1, "")
    assert '"code": "not_found"' in said.err
