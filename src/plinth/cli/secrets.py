"""The verb `secrets`: credentials that the platform uses. Their values go in, and never out."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.output import age, counted, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.domain.secret import MOST_SECRET_BYTES, check_secret
from plinth.kit.errors import Invalid

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as `openai-key`")]
TeamOption = Annotated[
    str | None, typer.Option("--team", help="Team that owns it [default: yours]")
]


def list_secrets(
    *,
    team: Annotated[str | None, typer.Option(help="Of this team only")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List secrets: who set which version, and what took it. Never a value."""
    with connect(home) as client:
        found = client.secrets(team=team)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            secret["team"],
            secret["name"],
            secret["version"],
            secret["set_by_name"] or secret["set_by"],
            age(secret["set_at"]),
            ", ".join(secret["uses"]) or None,
        ]
        for secret in found
    ]
    print_table(
        ["TEAM", "SECRET", ">VERSION", "SET BY", ">AGE", "TAKEN FOR"],
        rows,
        empty="no secrets that you may see; `plinth secrets set NAME` keeps one",
    )


def set_secret(
    name: NameArgument,
    value: Annotated[
        list[str] | None,
        typer.Argument(metavar="VALUE", help="Refused: it would be seen", hidden=True),
    ] = None,
    *,
    team: TeamOption = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from-file", metavar="FILE", help="Take it from a file, byte for byte"),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Keep a value as the next version of a secret.

    The version before is gone then. The value comes from standard input, less one newline at its
    end, or from `--from-file`; at a terminal it is asked for and not shown. It is never an
    argument: those stand in the list of processes and in the shell's history. It has 1 to 65,536
    bytes.
    """
    if value:
        raise Invalid(
            "the value is not taken from the command line, where others on this machine see it",
            hint=f"`plinth secrets set {name} < FILE`; that value may be in your shell's history",
        )
    content = check_secret(_read_input(name) if from_file is None else _read_file(from_file))
    with connect(home) as client:
        made = client.set_secret(name, content, team=team)
    if as_json:
        print_json(made)
        return
    note(f"secret `{name}` of team `{made['team']}` has version {made['version']}")
    if content.endswith(b"\n"):
        note("its value ends with a newline, which no HTTP header can hold")


def delete_secret(
    name: NameArgument,
    *,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Delete a secret. What needs it fails from then on."""
    with connect(home) as client:
        deleted = client.delete_secret(name, team=team)
    if as_json:
        print_json(deleted)
        return
    note(f"secret `{name}` of team `{deleted['team']}` deleted")
    if deleted["uses"]:
        note(f"it had been taken for: {', '.join(deleted['uses'])}")


def rotate(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Wrap all secrets by a new master key.

    Values and versions stay, and the old master key's file is removed. A rotation that was killed
    harms nothing: the next start of Plinth, or the next rotation, ends it.
    """
    with connect(home) as client:
        done = client.rotate_master_key()
    if as_json:
        print_json(done)
        return
    removed = counted(len(done["removed"]), "old master key")
    note(
        f"{counted(done['rewrapped'], 'secret')} wrapped by the new master key "
        f"`{done['master_key']}`; {removed} removed"
    )
    if done["unopened"]:
        note(f"no master key here opens {', '.join(done['unopened'])}: set or delete them")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MOST_SECRET_BYTES + 1)
    except OSError as err:
        raise Invalid(
            f"`{path}` cannot be read: {err.strerror}", hint="give the path of a file of yours"
        ) from err


def _read_input(name: str) -> bytes:
    """Read standard input to its end, less one newline; ask a person, who types one line."""
    if sys.stdin.isatty():
        try:
            return os.fsencode(getpass.getpass(f"value of secret `{name}`: "))
        except EOFError:
            return b""
    return sys.stdin.buffer.read(MOST_SECRET_BYTES + 2).removesuffix(b"\n")


COMMANDS = {
    "secrets": verbs(
        "secrets",
        list_secrets,
        {"list": list_secrets, "set": set_secret, "delete": delete_secret, "rotate": rotate},
        "Keep credentials that the platform uses, sealed. Values never come back.",
    )
}
