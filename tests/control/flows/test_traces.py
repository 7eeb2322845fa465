"""What MLflow keeps of a request, as the steps of a flow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from plinth.control.flows.traces import list_traces, read_trace
from plinth.kit.errors import NotFound, Temporary
from plinth.store.endpoints import StoredEndpoint
from tests.control.flows.stand import apply_flow
from tests.control.plane import Plane, make_plane

TRACE = "tr-" + "0" * 32
USED = json.dumps({"input_tokens": 7, "output_tokens": 2, "total_tokens": 9})


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


@pytest.fixture
def flow(plane: Plane) -> StoredEndpoint:
    return apply_flow(plane).endpoint


def info(**fields: Any) -> dict[str, Any]:
    told = {
        "trace_id": TRACE,
        "trace_location": {"mlflow_experiment": {"experiment_id": "e-answers"}},
        "request_time": "2026-11-23T04:00:00Z",
        "execution_duration": "1.500s",
        "state": "OK",
        "request_preview": '{"question": "why?"}',
        "response_preview": '{"answer": "so"}',
        "trace_metadata": {"mlflow.trace.tokenUsage": USED, "mlflow.sourceRun": "m1"},
    }
    return told | fields


def span(name: str, parent: str = "", at: int = 0, **attributes: Any) -> dict[str, Any]:
    return {
        "span_id": name,
        "parent_span_id": parent or None,
        "name": name,
        "start_time_unix_nano": at * 10**9,
        "end_time_unix_nano": (at + 1) * 10**9,
        "status": {"code": "STATUS_CODE_OK"},
        "attributes": {key: json.dumps(value) for key, value in attributes.items()},
    }


def test_a_flow_that_was_never_asked_has_none(plane: Plane, flow: StoredEndpoint) -> None:
    assert list_traces(plane.context, flow, 20) == []


def test_a_request_is_told_with_its_time_and_its_tokens(plane: Plane, flow: StoredEndpoint) -> None:
    plane.tracking.traces["answers"] = [info()]
    (trace,) = list_traces(plane.context, flow, 20)
    assert (trace.duration_s, trace.status, trace.run) == (1.5, "ok", "m1")
    assert (trace.input_tokens, trace.output_tokens) == (7, 2)
    assert trace.request == '{"question": "why?"}'


def test_steps_stand_in_the_order_in_which_they_started_below_their_parents(
    plane: Plane, flow: StoredEndpoint
) -> None:
    plane.tracking.traces["answers"] = [info()]
    plane.tracking.spans[TRACE] = [
        span("late", "root", 5),
        span("root"),
        span("ask", "root", 1),
        {**span("call", "ask", 2), "attributes": {"mlflow.chat.tokenUsage": USED}},
        span("lost", "nowhere", 9),
    ]
    steps = read_trace(plane.context, flow, TRACE).steps
    assert [(each.name, each.depth) for each in steps] == [
        *(("root", 0), ("ask", 1), ("call", 2), ("late", 1), ("lost", 0))
    ]
    # What a step itself does not say is what the steps below it used.
    assert [each.input_tokens for each in steps] == [7, 7, 7, None, None]
    assert (steps[1].started_s, steps[1].duration_s) == (1.0, 1.0)


def test_an_error_is_told_with_what_it_says(plane: Plane, flow: StoredEndpoint) -> None:
    plane.tracking.traces["answers"] = [info(state="ERROR")]
    wrong = span("root", **{"mlflow.spanInputs": {"a": 1}, "mlflow.spanType": "CHAIN"})
    wrong["status"] = {"code": "STATUS_CODE_ERROR", "message": "boom"}
    plane.tracking.spans[TRACE] = [wrong]
    (step,) = read_trace(plane.context, flow, TRACE).steps
    assert (step.status, step.error, step.kind, step.inputs) == (
        *("error", "boom", "CHAIN", '{"a": 1}'),
    )


def test_steps_that_are_not_written_yet_are_to_be_asked_for_again(
    plane: Plane, flow: StoredEndpoint
) -> None:
    plane.tracking.traces["answers"] = [info()]
    with pytest.raises(Temporary, match=f"steps of trace `{TRACE}` yet"):
        read_trace(plane.context, flow, TRACE)


def test_a_trace_of_another_experiment_is_not_this_flows(
    plane: Plane, flow: StoredEndpoint
) -> None:
    elsewhere = {"mlflow_experiment": {"experiment_id": "e-other"}}
    plane.tracking.traces["answers"] = [info(trace_location=elsewhere)]
    plane.tracking.spans[TRACE] = [span("root")]
    with pytest.raises(NotFound, match="has no trace"):
        read_trace(plane.context, flow, TRACE)


@pytest.mark.parametrize(
    "told",
    [
        {"execution_duration": "long", "request_time": "never", "trace_metadata": {}},
        {"request_preview": None, "response_preview": None, "state": ""},
        {"trace_metadata": {"mlflow.trace.tokenUsage": "[1]"}},
        {"request_preview": "x" * 5000},
    ],
)
def test_what_a_program_wrote_wrongly_breaks_nothing(
    plane: Plane, flow: StoredEndpoint, told: dict[str, Any]
) -> None:
    plane.tracking.traces["answers"] = [info(**told)]
    (trace,) = list_traces(plane.context, flow, 20)
    assert len(trace.request) <= 2000
    assert trace.duration_s in (0.0, 1.5)
