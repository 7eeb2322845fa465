"""Compare what a deployment answered with what the copy of the same request was answered.

The gateway keeps both answers of some mirrored requests (`gateway/shadow.py`); here it is said
whether they are the same. What was sent and answered is the callers' own: only who may change the
endpoint is shown it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plinth.control.endpoints.readiness import difference
from plinth.gateway.shadow import Pair, pairs

_V2 = "/v2/models/"
_EVENT, _END = "data:", "[DONE]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One request with both answers. `why`: how they differ; None where they are the same."""

    pair: Pair
    why: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        pair = self.pair
        return {
            "id": pair.request_id,
            "path": pair.path,
            "request": pair.request,
            "status": pair.answer.status,
            "answer": pair.answer.body,
            "answer_content": content(pair.path, pair.answer.body),
            "shadow_status": pair.shadow.status,
            "shadow_answer": pair.shadow.body,
            "shadow_content": content(pair.path, pair.shadow.body),
            "same": self.why is None,
            "difference": self.why,
        }


def compare(gateway: Path, endpoint: str) -> list[Comparison]:
    """Return the pairs that are kept of an endpoint, in the order of the requests' ids."""
    return [Comparison(pair, _difference(pair)) for pair in pairs(gateway) if _asks(pair, endpoint)]


def content(path: str, body: str) -> str:
    """Return what an answer says: what a model wrote, its outputs, or why there are none.

    Of an answer that is none of these, or of which only a part is kept, all of it.
    """
    value = _json(body)
    if path.startswith(_V2) and _has_outputs(value):
        return "; ".join(_tensor(each) for each in value["outputs"])
    if isinstance(value, dict) and "error" in value:
        error = value["error"]
        return str(error.get("message", error) if isinstance(error, dict) else error)
    return _text(body)


def _tensor(output: Any) -> str:
    if not isinstance(output, dict):
        return str(output)
    return f"{output.get('name', '?')} {json.dumps(output.get('data'))}"


def _asks(pair: Pair, endpoint: str) -> bool:
    """Tell whether the request was for the endpoint: by its path, or by the model in its body."""
    if pair.path.startswith(_V2):
        return pair.path.removeprefix(_V2).split("/")[0].split("?")[0] == endpoint
    value = _json(pair.request)
    return isinstance(value, dict) and value.get("model") == endpoint


def _difference(pair: Pair) -> str | None:
    answer, shadow = pair.answer, pair.shadow
    if answer.status != shadow.status:
        return f"status {answer.status}, the copy's {shadow.status}"
    if answer.is_cut or shadow.is_cut:
        return None if answer.body == shadow.body else "too long to be kept whole; they differ"
    if pair.path.startswith(_V2):
        return _of_tensors(answer.body, shadow.body)
    if _text(answer.body) != _text(shadow.body):
        return "the texts differ"
    return None


def _of_tensors(answer: str, shadow: str) -> str | None:
    ours, theirs = _json(answer), _json(shadow)
    if not (_has_outputs(ours) and _has_outputs(theirs)):
        return None if answer == shadow else "the answers differ"
    try:
        return difference(ours["outputs"], theirs["outputs"])
    except (KeyError, TypeError, AttributeError):
        # A model server runs its owner's code: its tensors may be anything.
        return None if ours == theirs else "the answers differ"


def _has_outputs(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("outputs"), list)


def _text(body: str) -> str:
    """Return what a model wrote, of an answer or of a stream; of anything else, all of it."""
    lines = [line.removeprefix(_EVENT).strip() for line in body.splitlines()]
    events = [line for line in lines if line.startswith("{") and line != _END]
    if not body.lstrip().startswith(_EVENT):
        events = [body]
    texts = [_written(_json(event)) for event in events]
    return "".join(text for text in texts if text is not None) if any(texts) else body


def _written(value: Any) -> str | None:
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list):
        return None
    found = [_of_choice(choice) for choice in choices if isinstance(choice, dict)]
    return "".join(each for each in found if isinstance(each, str))


def _of_choice(choice: dict[str, Any]) -> Any:
    part = choice.get("message") or choice.get("delta")
    return part.get("content") if isinstance(part, dict) else choice.get("text")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
