"""The verb `flow`: ask a flow once, look at what its requests did, evaluate it over rows."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.cli.code import put_code
from plinth.cli.files import check_beside, read_workload, with_packages
from plinth.cli.flow_found import Found, read_found
from plinth.cli.flow_input import (
    check_body,
    check_inputs,
    inputs_of,
    make_evaluation,
    read_inputs,
    read_names,
    read_rows,
)
from plinth.cli.output import console, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import group
from plinth.cli.workloads import TeamOption
from plinth.client.client import Client, Json
from plinth.domain.dag_names import DagNames, no_such
from plinth.domain.flow import ROWS_FILE, FlowEvaluation, PromptFlow
from plinth.kit.errors import Invalid, NotFound, PlinthError
from plinth.kit.excerpt import excerpt

_POLL_S = 0.3
_FINAL = ("succeeded", "failed", "stopped")
_MOST_ROWS = 20
_FAILED = 400
_SHOWN = 60
_LONGEST_ERROR = 500

InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=VALUE", help="An input; may be given again"),
]
FlowFile = Annotated[Path, typer.Argument(metavar="FILE", help="The flow's YAML file")]


def send(
    flow: Annotated[
        str, typer.Argument(metavar="FLOW", help="A flow that is served, or a flow's YAML file")
    ],
    *,
    inputs: InputOption = None,
    variant: Annotated[
        str | None,
        typer.Option("--variant", metavar="NODE.VARIANT", help="With a file: use this variant"),
    ] = None,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Send one input to a flow, and print what it answers.

    A name asks the flow that is served, through the gateway. A file runs the folder as it is now,
    as a job, without serving it. Exit code 1 when the flow fails.
    """
    body = read_inputs(inputs or [])
    if flow.endswith((".yaml", ".yml")):
        answer = _run_once(home, _read(Path(flow), team), variant, body)
    elif variant is not None:
        raise Invalid("a flow that is served has the variants of its file")
    else:
        answer = _ask_served(home, flow, body)
    if as_json or not isinstance(answer, str):
        print_json(answer)
    else:
        sys.stdout.write(answer.encode(errors="backslashreplace").decode() + "\n")


def _run_once(home: Path | None, read: _Read, variant: str | None, body: Any) -> Any:
    check_body(body, read.names)
    asked = {"variants": () if variant is None else (variant,)}
    evaluation = make_evaluation(read.flow, read.names, asked)
    with connect(home) as client:
        found = _evaluate(client, read, evaluation, json.dumps(body).encode())
    if found.failure is not None:
        raise found.failure
    (result,) = found.results
    if result["error"]:
        raise PlinthError(
            f"flow `{excerpt(read.flow.name)}` failed: {excerpt(result['error'], _LONGEST_ERROR)}",
            hint="`plinth list` shows the run, `plinth logs RUN` what it printed",
            code="flow_failed",
        )
    return result["output"]


def _ask_served(home: Path | None, flow: str, body: Any) -> Any:
    with connect(home) as client:
        served = _find_served(client, flow)
        is_dag = served["workload"].get("app") is None
        # An app says nothing of its inputs, and none are misspelt where none are given.
        check_inputs(body, inputs_of(client.describe_flow(flow)[1]) if is_dag and body else None)
        status, answer = client.ask_flow(flow, body)
    if status >= _FAILED:
        raise PlinthError(
            f"flow `{excerpt(flow)}` answered {status}: {_said(answer)}",
            hint=_next_step(flow, served, answer),
            code="flow_failed",
        )
    return answer


def _find_served(client: Client, flow: str) -> Json:
    """Return the flow as it is served. Raises NotFound with the names that there are."""
    try:
        found = client.endpoint(flow)
    except NotFound as err:
        known = tuple(each["name"] for each in client.endpoints() if each["kind"] == "flow")
        raise NotFound(
            no_such("flow", flow, known) or str(err),
            hint="`plinth apply FILE` serves one; `plinth flow test FILE` runs one without that",
        ) from err
    if found["kind"] != "flow":
        raise NotFound(
            f"there is no flow `{excerpt(flow)}`: the endpoint of that name serves a model",
            hint=f"`plinth get {excerpt(flow)}` shows the address at which it answers",
        )
    return found


def trace(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="A flow that is served")],
    trace_id: Annotated[
        str | None, typer.Argument(metavar="TRACE", help="Its id [default: the newest]")
    ] = None,
    *,
    list_all: Annotated[
        bool, typer.Option("--list", help="List the newest requests instead of one's steps")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many are listed")] = 20,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what a request to a flow did, node by node.

    Inputs, outputs, tokens and seconds of each step. MLflow's pages show the same: `plinth open
    mlflow`, the experiment with the flow's name.
    """
    with connect(home) as client:
        _find_served(client, flow)
        if list_all:
            _show_list(client.flow_traces(flow, limit=limit), as_json=as_json)
            return
        if trace_id is None:
            newest = client.flow_traces(flow, limit=1)
            if not newest:
                raise Invalid(
                    f"flow `{excerpt(flow)}` has no trace yet",
                    hint=f"`plinth flow test {excerpt(flow)}` sends it a request; a trace comes a "
                    "moment after the answer",
                )
            trace_id = newest[0]["id"]
        found = client.flow_trace(flow, trace_id)
    if as_json:
        print_json(found)
        return
    note(f"trace `{found['id']}` of {found['at']}: {found['status']}, {found['duration_s']:.2f} s")
    rows = [
        [
            "  " * each["depth"] + each["name"],
            each["kind"].lower(),
            f"{each['started_s']:.2f}",
            f"{each['duration_s']:.2f}",
            *_tokens(each),
            excerpt(each["inputs"], _SHOWN),
            excerpt(each["error"] or each["outputs"], _SHOWN),
        ]
        for each in found["steps"]
    ]
    columns = ["STEP", "KIND", ">AFTER S", ">SECONDS", ">IN", ">OUT", "INPUTS", "OUTPUTS"]
    print_table(columns, rows, empty="it has no steps")


def evaluate(
    file: FlowFile,
    *,
    data: Annotated[
        Path, typer.Option("--data", metavar="ROWS", help="A JSONL file: the inputs of each row")
    ],
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant", metavar="NODE.VARIANT", help="Evaluate this variant; may be given again"
        ),
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option("--expected", metavar="COLUMN", help="What the output should be equal to"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="NAME", help="The output compared [default: the first]"),
    ] = None,
    team: TeamOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Run a flow over rows, and show results and metrics.

    Variants stand side by side. The folder runs as it is now, as a job; the flow need not be
    served. MLflow keeps the results (`results.jsonl`) and the metrics, a run below for each
    variant, and a trace of each row. Where the flow's code ends the process, the rows that were
    finished are shown, with which row it was; exit code 1.
    """
    asked = {"variants": tuple(variant or ()), "expected": expected, "output": output}
    read = _read(file, team)
    evaluation = make_evaluation(read.flow, read.names, asked)
    rows = read_rows(data, read.names, expected)
    with connect(home) as client:
        found = _evaluate(client, read, evaluation, rows)
    if found.failure is None or found.results:
        _show_found(found, as_json=as_json)
    if found.failure is not None:
        raise found.failure


def _show_found(found: Found, *, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
        return
    shown = [
        [
            each["row"],
            each["variant"],
            excerpt(_text(each["inputs"]), _SHOWN),
            excerpt(each["error"] or _text(each["output"]), _SHOWN),
            {True: "yes", False: "no", None: "-"}[each["equal"]],
            f"{each['duration_s']:.2f}",
        ]
        for each in sorted(found.results, key=lambda each: each["row"])
    ]
    columns = [">ROW", "VARIANT", "INPUTS", "OUTPUT", "EQUAL", ">SECONDS"]
    print_table(columns, shown[:_MOST_ROWS], empty="no rows")
    if len(shown) > _MOST_ROWS:
        note(f"and {len(shown) - _MOST_ROWS} more; `--json` prints all")
    if found.failure is None:
        _show_metrics(found.metrics)
        note(f"run `{found.run}`; in MLflow it is `{found.tracking_run}`")


def _show_metrics(metrics: Mapping[str, Json]) -> None:
    names = list(dict.fromkeys(name for each in metrics.values() for name in each))
    rows = [[name, *(_number(each.get(name)) for each in metrics.values())] for name in names]
    print_table(["METRIC", *(f">{variant}" for variant in metrics)], rows, empty="no metrics")


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) or float(value).is_integer() else f"{value:.3f}"


def _show_list(traces: list[Json], *, as_json: bool) -> None:
    if as_json:
        print_json(traces)
        return
    rows = [
        [
            each["id"],
            each["at"][:19],
            each["status"],
            f"{each['duration_s']:.2f}",
            *_tokens(each),
            excerpt(each["request"], _SHOWN),
            excerpt(each["response"], _SHOWN),
        ]
        for each in traces
    ]
    columns = ["TRACE", "AT", "STATUS", ">SECONDS", ">IN", ">OUT", "REQUEST", "RESPONSE"]
    print_table(columns, rows, empty="no requests yet")


def _tokens(each: Json) -> list[str]:
    counts = (each["input_tokens"], each["output_tokens"])
    return ["-" if count is None else f"{count:,}" for count in counts]


@dataclass(frozen=True, slots=True)
class _Read:
    """A flow as its file and its folder have it. `names`: None where the folder holds no DAG."""

    flow: PromptFlow
    folder: Path
    names: DagNames | None


def _read(file: Path, team: str | None) -> _Read:
    """Read the flow. Raises Invalid, LoadError for what cannot run."""
    flow = read_workload(file, team)
    if not isinstance(flow, PromptFlow):
        raise Invalid(f"`{file}` declares a {flow.kind}; a flow is needed")
    flow, folder = with_packages(flow, file), file.parent / flow.code
    check_beside(flow, file)
    return _Read(flow, folder, read_names(flow, folder))


def _evaluate(client: Client, read: _Read, evaluation: FlowEvaluation, rows: bytes) -> Found:
    """Upload the folder with the rows, run them, and return results and metrics."""
    owner = read.flow.team or client.whoami()["principal"]["team"]
    digest, origin = put_code(client, read.folder, owner, more={ROWS_FILE: rows})
    run = client.evaluate_flow(evaluation, code_digest=digest, code=origin)
    with console(to_stderr=True).status("") as status:
        while run["phase"] not in _FINAL:
            status.update(f"{run['phase']}: {run['message']}")
            time.sleep(_POLL_S)
            run = client.run(run["id"])
    try:
        content = client.evaluation_results(run["id"])
    except NotFound:
        # It ended before it had begun.
        content = b""
    return read_found(run, content, lambda: _output(client, run["id"]))


def _output(client: Client, run_id: str) -> str:
    content, offset = b"", 0
    while True:
        piece, offset, _ = client.logs(run_id, offset=offset)
        if not piece:
            return content.decode(errors="replace")
        content += piece


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _said(answer: Any) -> str:
    found = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(found, dict):
        found = found.get("message", found)
    return excerpt(found, _LONGEST_ERROR)


def _next_step(flow: str, served: Json, answer: Any) -> str:
    """Return what to do when it answered that it failed: the gateway says so with a code."""
    error = answer.get("error") if isinstance(answer, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    if code == "denied":
        return f"an operator of team `{served['team']}` can grant you its use"
    if not served["ready"]:
        return f"`plinth get {excerpt(flow)}` shows why it is not ready"
    return f"`plinth flow trace {excerpt(flow)}` shows what its nodes did"


COMMANDS = {
    "flow": group(
        "flow",
        {"test": send, "trace": trace, "evaluate": evaluate},
        "Test, trace and evaluate flows.",
    )
}
