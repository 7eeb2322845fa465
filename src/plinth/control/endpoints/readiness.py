"""Tell whether a deployment answers right: its model's own example, sent through the gateway.

Where the model computes numbers, they are compared with its own; a language model says it another
way each time, so its answer only has to be a whole one. What it answers is untrusted: a model
server runs its owner's code.
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
from plinth.control.preparation import answers_vary
from plinth.domain.workload import Endpoint
from plinth.kit.excerpt import excerpt
from plinth.kit.plain_http import no_authorities
from plinth.kit.units import format_bytes
from plinth.store.runs import StoredRun

# How far a served number may lie from the model's own: JSON keeps doubles, single precision not.
_EXACT = (1e-6, 1e-9)
# From its ONNX form it computes in single precision: what `batchrunner.convert` allows.
_AS_ONNX = (1e-4, 1e-5)
_TIMEOUT_S = 10.0
_FLOW_LOADS_S = 2.0
# For the whole answer: each piece of it has `_TIMEOUT_S` for itself.
_LONGEST_ANSWER_S = 30.0
_LARGEST_ANSWER = 16 * 1024 * 1024
# How the answer to an example may end; what calls tools or was filtered is no check.
_FINISH_REASONS = ("stop", "length")


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
        self._client = httpx.Client(
            base_url=context.address,
            timeout=_TIMEOUT_S,
            trust_env=False,
            verify=no_authorities(),
        )

    def why_not(self, run: StoredRun) -> str | None:
        """Return None when the deployment is ready, else what it still lacks.

        A model without an input example is ready when its server says so.
        """
        if run.id not in self._published():
            return "the gateway does not know it yet"
        try:
            return self._fault(run)
        except httpx.HTTPError as err:
            return f"the gateway does not answer: {err}"
        except _Unusable as err:
            return str(err)

    def _fault(self, run: StoredRun) -> str | None:
        """Return what its server answers wrongly. Raises _Unusable, httpx.HTTPError."""
        candidate = f"/internal/deployments/{run.id}"
        base = f"{candidate}/v2/models/{run.workload.name}"
        chats = answers_vary(self._context, run)
        if not self._is_loaded(run, f"{base}/ready"):
            return "the model is loading" if run.model is not None else "the flow is loading"
        example = self._ask("GET", f"{base}/example")
        if example.status == 404:
            return None
        if example.status != 200:
            return f"its input example failed: {example.start}"
        try:
            body = example.json()
            request, expected = body["request"], [] if chats else body["expected"]
        except (ValueError, KeyError, TypeError) as err:
            return f"its input example is not what the protocol says: {err!r}"
        path = f"{candidate}/v1/chat/completions" if chats else f"{base}/infer"
        answer = self._ask("POST", path, json=request)
        if answer.status != 200:
            return f"its input example was answered with {answer.status}: {answer.start}"
        try:
            if chats:
                return chat_fault(answer.json())
            is_onnx = isinstance(run.workload, Endpoint) and run.workload.form == "onnx"
            outputs = answer.json().get("outputs", [])
            return difference(expected, outputs, _AS_ONNX if is_onnx else _EXACT)
        except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as err:
            return f"its answer is not what the protocol says: {err!r}"

    def _is_loaded(self, run: StoredRun, path: str) -> bool:
        if run.model is not None:
            return self._ask("GET", path).status == 200
        try:
            return self._ask("GET", path, timeout=_FLOW_LOADS_S).status == 200
        except httpx.ReadTimeout:
            # A worker that this request woke answers it once it has started.
            return False

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


def chat_fault(answer: dict[str, Any]) -> str | None:
    """Return what is wrong with a chat completion, or None when it is a whole one.

    Raises KeyError, TypeError or AttributeError where it has another shape altogether.
    """
    if answer["object"] != "chat.completion":
        return f"its answer is a `{excerpt(str(answer['object']))}`, no `chat.completion`"
    choices, usage = answer["choices"], answer["usage"]
    if not isinstance(choices, list) or not choices:
        return "its answer has no choices"
    message, reason = choices[0]["message"], choices[0]["finish_reason"]
    if message["role"] != "assistant" or not isinstance(message["content"], str):
        return "its answer holds no text of an assistant"
    if reason not in _FINISH_REASONS:
        return f"its answer ended for `{excerpt(str(reason))}`, not for `stop` or `length`"
    for name in ("prompt_tokens", "completion_tokens"):
        count = usage[name]
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            return f"its answer counts {excerpt(repr(count))} `{name}`"
    return None


def difference(
    expected: list[dict[str, Any]],
    served: list[dict[str, Any]],
    tolerance: tuple[float, float] = _EXACT,
) -> str | None:
    """Compare two lists of V2 outputs; return what differs, or None when they are equal.

    `tolerance`: how far numbers may lie apart, relative to their size and absolute.
    """
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
            if not _is_equal(ours, theirs, tolerance):
                return f"output `{name}` has {theirs!r} where the model itself gives {ours!r}"
    return None


def _is_equal(ours: Any, theirs: Any, tolerance: tuple[float, float]) -> bool:
    if isinstance(ours, float) and isinstance(theirs, int | float):
        if math.isnan(ours):
            return isinstance(theirs, float) and math.isnan(theirs)
        relative, absolute = tolerance
        return math.isclose(ours, theirs, rel_tol=relative, abs_tol=absolute)
    return bool(ours == theirs)
