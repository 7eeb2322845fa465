"""Tell whether a deployment answers right: its model's own example, sent through the gateway.

What it answers is untrusted: a model server runs its owner's code.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from plinth.control.context import Context
from plinth.kit.units import format_bytes
from plinth.store.runs import StoredRun

# How far a served number may lie from the model's own: JSON keeps doubles, single precision not.
_RELATIVE_TOLERANCE = 1e-6
_TIMEOUT_S = 10.0
# For the whole answer: each piece of it has `_TIMEOUT_S` for itself.
_LONGEST_ANSWER_S = 30.0
_LARGEST_ANSWER = 16 * 1024 * 1024


class _Unusable(Exception):
    """An answer that is not read to its end; the text says why."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    content: bytes

    @property
    def start(self) -> str:
        return self.content[:300].decode(errors="replace")

    def json(self) -> Any:
        """Return the value. Raises ValueError for what is no JSON, or too deep to be read."""
        try:
            return json.loads(self.content)
        except RecursionError as err:
            raise ValueError("nested too deeply") from err


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
        try:
            if self._ask("GET", f"{base}/ready").status != 200:
                return "the model is loading"
            example = self._ask("GET", f"{base}/example")
            if example.status == 404:
                return None
            if example.status != 200:
                return f"its input example failed: {example.start}"
            body = example.json()
            answer = self._ask("POST", f"{base}/infer", json=body["request"])
            expected = body["expected"]
        except httpx.HTTPError as err:
            return f"the gateway does not answer: {err}"
        except _Unusable as err:
            return str(err)
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            return f"its input example is not what the protocol says: {err!r}"
        if answer.status != 200:
            return f"its input example was answered with {answer.status}: {answer.start}"
        try:
            return difference(expected, answer.json().get("outputs", []))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as err:
            return f"its answer is not what the protocol says: {err!r}"

    def _ask(self, method: str, path: str, **more: Any) -> _Answer:
        # Not compressed: a few bytes could become any number of them.
        headers = {"authorization": f"Bearer {self._key()}", "accept-encoding": "identity"}
        ends_at = time.monotonic() + _LONGEST_ANSWER_S
        content = bytearray()
        with self._client.stream(method, path, headers=headers, **more) as answer:
            for piece in answer.iter_raw():
                content += piece
                what = f"its answer at `/{path.rpartition('/')[2]}`"
                if len(content) > _LARGEST_ANSWER:
                    raise _Unusable(
                        f"{what} has more than {format_bytes(_LARGEST_ANSWER)}, the most that "
                        f"is read; a smaller input example has a smaller answer"
                    )
                if time.monotonic() > ends_at:
                    raise _Unusable(f"{what} was not complete after {_LONGEST_ANSWER_S:.0f} s")
            return _Answer(answer.status_code, bytes(content))


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
