"""Functions become verbs."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer

from plinth.cli.verb import group, verb, verbs


def greet(name: Annotated[str, typer.Argument()] = "you") -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")


def show(*, as_json: bool = False, home: object = None) -> None:
    """Show all."""
    typer.echo(f"shown {as_json} {home}")


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
    assert call(command, "greet") == 0
    assert capsys.readouterr().out == "shown False None\nshown True x\nhello you\n"


def test_an_option_before_the_sub_verb_is_not_lost_silently(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(verbs("things", show, {"greet": greet}, "Do things."), "--json", "greet") == 2
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
