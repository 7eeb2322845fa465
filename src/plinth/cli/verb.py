"""Turn a function into a verb, or several into a verb with sub-verbs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

_BRACES = str.maketrans("", "", "{}")


class Plain(TyperCommand):
    """A command whose usage names what it needs as it is: `FILE`, where typer writes `{FILE}`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the pieces of the line `Usage: ...`; nothing of what is hidden."""
        hidden = [each for each in self.get_params(ctx) if getattr(each, "hidden", False)]
        unsaid = {piece for each in hidden for piece in each.get_usage_pieces(ctx)}
        pieces = super().collect_usage_pieces(ctx)
        return [piece.translate(_BRACES) for piece in pieces if piece not in unsaid]


def verb(function: Callable[..., Any], name: str) -> Any:
    """Return the command `plinth NAME`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, cls=Plain)(function)
    return get_command(app)


def verbs(
    name: str, default: Callable[..., Any], others: Mapping[str, Callable[..., Any]], text: str
) -> Any:
    """Return the command `plinth NAME [SUB]`; without SUB it does what `default` does.

    `default` takes options only, and they may stand behind NAME too.
    """
    app = typer.Typer(
        name=name,
        help=text,
        add_completion=False,
        rich_markup_mode=None,
        invoke_without_command=True,
    )

    options = inspect.signature(default, eval_str=True).parameters

    def without_sub(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is None:
            default(**given)
        elif any(value != options[each].default for each, value in given.items()):
            # It would be taken, and do nothing.
            sub = context.invoked_subcommand
            raise typer.BadParameter(f"options stand behind: `plinth {name} {sub} [OPTIONS]`")

    # typer reads both: which options there are, and of which type.
    own = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    without_sub.__signature__ = inspect.Signature([own, *options.values()])  # type: ignore[attr-defined]
    without_sub.__annotations__ = {each.name: each.annotation for each in (own, *options.values())}
    app.callback(invoke_without_command=True, help=text)(without_sub)
    for sub, function in others.items():
        app.command(sub, cls=Plain)(function)
    return get_command(app)


def group(name: str, subs: Mapping[str, Callable[..., Any]], text: str) -> Any:
    """Return the command `plinth NAME SUB`; without SUB it says which there are."""
    app = typer.Typer(
        name=name, help=text, add_completion=False, rich_markup_mode=None, no_args_is_help=True
    )
    for sub, function in subs.items():
        app.command(sub, cls=Plain)(function)
    return get_command(app)
