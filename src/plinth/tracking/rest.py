"""One call to MLflow's REST API over its Unix socket, with errors in our own words.

Called by `Tracking` only. The team's name goes into the workspace header, which is MLflow's only
permission check: nothing outside the control plane and the gateway may reach this socket.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import httpx

from plinth.domain.access import workspace_of
from plinth.kit.errors import Conflict, Invalid, NotFound, PlinthError, Temporary
from plinth.kit.plain_http import no_authorities

WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
API = "/api/2.0/mlflow"
_MESSAGE_LENGTH = 300
# Fewer than the control plane has workers: where MLflow hangs, the rest must go on without it.
_MOST_AT_ONCE = 4
_TURN_S = 1.0
_NOT_READY_HINT = "MLflow may still be starting: `plinth status` shows it, `plinth logs mlflow` why"


class Rest:
    """Calls to one MLflow server.

    Raises Temporary when it cannot be reached or answers 5xx or 429, NotFound, Conflict (it
    exists already) and Invalid for what MLflow refuses.
    """

    def __init__(self, socket: Path, *, timeout_s: float = 30.0) -> None:
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket), verify=no_authorities()),
            base_url="http://localhost",
            timeout=timeout_s,
            trust_env=False,
        )
        self._turns = BoundedSemaphore(_MOST_AT_ONCE)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(
        self, path: str, parameters: Mapping[str, str] | None = None, *, team: str | None = None
    ) -> dict[str, Any]:
        """Read; return the JSON object that MLflow answered."""
        with self._turn(), self._answer("GET", path, team, parameters=parameters) as response:
            return _json_of(response)

    def post(self, path: str, body: Mapping[str, Any], *, team: str | None = None) -> Any:
        """Write; return the JSON object that MLflow answered."""
        with self._turn(), self._answer("POST", path, team, body=body) as response:
            return _json_of(response)

    @contextmanager
    def stream(self, path: str, *, team: str) -> Iterator[Iterator[bytes]]:
        """Read a body piece by piece inside the block."""
        with self._answer("GET", path, team) as response:
            yield response.iter_bytes()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one of few turns. Raises Temporary when those who have them wait too long."""
        if not self._turns.acquire(timeout=_TURN_S):
            raise Temporary(
                f"MLflow is slow: {_MOST_AT_ONCE} calls wait for its answer", hint=_NOT_READY_HINT
            )
        try:
            yield
        finally:
            self._turns.release()

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        team: str | None,
        *,
        parameters: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Iterator[httpx.Response]:
        headers = {} if team is None else {WORKSPACE_HEADER: workspace_of(team)}
        try:
            with self._client.stream(
                method, path, params=parameters, json=body, headers=headers
            ) as response:
                if response.is_error:
                    response.read()
                    raise _error_of(response)
                yield response
        except (httpx.TransportError, httpx.DecodingError) as err:
            raise Temporary(
                f"MLflow cannot be reached: {type(err).__name__} during {method} {path}",
                hint=_NOT_READY_HINT,
            ) from err


def _json_of(response: httpx.Response) -> dict[str, Any]:
    response.read()
    try:
        value = response.json()
    except ValueError as err:
        raise Temporary(f"MLflow answered {response.url.path} with no JSON") from err
    if not isinstance(value, dict):
        raise Temporary(f"MLflow answered {response.url.path} with no JSON object")
    return value


def _error_of(response: httpx.Response) -> PlinthError:
    code, text = _code_and_text(response)
    message = f"MLflow answered {response.status_code} to {response.url.path}: {text}"
    if response.status_code == 429 or response.status_code >= 500:
        return Temporary(message, hint=_NOT_READY_HINT)
    if code == "RESOURCE_ALREADY_EXISTS":
        return Conflict(message)
    if response.status_code == 404:
        return NotFound(message)
    return Invalid(message)


def _code_and_text(response: httpx.Response) -> tuple[str, str]:
    try:
        body = response.json()
        code, text = str(body["error_code"]), str(body["message"])
    except (ValueError, KeyError, TypeError):
        code, text = "", response.text
    lines = text.strip().splitlines() or ["no reason given"]
    return code, lines[0][:_MESSAGE_LENGTH]
