"""Which Plinth a command speaks to, and with which key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from plinth.client.client import Client
from plinth.kit.errors import NotFound, Temporary
from plinth.kit.files import read_json
from plinth.kit.home import Home, find_home

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of this machine's Plinth [default: PLINTH_HOME, ~/.plinth]"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs")]


def open_home(chosen: Path | None) -> Home:
    """Return the home that was asked for."""
    return find_home(os.environ, chosen)


def connect(chosen: Path | None = None) -> Client:
    """Return a client of the Plinth that PLINTH_ADDRESS names, else of this machine's own.

    The key is PLINTH_KEY, else the local administrator's. Raises Temporary when this machine's
    Plinth was never started.
    """
    home = open_home(chosen)
    return Client(_address(home), _key(home))


def connect_as_administrator(home: Home) -> Client:
    """Return a client of this machine's own Plinth with the key of its token file.

    For `up` and `down`, which are about this machine whatever PLINTH_ADDRESS and PLINTH_KEY say.
    """
    node = read_json(home.node_file)
    if node is None or not home.admin_token.exists():
        raise Temporary(f"no Plinth was started in `{home.root}`", code="not_running")
    return Client(str(node["address"]), home.admin_token.read_text().strip())


def _address(home: Home) -> str:
    address = os.environ.get("PLINTH_ADDRESS")
    if address:
        return address.rstrip("/")
    node = read_json(home.node_file)
    if node is None:
        raise Temporary(
            f"no Plinth was started in `{home.root}`",
            hint="`plinth up --detach` starts it; `--home DIR` or PLINTH_HOME names another folder",
            code="not_running",
        )
    return str(node["address"])


def _key(home: Home) -> str:
    key = os.environ.get("PLINTH_KEY")
    if key:
        return key.strip()
    try:
        return home.admin_token.read_text().strip()
    except FileNotFoundError as err:
        raise NotFound(
            f"there is no key: PLINTH_KEY is not set and `{home.admin_token}` does not exist",
            hint="ask an operator for a key (`plinth keys create`) and set PLINTH_KEY",
        ) from err
    except PermissionError as err:
        raise NotFound(
            f"`{home.admin_token}` is another user's",
            hint="ask an operator for a key (`plinth keys create`) and set PLINTH_KEY",
        ) from err
