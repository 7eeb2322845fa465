"""The verb `flow`: ask a flow once, look at what its requests did, evaluate it over rows."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.cli.code import put_code
from plinth.cli.files import check_beside, read_workload, with_packages
from plinth.cli.output import console, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import group
from plinth.cli.workloads import TeamOption
from plinth.client.client import Client, Json
from plinth.domain.flow import ROWS_FILE, FlowEvaluation, PromptFlow
from plinth.kit.errors import Invalid, PlinthError
from plinth.kit.excerpt import excerpt

# What stands before what the evaluation tells the command line (runtimes/flowhost).
_MARK = "plinth-evaluation "
_POLL_S = 0.3
_FINAL = ("succeeded", "failed", "stopped")
_MOST_ROWS = 20
_MOST_BYTES = 20_000_000
_FAILED = 400
_SHOWN = 60

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
    body = _inputs(inputs or [])
    with connect(home) as client:
        if not flow.endswith((".yaml", ".yml")):
            if variant is not None:
                raise Invalid("a flow that is served has the variants of its file")
            status, answer = client.ask_flow(flow, body)
        else:
            rows = json.dumps(body).encode()
            asked = {"variants": () if variant is None else (variant,)}
            found = _evaluate(client, Path(flow), team, rows, asked)
            (result,) = found["results"]
            status = _FAILED if result["error"] else 200
            answer = {"error": result["error"]} if result["error"] else result["output"]
    if status >= _FAILED:
        raise PlinthError(
            f"flow `{excerpt(flow)}` answered {status}: {_said(answer)}",
            hint=_hint(flow),
            code="flow_failed",
        )
    if as_json or not isinstance(answer, str):
        print_json(answer)
    else:
        console().print(answer, markup=False, highlight=False)


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
    variant, and a trace of each row.
    """
    asked = {"variants": tuple(variant or ()), "expected": expected, "output": output}
    with connect(home) as client:
        found = _evaluate(client, file, team, _rows(data), asked)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["row"],
            each["variant"],
            excerpt(each["inputs"], _SHOWN),
            excerpt(each["error"] or each["output"], _SHOWN),
            {True: "yes", False: "no", None: "-"}[each["equal"]],
            f"{each['duration_s']:.2f}",
        ]
        for each in sorted(found["results"], key=lambda each: each["row"])
    ]
    columns = [">ROW", "VARIANT", "INPUTS", "OUTPUT", "EQUAL", ">SECONDS"]
    print_table(columns, rows[:_MOST_ROWS], empty="no rows")
    if len(rows) > _MOST_ROWS:
        note(f"and {len(rows) - _MOST_ROWS} more; `--json` prints all")
    _show_metrics(found["metrics"])
    note(f"run `{found['run']}`; in MLflow it is `{found['tracking_run']}`")


def _show_metrics(metrics: dict[str, Json]) -> None:
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


def _evaluate(
    client: Client, file: Path, team: str | None, rows: bytes, asked: Json
) -> dict[str, Any]:
    """Upload the folder with the rows, run them, and return results and metrics."""
    flow = read_workload(file, team)
    if not isinstance(flow, PromptFlow):
        raise Invalid(f"`{file}` declares a {flow.kind}; a flow is needed")
    flow, folder = with_packages(flow, file), file.parent / flow.code
    check_beside(flow, file)
    owner = flow.team or client.whoami()["principal"]["team"]
    digest, origin = put_code(client, folder, owner, more={ROWS_FILE: rows})
    run = client.evaluate_flow(FlowEvaluation.of(flow, **asked), code_digest=digest, code=origin)
    with console(to_stderr=True).status("") as status:
        while run["phase"] not in _FINAL:
            status.update(f"{run['phase']}: {run['message']}")
            time.sleep(_POLL_S)
            run = client.run(run["id"])
    return _told(run, _output(client, run["id"]))


def _told(run: Json, output: str) -> dict[str, Any]:
    told = [
        json.loads(line.removeprefix(_MARK))
        for line in output.splitlines()
        if line.startswith(_MARK)
    ]
    metrics = next((each["metrics"] for each in told if "metrics" in each), None)
    if run["phase"] != "succeeded" or metrics is None:
        last = [line for line in output.splitlines() if line.strip()][-1:]
        raise PlinthError(
            f"evaluation `{run['id']}` {run['phase']}: {''.join(last) or run['message']}",
            hint=f"`plinth logs {run['id']}` shows all that it printed",
            code="run_failed",
        )
    results = [each["result"] for each in told if "result" in each]
    found = {"run": run["id"], "tracking_run": run["tracking_run"], "metrics": metrics}
    return {**found, "results": results}


def _output(client: Client, run_id: str) -> str:
    content, offset = b"", 0
    while True:
        piece, offset, _ = client.logs(run_id, offset=offset)
        if not piece:
            return content.decode(errors="replace")
        content += piece


def _inputs(given: list[str]) -> Any:
    """Read `NAME=VALUE`: a value that is JSON is that, anything else a text; `-` reads stdin."""
    if given == ["-"]:
        return _json(sys.stdin.read(), "what stands on stdin")
    found = {}
    for each in given:
        name, is_given, text = each.partition("=")
        if not is_given or not name:
            raise Invalid(f"`--input {excerpt(each)}` is not `NAME=VALUE`")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as err:
        raise Invalid(f"{what} is not JSON: {err}") from err


def _rows(file: Path) -> bytes:
    """Return the rows, of which each is an object. Raises Invalid naming the line that is none."""
    try:
        content = file.read_bytes()
    except OSError as err:
        raise Invalid(f"`{file}` cannot be read: {err.strerror}") from err
    if len(content) > _MOST_BYTES:
        raise Invalid(f"`{file}` has more than {_MOST_BYTES:,} bytes")
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        if line.strip() and not isinstance(_json(line, f"`{file}`, line {number},"), dict):
            raise Invalid(f"`{file}`, line {number}, is no object like `{{...}}`")
    if not content.strip():
        raise Invalid(f"`{file}` has no rows")
    return content


def _said(answer: Any) -> str:
    found = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(found, dict):
        found = found.get("message", found)
    return excerpt(found, 500)


def _hint(flow: str) -> str:
    if flow.endswith((".yaml", ".yml")):
        return "`plinth list` shows the run, `plinth logs RUN` what it printed"
    return f"`plinth flow trace {excerpt(flow)}` shows what its nodes did"


COMMANDS = {
    "flow": group(
        "flow",
        {"test": send, "trace": trace, "evaluate": evaluate},
        "Test, trace and evaluate flows.",
    )
}
