"""What a caller may invoke, as OpenAI lists models; the gateway sends `/v1/models` here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from plinth.api.caller import CallerDep, ContextDep, needs
from plinth.control.context import Context
from plinth.control.endpoints.routing import in_effect, protocol_of
from plinth.domain.access import Action, Resource
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint, find_endpoint, list_endpoints

router = APIRouter(tags=["models"])


class _NoModel(NotFound):
    """A model that this key has not, told in the shape that OpenAI's clients read."""

    code = "model_not_found"

    def to_json(self) -> dict[str, Any]:
        """Return OpenAI's error: one text, a type, which parameter it is about, and a code."""
        error = {
            "message": f"{self.message} (hint: {self.hint})",
            "type": "invalid_request_error",
            "param": "model",
            "code": self.code,
        }
        return {"error": error}


@router.get("/openai/models", **needs(Action.INVOKE, "endpoint"))
def list_all(context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """List the endpoints that speak OpenAI's protocol and that the caller may invoke."""
    with context.database.read() as connection:
        found = [
            _model(endpoint)
            for endpoint in list_endpoints(connection)
            if endpoint.desired == "run"
            and _speaks(context, endpoint)
            and caller.may(Action.INVOKE, _resource(endpoint))
        ]
    return {"object": "list", "data": found}


@router.get("/openai/models/{name}", **needs(Action.INVOKE, "endpoint"))
def get(name: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show one of them."""
    absent = _NoModel(
        f"there is no model `{excerpt(name)}` for this key",
        hint="`GET /v1/models` lists what it may use",
    )
    with context.database.read() as connection:
        endpoint = find_endpoint(connection, name)
    if endpoint is None or endpoint.desired != "run":
        raise absent
    caller.require(Action.INVOKE, _resource(endpoint), absent=absent)
    if not _speaks(context, endpoint):
        raise _NoModel(
            f"`{name}` does not speak OpenAI's protocol",
            hint=f"it is called at `/v2/models/{name}`",
        )
    return _model(endpoint)


def _resource(endpoint: StoredEndpoint) -> Resource:
    return Resource(kind="endpoint", team=endpoint.team, name=endpoint.name)


def _speaks(context: Context, endpoint: StoredEndpoint) -> bool:
    return protocol_of(in_effect(endpoint), context.runtimes) == "openai"


def _model(endpoint: StoredEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.name,
        "object": "model",
        "created": int(endpoint.created_at.timestamp()),
        "owned_by": endpoint.team,
    }
