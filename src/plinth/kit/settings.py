"""What an operator may set: one file of a home, `settings.toml`, with a default for everything.

Read by the node's programs as they start. `docs/reference/settings.md` is generated from here.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.kit.errors import Invalid
from plinth.kit.excerpt import LONGEST, excerpt

FILE_NAME = "settings.toml"
# More would only push the first ones off the screen.
_MOST_LINES = 50
_EXAMPLE = "write lines like `trace_days = 30`"
# Where `tomllib` says what it could not read.
_PLACE = re.compile(r"line (\d+), column \d+\)")
# The beginning of a line that names a setting or opens a table.
_WRITTEN = re.compile(
    r"""\s*(?P<table>\[)?\[?\s*"""
    r"""(?:(?P<bare>[A-Za-z0-9_-]+)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\s*[=.\]]"""
)


def _setting(default: Any, text: str, least: float = 0, most: float | None = None) -> Any:
    return field(default=default, metadata={"text": text, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one home. A field's metadata says what it is for and which values it takes.

    `text`: one sentence for the reference; `least`, `most`: the accepted range of a number.
    """

    database: str = _setting(
        "",
        "Where intent and state are kept: empty for SQLite in the home, or the URL of a PostgreSQL "
        "database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`.",
    )
    trace_days: float = _setting(
        30.0,
        "For how many days a response can be traced, and what was deleted is kept for that.",
        least=0.01,
        most=3650,
    )
    access_log_bytes: int = _setting(
        64 * 1024 * 1024,
        "How large the gateway's access log grows before a new one is begun.",
        least=4096,
    )
    access_logs_bytes: int = _setting(
        4 * 1024 * 1024 * 1024,
        "How much room access logs that were read may take; the oldest go first.",
        least=0,
    )
    lease_s: float = _setting(
        60.0,
        "For how many seconds a control plane may work on a row before another one may take it.",
        least=1,
        most=600,
    )
    control_planes: int = _setting(
        1,
        "How many control planes run on this node; more than one needs PostgreSQL, and goes on "
        "when one of them is killed or stands still.",
        least=1,
        most=4,
    )
    sign_in_hours: float = _setting(
        8.0,
        "For how many hours a browser that signed in stays so.",
        least=0.01,
        most=24,
    )
    allow_private_upstreams: bool = _setting(
        False,
        "Whether endpoints may send requests to addresses of this machine and of its own network; "
        "otherwise an external model must have a public address. A cloud's metadata is refused "
        "always.",
    )


def load_settings(home: Path) -> Settings:
    """Read `settings.toml` of the folder `home`; the defaults when there is none.

    Raises Invalid with every mistake in it, a line for each: file, line, setting, what is wrong.
    """
    path = home / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as err:
        raise Invalid(f"`{path}` cannot be read: {err.strerror}") from err
    text = _decode(path, content)
    values = _parse(path, text)
    mistakes = _mistakes(values)
    if mistakes:
        told = [
            f"{path}:{_line_of(name, text)}: {excerpt(name)}: {words}"
            for name, words in mistakes[:_MOST_LINES]
        ]
        if len(mistakes) > _MOST_LINES:
            told.append(f"and {len(mistakes) - _MOST_LINES} more mistakes")
        raise Invalid("\n".join(told), hint="docs/reference/settings.md lists every setting")
    return Settings(**{name: _typed(name, value) for name, value in values.items()})


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        fact = f"the byte 0x{content[err.start]:02x} is not UTF-8"
        raise Invalid(f"{path}:{line}: {fact}", hint="save the file as UTF-8") from err


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        words, _, place = str(err).rpartition(" (at ")
        found = _PLACE.match(place)
        # Otherwise it is the end of the file that says too little.
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        fact = f"{path}:{line}: this is no TOML: {words[:1].lower() + words[1:]}"
        raise Invalid(fact, hint=_EXAMPLE) from err
    except (ValueError, RecursionError) as err:
        # A number of thousands of digits, lists in lists in lists.
        raise Invalid(f"{path}: this is no TOML that can be read", hint=_EXAMPLE) from err


def _mistakes(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each setting that is wrong, and in which way."""
    known = {each.name: each for each in dataclasses.fields(Settings)}
    found = []
    for name, value in values.items():
        words = _mistake(known[name], value) if name in known else _unknown(name, list(known))
        if words is not None:
            found.append((name, words))
    return found


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:LONGEST].lower().replace("-", "_"), known, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    return f"there is no such setting; {meant}accepted: {', '.join(known)}"


def _mistake(known: dataclasses.Field[Any], value: Any) -> str | None:
    if isinstance(known.default, str):
        # The value is not shown: that of `database` holds a password.
        return (
            None if isinstance(value, str) else f"{_kind_of(value)} stands here; accepted: a text"
        )
    if isinstance(known.default, bool):
        is_it = isinstance(value, bool)
        return None if is_it else f"{_kind_of(value)} stands here; accepted: `true` or `false`"
    wanted = "a whole number" if isinstance(known.default, int) else "a number"
    least, most = known.metadata["least"], known.metadata["most"]
    accepted = f"accepted: {wanted}, {least}{' or more' if most is None else f' to {most}'}"
    kinds = int if isinstance(known.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        stands = f"`{excerpt(str(value))}`" if isinstance(value, float) else _kind_of(value)
        return f"{stands} stands here; {accepted}"
    if value >= least and (most is None or value <= most):
        return None
    return f"`{excerpt(str(value))}` is out of range; {accepted}"


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return f'the text "{excerpt(value)}"'
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    kinds = {int: "a number", float: "a number", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a time")


def _line_of(name: str, text: str) -> int:
    """Return the line in which an outermost name is first written; 1 where it cannot be told.

    `tomllib` tells no lines. A line counts when what stands before it is complete by itself:
    otherwise it is within a text or a list of several lines.
    """
    lines = text.split("\n")
    in_table = False
    for number, line in enumerate(lines):
        written = _WRITTEN.match(line)
        if written is None or (in_table and not written["table"]):
            continue
        is_it = name in (written["bare"], written["single"], written["double"])
        if (is_it or written["table"]) and _is_complete("\n".join([*lines[:number], ""])):
            if is_it:
                return number + 1
            in_table = True
    return 1


def _is_complete(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _typed(name: str, value: Any) -> Any:
    default = Settings.__dataclass_fields__[name].default
    return float(value) if isinstance(default, float) else value
