"""Functions become verbs."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer

from plinth.cli.session import HomeOption, JsonOption
from plinth.cli.verb import group, verb, verbs


def greet(name: Annotated[str, typer.Argument()] = "you") -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")


def show(
    *,
    on_team: Annotated[str | None, typer.Option(help="Of this team only")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show all."""
    typer.echo(f"shown {on_team} {as_json} {home}")


def call(command: object, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command(list(words))  # type: ignore[operator]
    return int(ended.value.code or 0)


def test_a_function_is_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(verb(greet, "greet"), "Ada") == 0
    assert capsys.readouterr().out == "hello Ada\n"


def test_several_are_one_verb_with_a_default(capsys: pytest.CaptureFixture[str]) -> None:
    command = verbs("things", show, {"greet": greet}, "Do things.")
    assert call(command) == 0
    assert call(command, "--json", "--home", "x") == 0
    assert call(command, "--on-team", "ops") == 0
    assert call(command, "greet") == 0
    shown = ["shown None False None", "shown None True x", "shown ops False None", "hello you"]
    assert capsys.readouterr().out.splitlines() == shown


@pytest.mark.parametrize("options", [["--json"], ["--home", "x"], ["--on-team", "ops"]])
def test_an_option_before_the_sub_verb_is_not_lost_silently(
    capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert call(verbs("things", show, {"greet": greet}, "Do things."), *options, "greet") == 2
    assert "plinth things greet [OPTIONS]" in capsys.readouterr().err


def test_sub_verbs_without_a_default_say_which_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = group("things", {"greet": greet, "show": show}, "Do things.")
    assert call(command, "greet", "Ada") == 0
    assert capsys.readouterr().out == "hello Ada\n"
    assert call(command) == 2
    printed = capsys.readouterr()
    assert "greet" in printed.out + printed.err
