"""Refuse in a plan what `plinth apply` would refuse of an endpoint's file.

A control plane is asked where one answers; else the file alone is looked at, by the same function.
"""

from __future__ import annotations

from pathlib import Path

from plinth.cli.output import note
from plinth.cli.session import connect, open_home
from plinth.domain.endpoint_check import check_file
from plinth.domain.model_server import MODEL_SERVERS
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Denied, NotFound, Temporary, Unauthenticated
from plinth.kit.files import read_json
from plinth.kit.settings import load_settings


def check_endpoint(endpoint: Endpoint, home: Path | None) -> list[str]:
    """Raise what `plinth apply` would, and return the warnings that it would answer with.

    What cannot be known now is said and lets the plan pass.
    """
    answer = _ask(endpoint, home)
    if not isinstance(answer, str):
        return answer
    found = open_home(home)
    port = (read_json(found.node_file) or {}).get("port")
    check_file(
        endpoint,
        {name: server.protocol for name, server in MODEL_SERVERS.items()},
        port=None if port is None else int(port),
        allow_private=load_settings(found.root).allow_private_upstreams,
    )
    if _names_others(endpoint):
        note(f"not checked: whether the secrets, teams and keys in the file are there; {answer}")
    return []


def _ask(endpoint: Endpoint, home: Path | None) -> list[str] | str:
    """Have the control plane check the file; return its warnings, or why it could not."""
    try:
        client = connect(home)
    except (Temporary, NotFound):
        return "`plinth up --detach` starts a Plinth that knows it"
    with client:
        try:
            return [str(each) for each in client.check_endpoint(endpoint).get("warnings", ())]
        except (Temporary, Unauthenticated) as err:
            return err.message
        except Denied as err:
            # Who may not apply it may well plan it.
            return f"`plinth apply` would be refused: {err.message}"


def _names_others(endpoint: Endpoint) -> bool:
    externals = (one.external for one in endpoint.by_name().values())
    return bool(endpoint.limits) or any(each is not None and each.secret for each in externals)
