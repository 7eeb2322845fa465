"""Run a flow over rows, each of its variants, and note results and metrics in MLflow.

Started by `__main__` with `--evaluate`. Each row is a request to the flow's own app, in this
process, so that it is traced as one that came through the gateway. What is found is written to a
file of its own, line by line in JSON: as each row begins that it `began`, as it ends its `result`,
at the end the `metrics`, or an `error`. So whoever reads it knows what was done, and what ran, when
the flow's code ended the process. Whatever the flow prints goes elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from .host import App, Host, Message
from .loading import load_app
from .traces import Traces

_AT_ONCE = 4
_MOST_ROWS = 10_000
_OK = 200
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Tell: TypeAlias = Callable[[Mapping[str, Any]], None]


class EvaluationError(Exception):
    """The rows or the variants are not what can be evaluated; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one row in one variant."""

    variant: str
    row: int
    inputs: dict[str, Any]
    output: Any
    error: str | None
    duration_s: float
    input_tokens: int | None
    output_tokens: int | None
    equal: bool | None = None
    contains: bool | None = None


async def evaluate(folder: str, name: str, app: str | None, asked: Mapping[str, Any]) -> int:
    """Run all rows of all variants; return the exit code. Raises EvaluationError.

    `asked["results"]`: the file for what is found, new and below `folder`.
    """
    with telling(Path(folder, asked["results"])) as tell:
        rows = read_rows(Path(folder, asked["rows"]).read_bytes().decode(errors="replace"))
        check_expected(rows, asked["expected"])
        traces = Traces(name)
        await asyncio.to_thread(traces.find_experiment)
        results: list[Result] = []
        for variant in asked["variants"] or [""]:
            loaded = await asyncio.to_thread(_load, folder, app, variant, traces)
            host = Host(name, traces)
            await host.serve(loaded)
            given = [row for _, row in rows]
            results += await _run(host, variant or "default", given, asked, tell)
            await host.end()
        metrics = {
            variant: metrics_of([each for each in results if each.variant == variant])
            for variant in dict.fromkeys(each.variant for each in results)
        }
        tell({"metrics": metrics})
        await asyncio.to_thread(traces.flush)
        await asyncio.to_thread(_note, metrics, results)
    return 0


@contextmanager
def telling(path: Path) -> Iterator[Tell]:
    """Open the file of results; yield what writes a line there. An error is its last line.

    Raises EvaluationError where the file is there already: whatever it holds, we did not write it.
    """
    try:
        descriptor = os.open(path, _FRESH, 0o600)
    except FileExistsError as err:
        raise EvaluationError(f"the flow's folder has a file `{path.name}`, which is ours") from err
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:

        def tell(told: Mapping[str, Any]) -> None:
            # With escapes: some lines would have ends within them that only some readers see.
            stream.write(json.dumps(told, default=str) + "\n")
            stream.flush()

        try:
            yield tell
        except (Exception, SystemExit) as err:
            is_ours = isinstance(err, EvaluationError)
            tell({"error": str(err) if is_ours else f"{type(err).__name__}: {err}"})
            raise


def read_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a JSONL text with the numbers of their lines.

    Raises EvaluationError naming the line that is none.
    """
    rows = []
    # Not `splitlines`: a text in JSON may hold other ends of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = strict_json(line)
        except (ValueError, RecursionError) as err:
            raise EvaluationError(f"line {number} of the rows is not JSON: {err}") from err
        if not isinstance(row, dict):
            raise EvaluationError(f"line {number} of the rows is no object like {{...}}")
        rows.append((number, row))
    if not rows or len(rows) > _MOST_ROWS:
        raise EvaluationError(f"there are {len(rows)} rows; 1 to {_MOST_ROWS:,} are accepted")
    return rows


def check_expected(rows: Iterable[tuple[int, Mapping[str, Any]]], expected: str | None) -> None:
    """Raise EvaluationError for the first row without the column that is expected."""
    for number, row in rows:
        if expected is not None and expected not in row:
            raise EvaluationError(
                f"line {number} of the rows has no column `{expected}`; it has "
                f"{', '.join(row) or 'none'}"
            )


def strict_json(text: str) -> Any:
    """Read JSON as its standard has it. Raises ValueError, also for NaN and infinities."""
    return json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no JSON")


def _load(folder: str, app: str | None, variant: str, traces: Traces) -> App:
    if not variant:
        return load_app(folder, app, traces)
    if app is not None:
        raise EvaluationError("an app has no variants; a prompt flow has, in `node_variants`")
    # By name: it needs packages that only the environments of prompt flows have.
    flows = importlib.import_module(f"{__package__}.prompt_flow")
    try:
        loaded: App = flows.load(folder, traces, variant=variant)
    except LookupError as err:
        raise EvaluationError(str(err.args[0])) from err
    return loaded


async def _run(
    host: Host, variant: str, rows: Sequence[dict[str, Any]], asked: Mapping[str, Any], tell: Tell
) -> list[Result]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, row: dict[str, Any]) -> Result:
        async with turns:
            tell({"began": {"variant": variant, "row": number}})
            result = await _ask(host, variant, (number, row), asked)
            tell({"result": asdict(result)})
            return result

    numbered = [*enumerate(rows, 1)]
    found: list[Result] = []
    # Whether there is such an output, the first answer tells: no other row is asked before it.
    while asked["output"] is not None and numbered and all(each.error for each in found):
        found.append(await one(*numbered.pop(0)))
        if found[-1].output is not None and (words := lacking(found[-1].output, asked["output"])):
            raise EvaluationError(words)
    return [*found, *await asyncio.gather(*(one(*each) for each in numbered))]


async def _ask(
    host: Host, variant: str, numbered: tuple[int, dict[str, Any]], asked: Mapping[str, Any]
) -> Result:
    number, row = numbered
    inputs = {name: value for name, value in row.items() if name != asked["expected"]}
    request = _Request(inputs)
    began = time.monotonic()
    error, answered = None, None
    try:
        await host(request.scope, request.receive, request.send)
        answered = request.answered
        if request.status != _OK:
            error, answered = error_of(answered), None
        else:
            error = lacking(answered, asked["output"])
    except Exception as err:  # noqa: BLE001 - the flow's own code may raise anything
        error = f"{type(err).__name__}: {err}"
    output = chosen_output(answered, asked["output"])
    equal, contains = compared(output, row, asked["expected"]) if error is None else (None, None)
    is_expected = asked["expected"] is not None
    used = request.scope.get("plinth.tokens")
    return Result(
        variant=variant,
        row=number,
        inputs=inputs,
        output=answered,
        error=error,
        duration_s=round(time.monotonic() - began, 6),
        input_tokens=None if used is None else used[0],
        output_tokens=None if used is None else used[1],
        equal=False if error is not None and is_expected else equal,
        contains=False if error is not None and is_expected else contains,
    )


class _Request:
    """One request within the process: `POST /score` with a row."""

    def __init__(self, body: Any) -> None:
        self.status = 0
        self._content = json.dumps(body).encode()
        self._answered = bytearray()
        self._is_sent = False
        headers = [
            (b"content-type", b"application/json"),
            (b"accept", b"application/json"),
            (b"content-length", b"%d" % len(self._content)),
            (b"host", b"localhost"),
        ]
        self.scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/score",
            "raw_path": b"/score",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "server": ("localhost", 80),
        }

    async def receive(self) -> Message:
        """Give the body once; then nothing comes any more."""
        if self._is_sent:
            await asyncio.Event().wait()
        self._is_sent = True
        return {"type": "http.request", "body": self._content, "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self._answered += message.get("body", b"")

    @property
    def answered(self) -> Any:
        """The answer, read as JSON where it is."""
        text = self._answered.decode(errors="replace")
        try:
            return strict_json(text)
        except (ValueError, RecursionError):
            return text


def error_of(answered: Any) -> str:
    """Return what a failed answer says, in one line."""
    found = answered.get("error", answered) if isinstance(answered, dict) else answered
    if isinstance(found, dict):
        found = found.get("message", found)
    return " ".join(str(found).split())[:1000]


def chosen_output(answered: Any, name: str | None) -> Any:
    """Return the output that is compared: the one of that name, else the first."""
    if not isinstance(answered, dict) or not answered:
        return answered
    return answered.get(name) if name is not None else next(iter(answered.values()))


def lacking(answered: Any, name: str | None) -> str | None:
    """Say that an answer has no output of that name; None where it has, or none is asked for."""
    if name is None or (isinstance(answered, dict) and name in answered):
        return None
    if not isinstance(answered, dict):
        return f"there is no output `{name}`: the answer is no object with names"
    return f"there is no output `{name}`; the answer has {', '.join(map(str, answered)) or 'none'}"


def compared(
    output: Any, row: Mapping[str, Any], expected: str | None
) -> tuple[bool | None, bool | None]:
    """Tell whether the output is what the row expects, and whether it holds that; None: unasked.

    Capitals, spaces around it and a full stop at the end make no difference.
    """
    if expected is None:
        return None, None
    given, wanted = _plain(output), _plain(row[expected])
    return given == wanted, wanted in given


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.strip().rstrip(".").strip().casefold()


def metrics_of(results: Sequence[Result]) -> dict[str, float]:
    """Return what is counted and averaged over the rows of one variant."""
    times = sorted(each.duration_s for each in results)
    found: dict[str, float] = {
        "rows": len(results),
        "failed": sum(each.error is not None for each in results),
        "seconds_mean": statistics.fmean(times),
        "seconds_p95": times[min(len(times) - 1, int(0.95 * len(times)))],
    }
    for name in ("input_tokens", "output_tokens"):
        known = [getattr(each, name) for each in results if getattr(each, name) is not None]
        if known:
            found[name] = sum(known)
    for name, values in (
        ("equal_rate", [each.equal for each in results]),
        ("contains_rate", [each.contains for each in results]),
    ):
        if any(value is not None for value in values):
            found[name] = statistics.fmean(bool(value) for value in values)
    return found


def _note(metrics: Mapping[str, Mapping[str, float]], results: Iterable[Result]) -> None:
    """Write to MLflow: the results to the evaluation's own run, the metrics to one below each."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    mlflow = importlib.import_module("mlflow")
    with mlflow.start_run(run_id=os.environ.get("MLFLOW_RUN_ID")):
        mlflow.log_text("\n".join(_lines(results)) + "\n", "results.jsonl")
        if len(metrics) == 1:
            (only,) = metrics.values()
            mlflow.log_metrics(dict(only))
            return
        for variant, values in metrics.items():
            mlflow.log_metrics({f"{variant}.{name}": value for name, value in values.items()})
            with mlflow.start_run(run_name=variant, nested=True):
                mlflow.log_param("variant", variant)
                mlflow.log_metrics(dict(values))


def _lines(results: Iterable[Result]) -> Iterator[str]:
    for each in results:
        yield json.dumps(asdict(each), default=str, ensure_ascii=False)
