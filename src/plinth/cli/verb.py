"""Turn a function into a verb, or several into a verb with sub-verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.main import get_command


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
    def without_sub(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            default()

    for sub, function in others.items():
        app.command(sub)(function)
    return get_command(app)
