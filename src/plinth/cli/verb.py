"""Turn a function into a verb, or several into a verb with sub-verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.main import get_command

from plinth.cli.session import HomeOption, JsonOption


def verb(function: Callable[..., Any], name: str) -> Any:
    """Return the command `plinth NAME`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(function)
    return get_command(app)


def verbs(
    name: str, default: Callable[..., Any], others: Mapping[str, Callable[..., Any]], text: str
) -> Any:
    """Return the command `plinth NAME [SUB]`; without SUB it does what `default` does."""
    app = typer.Typer(
        name=name,
        help=text,
        add_completion=False,
        rich_markup_mode=None,
        invoke_without_command=True,
    )

    @app.callback(invoke_without_command=True, help=text)
    def without_sub(
        context: typer.Context, *, as_json: JsonOption = False, home: HomeOption = None
    ) -> None:
        if context.invoked_subcommand is None:
            default(as_json=as_json, home=home)
        elif as_json or home is not None:
            # It would be taken, and do nothing.
            sub = context.invoked_subcommand
            raise typer.BadParameter(f"options stand behind: `plinth {name} {sub} [OPTIONS]`")

    for sub, function in others.items():
        app.command(sub)(function)
    return get_command(app)


def group(name: str, subs: Mapping[str, Callable[..., Any]], text: str) -> Any:
    """Return the command `plinth NAME SUB`; without SUB it says which there are."""
    app = typer.Typer(
        name=name, help=text, add_completion=False, rich_markup_mode=None, no_args_is_help=True
    )
    for sub, function in subs.items():
        app.command(sub)(function)
    return get_command(app)
