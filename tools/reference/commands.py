"""Render docs/reference/commands.md from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from plinth.cli.main import VERBS, app

INTRODUCTION = """\
<!-- Written by `python -m tools.docs_reference` from src/plinth/cli; do not edit. -->

# The command line

Every verb with its arguments and options; each says the same of itself:

```console
$ plinth --help
```

What a person reads goes to standard output as tables, notes and errors to standard error. `--json`
prints the same for programs. Exit code 0: done; 1: failed, with the reason and what to do next; 2:
the command line could not be read. Errors: [codes](errors.md).

"""


def commands_page() -> str:
    """Return the page as it must be."""
    sections = [_section(words, command) for words, command in walk(app, ())]
    return INTRODUCTION + _table() + "\n" + "\n".join(sections)


def walk(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every verb below `group` with its words, sub-verbs behind their verb."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*words, name), command
        if hasattr(command, "list_commands"):
            yield from walk(command, (*words, name))


def _table() -> str:
    rows = [f"| [`{name}`](#plinth-{name}) | {line} |" for name, (_, line) in VERBS.items()]
    return "\n".join(["| verb | what it does |", "|---|---|", *rows]) + "\n"


def _section(words: tuple[str, ...], command: Any) -> str:
    title = f"{'##' if len(words) == 1 else '###'} `plinth {' '.join(words)}`\n"
    parameters = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    usage = " ".join(["plinth", *words, *(_shape(each) for each in arguments)])
    lines = [title, f"```text\n{usage} [OPTIONS]\n```\n", f"{_text(command)}\n"]
    if parameters:
        lines += ["| option | meaning |", "|---|---|", *(_row(each) for each in parameters), ""]
    return "\n".join(lines)


def _text(command: Any) -> str:
    paragraphs = (command.help or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _shape(argument: Any) -> str:
    name = argument.metavar or argument.opts[0].upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = f"`{_shape(parameter)}`"
    else:
        name = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    said = " ".join((parameter.help or "").split()).replace("|", "\\|")
    variable = f" (or `{parameter.envvar}`)" if isinstance(parameter.envvar, str) else ""
    return f"| {name} | {said}{variable} |"
