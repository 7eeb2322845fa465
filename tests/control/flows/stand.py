"""A flow's folder uploaded to a control plane, and the flow applied as the API does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from plinth.control.endpoints.service import Applied, apply_endpoint
from plinth.control.flows.resolution import resolve_flow
from plinth.control.preparation import code_key
from plinth.domain.flow import PromptFlow
from plinth.kit.archive import pack
from tests.control.plane import TEAM, Plane

PLAIN = {"main.py": "app = 1\n"}


def upload(plane: Plane, files: dict[str, str], team: str = TEAM) -> str:
    """Upload a folder with these files; return its digest."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    for name, text in files.items():
        (folder / name).write_text(text)
    code = pack(folder)
    source = Path(tempfile.mkdtemp(prefix="pl-")) / "code.tar.gz"
    source.write_bytes(code.content)
    plane.context.storage.put_file(source, code_key(team, code.digest))
    return code.digest


def flow_of(**fields: Any) -> PromptFlow:
    given = {"kind": "flow", "name": "answers", "team": TEAM, "app": "main:app", **fields}
    return PromptFlow.model_validate(given)


def apply_flow(plane: Plane, files: dict[str, str] | None = None, **fields: Any) -> Applied:
    flow = flow_of(**fields)
    digest = upload(plane, files or PLAIN)
    hosted = resolve_flow(plane.context, flow, digest, None)
    with plane.write() as connection:
        return apply_endpoint(connection, plane.context, plane.actor(), flow, {"main": hosted})


def serves(plane: Plane, run: str | None) -> bool:
    found = plane.endpoint("answers")
    return found is not None and run in found.serving.values()
