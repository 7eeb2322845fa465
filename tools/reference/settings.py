"""Render docs/reference/settings.md from the settings that the code reads."""

from __future__ import annotations

import dataclasses
from typing import Any

from plinth.kit.settings import FILE_NAME, Settings

INTRODUCTION = f"""\
<!-- Written by `python -m tools.docs_reference` from src/plinth/kit/settings.py; do not edit. -->

# Settings

What an operator may change stands in one file, `{FILE_NAME}` in the home; see whether it is right:

```console
$ plinth doctor
```

The file is [TOML](https://toml.io): one line for each setting, like `trace_days = 90`. What is not
in it has its default. It is read when Plinth starts: `plinth down`, then `plinth up`. An unknown
name or a value that is not accepted stops the start, and all mistakes are told at once.

| setting | what is written | default | meaning |
|---|---|---|---|
"""
_VARIABLES = """
## Variables of the environment

| variable | meaning |
|---|---|
| `PLINTH_HOME` | Folder of this machine's Plinth; `~/.plinth` if nothing is said. |
| `PLINTH_PORT` | Port of the one address, for `plinth up`. |
| `PLINTH_ADDRESS` | Address of the Plinth that the command line talks to. |
| `PLINTH_KEY` | Key that the command line shows; else the local administrator's. |
| `NO_COLOR` | Print without colours. |
"""


def settings_page() -> str:
    """Return the page as it must be."""
    rows = [_row(field) for field in dataclasses.fields(Settings)]
    return INTRODUCTION + "\n".join(rows) + "\n" + _VARIABLES


def _row(field: dataclasses.Field[Any]) -> str:
    default = f"`{field.default}`" if field.default != "" else "empty"
    if isinstance(field.default, bool):
        default = f"`{str(field.default).lower()}`"
    return f"| `{field.name}` | {_written(field)} | {default} | {field.metadata['text']} |"


def _written(field: dataclasses.Field[Any]) -> str:
    if isinstance(field.default, str):
        return "text in quotes"
    if isinstance(field.default, bool):
        return "`true` or `false`"
    kind = "whole number" if isinstance(field.default, int) else "number"
    least, most = field.metadata["least"], field.metadata["most"]
    upper = f" to {most}" if most is not None else " or more"
    return f"{kind}, {least}{upper}"
