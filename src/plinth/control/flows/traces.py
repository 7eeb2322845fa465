"""What requests to a flow did, node by node, as the flow's host wrote it to MLflow.

It is the team's to write: what is read here is what the team's programs say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from plinth.control.context import Context
from plinth.domain.base import Declared
from plinth.kit.errors import NotFound, Temporary
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint

_TOKENS = "mlflow.chat.tokenUsage"
_SPAN_INPUTS, _SPAN_OUTPUTS = "mlflow.spanInputs", "mlflow.spanOutputs"
_SPAN_TYPE = "mlflow.spanType"
_LONGEST_VALUE = 2000
_NANOSECONDS = 1e9


class TraceStep(Declared):
    """What one node did. `depth`: how many steps it lies below the request. Times in seconds."""

    name: str
    kind: str
    depth: int
    status: str
    started_s: float
    duration_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    inputs: str
    outputs: str
    error: str | None = None


class FlowTrace(Declared):
    """One request to a flow. `steps`: only where a single trace is read."""

    id: str
    at: datetime
    duration_s: float
    status: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    request: str
    response: str
    run: str | None = None
    steps: tuple[TraceStep, ...] = ()


def list_traces(context: Context, flow: StoredEndpoint, limit: int) -> list[FlowTrace]:
    """Return the newest requests. Raises Temporary when MLflow does not answer."""
    found = context.tracking.search_traces(flow.team, flow.name, limit)
    return [_trace(each) for each in found]


def read_trace(context: Context, flow: StoredEndpoint, trace_id: str) -> FlowTrace:
    """Return one request with its steps.

    Raises NotFound for a trace that is not of this flow, Temporary while its steps are not written.
    """
    tracking, team = context.tracking, flow.team
    experiment = tracking.experiment_id(team, flow.name)
    info = tracking.find_trace(team, trace_id)
    place = info.get("trace_location", {}).get("mlflow_experiment", {})
    if experiment is None or str(place.get("experiment_id")) != experiment:
        raise NotFound(f"flow `{flow.name}` has no trace `{excerpt(trace_id)}`")
    try:
        spans = tracking.trace_spans(team, trace_id)
    except NotFound as err:
        raise Temporary(
            f"MLflow has not written the steps of trace `{trace_id}` yet",
            hint="ask again in a moment",
        ) from err
    steps = _with_sums([*_steps(spans)])
    return _trace(info).model_copy(update={"steps": steps})


def _trace(info: Mapping[str, Any]) -> FlowTrace:
    noted = info.get("trace_metadata", {})
    asked, answered = _tokens(noted.get("mlflow.trace.tokenUsage"))
    return FlowTrace(
        id=str(info["trace_id"]),
        at=_time(info.get("request_time")),
        duration_s=_seconds(info.get("execution_duration")),
        status=str(info.get("state", "")).lower(),
        input_tokens=asked,
        output_tokens=answered,
        request=_text(info.get("request_preview") or noted.get("mlflow.traceInputs", "")),
        response=_text(info.get("response_preview") or noted.get("mlflow.traceOutputs", "")),
        run=noted.get("mlflow.sourceRun"),
    )


def _steps(spans: list[dict[str, Any]]) -> Iterator[TraceStep]:
    """Yield the steps in the order in which they started, below the request itself."""
    by_parent: dict[str | None, list[dict[str, Any]]] = {}
    known = {each.get("span_id") for each in spans}
    for each in sorted(spans, key=lambda span: int(span.get("start_time_unix_nano", 0))):
        parent = each.get("parent_span_id") or None
        by_parent.setdefault(parent if parent in known else None, []).append(each)
    roots = by_parent.get(None, [])
    first_ns = int(roots[0].get("start_time_unix_nano", 0)) if roots else 0
    waiting = [(each, 0) for each in reversed(roots)]
    while waiting:
        span, depth = waiting.pop()
        yield _step(span, depth, first_ns)
        below = by_parent.pop(span.get("span_id"), [])
        waiting += [(each, depth + 1) for each in reversed(below)]


def _with_sums(steps: Sequence[TraceStep]) -> tuple[TraceStep, ...]:
    """Return the steps, with the tokens of those below where a step itself says none."""
    summed: list[TraceStep] = []
    for place, step in enumerate(steps):
        if step.input_tokens is not None or step.output_tokens is not None:
            summed.append(step)
            continue
        known = []
        for each in steps[place + 1 :]:
            if each.depth <= step.depth:
                break
            if each.input_tokens is not None:
                known.append(each)
        if known:
            asked = sum(each.input_tokens or 0 for each in known)
            answered = sum(each.output_tokens or 0 for each in known)
            told = {"input_tokens": asked, "output_tokens": answered}
            summed.append(step.model_copy(update=told))
        else:
            summed.append(step)
    return tuple(summed)


def _step(span: Mapping[str, Any], depth: int, first_ns: int) -> TraceStep:
    told = span.get("attributes") or {}
    started_ns = int(span.get("start_time_unix_nano", 0))
    ended_ns = int(span.get("end_time_unix_nano") or started_ns)
    asked, answered = _tokens(told.get(_TOKENS))
    status = span.get("status") or {}
    is_wrong = str(status.get("code", "")).endswith("ERROR")
    error = _value(told.get("error")) or status.get("message")
    return TraceStep(
        name=_text(span.get("name", "")),
        kind=str(_value(told.get(_SPAN_TYPE)) or "UNKNOWN"),
        depth=depth,
        status="error" if is_wrong else "ok",
        started_s=(started_ns - first_ns) / _NANOSECONDS,
        duration_s=(ended_ns - started_ns) / _NANOSECONDS,
        input_tokens=asked,
        output_tokens=answered,
        inputs=_text(_value(told.get(_SPAN_INPUTS))),
        outputs=_text(_value(told.get(_SPAN_OUTPUTS))),
        error=_text(error) if is_wrong and error else None,
    )


def _tokens(told: Any) -> tuple[int | None, int | None]:
    value = _value(told)
    if not isinstance(value, dict):
        return None, None
    counts = [value.get(name) for name in ("input_tokens", "output_tokens")]
    asked, answered = (each if isinstance(each, int) else None for each in counts)
    return asked, answered


def _value(told: Any) -> Any:
    """Return an attribute's value; MLflow keeps each as JSON in a text."""
    if not isinstance(told, str):
        return told
    try:
        return json.loads(told)
    except (ValueError, RecursionError):
        return told


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return excerpt(text, _LONGEST_VALUE)


def _time(told: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(told))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _seconds(told: Any) -> float:
    """Read a duration as protobuf writes it in JSON: `1.25s`."""
    try:
        value = float(str(told).removesuffix("s"))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
