"""The verb `open`: sign this machine's browser in and show a page of Plinth."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from plinth.cli.output import note, print_json
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verb
from plinth.domain.web_page import MLFLOW

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def open_page(
    page: Annotated[
        str,
        typer.Argument(metavar="PAGE", help="What to show: `mlflow`, `console`, `WORKSPACE-ws`"),
    ] = MLFLOW,
    *,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the link and open nothing")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Sign a browser in by a link that works once, and open it.

    The browser stays signed in for some hours as the holder of your key. Over SSH, and where there
    is no display, the link is printed.
    """
    # The gateway's own pages name the whole host.
    name = page.partition(".localhost")[0]
    with connect(home) as client:
        link = client.sign_in(name)
    if as_json:
        print_json(link)
        return
    show_link(name, link, only_print=only_print)


def show_link(name: str, link: Mapping[str, Any], *, only_print: bool) -> None:
    """Open the link in this machine's browser, or print it where the person has none here."""
    url = str(link["url"])
    left = datetime.fromisoformat(link["expires_at"]) - datetime.now(UTC)
    once = f"works once, in the next {left.total_seconds():.0f} s"
    if not only_print and has_browser(os.environ, sys.platform) and webbrowser.open(url):
        note(f"{name} opens in your browser; `plinth open --print` prints a link instead")
        return
    sys.stdout.write(url + "\n")
    note(f"the link {once}")
    if "SSH_CONNECTION" in os.environ:
        port = urlsplit(url).port or 80
        note(f"where your browser is, first: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE")


def has_browser(environment: Mapping[str, str], platform: str) -> bool:
    """Tell whether the person who types sees the browser that would open here."""
    if "SSH_CONNECTION" in environment:
        return False
    return platform != "linux" or any(environment.get(name) for name in _DISPLAYS)


COMMANDS = {"open": verb(open_page, "open")}
