"""Tell whether a deployment answers right: its model's own example, sent through the gateway."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import httpx

from plinth.control.context import Context
from plinth.store.runs import StoredRun

# How far a served number may lie from the model's own: JSON keeps doubles, single precision not.
_RELATIVE_TOLERANCE = 1e-6
_TIMEOUT_S = 10.0


class Readiness:
    """Ask a deployment, through the gateway, for the answer to its model's input example.

    `key()` returns the platform's own key. `published()` tells which deployments Envoy routes.
    """

    def __init__(
        self,
        context: Context,
        key: Callable[[], str],
        published: Callable[[], frozenset[str]],
    ) -> None:
        self._context = context
        self._key = key
        self._published = published
        self._client = httpx.Client(base_url=context.address, timeout=_TIMEOUT_S, trust_env=False)

    def why_not(self, run: StoredRun) -> str | None:
        """Return None when the deployment is ready, else what it still lacks.

        A model without an input example is ready when its server says so.
        """
        if run.id not in self._published():
            return "the gateway does not know it yet"
        base = f"/internal/deployments/{run.id}/v2/models/{run.workload.name}"
        headers = {"authorization": f"Bearer {self._key()}"}
        try:
            ready = self._client.get(f"{base}/ready", headers=headers)
            if ready.status_code != 200:
                return "the model is loading"
            example = self._client.get(f"{base}/example", headers=headers)
            if example.status_code == 404:
                return None
            if example.status_code != 200:
                return f"its input example failed: {example.text[:300]}"
            body = example.json()
            answer = self._client.post(f"{base}/infer", json=body["request"], headers=headers)
            expected = body["expected"]
        except httpx.HTTPError as err:
            return f"the gateway does not answer: {err}"
        except (ValueError, KeyError, TypeError) as err:
            return f"its input example is not what the protocol says: {err!r}"
        if answer.status_code != 200:
            return f"its input example was answered with {answer.status_code}: {answer.text[:300]}"
        try:
            return difference(expected, answer.json().get("outputs", []))
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            return f"its answer is not what the protocol says: {err!r}"


def difference(expected: list[dict[str, Any]], served: list[dict[str, Any]]) -> str | None:
    """Compare two lists of V2 outputs; return what differs, or None when they are equal."""
    answers = {output["name"]: output for output in served}
    for output in expected:
        answer = answers.get(output["name"])
        if answer is None:
            return f"output `{output['name']}` is missing in what the gateway answered"
        for field in ("datatype", "shape"):
            if answer.get(field) != output[field]:
                return (
                    f"output `{output['name']}` has {field} {answer.get(field)}, "
                    f"the model itself gives {output[field]}"
                )
        name, data = output["name"], answer.get("data")
        if not isinstance(data, list):
            return f"output `{name}` has no data"
        if len(data) != len(output["data"]):
            return f"output `{name}` has {len(data)} numbers, not {len(output['data'])}"
        for ours, theirs in zip(output["data"], data, strict=True):
            if not _is_equal(ours, theirs):
                return f"output `{name}` has {theirs!r} where the model itself gives {ours!r}"
    return None


def _is_equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, float) and isinstance(theirs, int | float):
        if math.isnan(ours):
            return isinstance(theirs, float) and math.isnan(theirs)
        return math.isclose(ours, theirs, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-9)
    return bool(ours == theirs)
