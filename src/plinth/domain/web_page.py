"""The pages that a browser signs in to, each at a host of its own.

To a browser every host is an origin: what runs in one page is a stranger to all others. A page is
called as its host's first label. `*.localhost` is this machine, without any set-up.
"""

from __future__ import annotations

import re

MLFLOW = "mlflow"
CONSOLE = "console"
# No workspace's page can have the name of another part of Plinth.
_WORKSPACE_END = "-ws"
_DOMAIN = ".localhost"
_HTTP_PORT = 80
# The same text serves Python and Envoy.
PAGE_PATTERN = rf"(?:{MLFLOW}|{CONSOLE}|[a-z0-9][a-z0-9-]*{_WORKSPACE_END})"


def workspace_page(workspace: str) -> str:
    """Return the page of a workspace."""
    return f"{workspace}{_WORKSPACE_END}"


def workspace_of_page(page: str) -> str | None:
    """Return the workspace whose page it is; None when it is no workspace's."""
    return page.removesuffix(_WORKSPACE_END) if page.endswith(_WORKSPACE_END) else None


def page_authority(page: str, port: int) -> str:
    """Return what a browser sends as the host when it asks for the page."""
    return f"{page}{_DOMAIN}{_port(port)}"


def page_origin(page: str, port: int) -> str:
    """Return the page's origin, behind the gateway that listens on `port`."""
    return f"http://{page_authority(page, port)}"


def authority_pattern(port: int) -> str:
    """Return the expression of every page's host as browsers send it, to be matched whole."""
    return PAGE_PATTERN + re.escape(_DOMAIN + _port(port))


def page_of(authority: str, port: int) -> str | None:
    """Return the page at this host; None when it is none's."""
    if re.fullmatch(authority_pattern(port), authority) is None:
        return None
    return authority.partition(".")[0]


def _port(port: int) -> str:
    return "" if port == _HTTP_PORT else f":{port}"
