"""What an evaluation found, read from the lines that it has told. Called by `plinth flow`; pure.

The file is the flow's to write, as its code runs beside: what does not fit together is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from plinth.cli.flow_input import strict_json
from plinth.client.client import Json
from plinth.kit.errors import PlinthError
from plinth.kit.excerpt import excerpt

_LONGEST_ERROR = 500
_LONGEST_LINE = 200
# As runtimes/flowhost/evaluate.py calls what no variant was asked of.
_NO_VARIANT = "default"


@dataclass(frozen=True, slots=True)
class Found:
    """Results of the rows that were finished; `failure`: why that are not all, None where it is."""

    run: str
    tracking_run: str | None
    metrics: Mapping[str, Json]
    results: Sequence[Json]
    failure: PlinthError | None = None

    def to_json(self) -> Json:
        """Return it for programs; `error` says why rows or metrics are missing."""
        return {
            "run": self.run,
            "tracking_run": self.tracking_run,
            "metrics": dict(self.metrics),
            "results": [*self.results],
            "error": None if self.failure is None else self.failure.message,
        }


def read_found(run: Json, content: bytes, output: Callable[[], str]) -> Found:
    """Return what the evaluation that has ended found. Raises PlinthError when any of it is lost.

    `output` returns what it has printed; it is asked where nothing else tells why it failed.
    """
    try:
        told = _lines(run, content)
        metrics: Json = next((each["metrics"] for each in told if "metrics" in each), {})
        results = _in_order([each["result"] for each in told if "result" in each])
        failure = None
        if run["phase"] != "succeeded":
            failure = _failure(run, told, output)
        elif len(results) != sum(each["rows"] for each in metrics.values()) or not metrics:
            raise _not_whole(run)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as err:
        raise _not_whole(run) from err
    return Found(run["id"], run["tracking_run"], metrics, results, failure)


def _lines(run: Json, content: bytes) -> list[Json]:
    lines = content.decode().split("\n")
    if run["phase"] != "succeeded":
        # What ended in the middle of a line has not told it.
        lines.pop()
    return [strict_json(line) for line in lines if line]


def _in_order(results: list[Json]) -> list[Json]:
    """Return them as variants were asked for and rows stand; they end in any order."""
    variants = [*dict.fromkeys(each["variant"] for each in results)]
    return sorted(results, key=lambda each: (variants.index(each["variant"]), each["row"]))


def _failure(run: Json, told: Sequence[Json], output: Callable[[], str]) -> PlinthError:
    words = next((each["error"] for each in told if "error" in each), None)
    if words is None:
        words = f"{run['message']}{_running(told)}"
        printed = [each for each in output().split("\n") if each.strip()]
        if printed:
            words += f"; the last line that it printed: {excerpt(printed[-1], _LONGEST_LINE)}"
    return PlinthError(
        f"evaluation `{run['id']}` {run['phase']}: {excerpt(words, _LONGEST_ERROR)}",
        hint=f"`plinth logs {run['id']}` shows all that it printed",
        code="run_failed",
    )


def _running(told: Sequence[Json]) -> str:
    """Say which rows had begun and not ended; empty where none."""
    began = [each["began"] for each in told if "began" in each]
    done = {(each["result"]["variant"], each["result"]["row"]) for each in told if "result" in each}
    left = [each for each in began if (each["variant"], each["row"]) not in done]
    if not left:
        return ""
    rows = [str(each["row"]) for each in left]
    named = f"rows {', '.join(rows[:-1])} and {rows[-1]}" if rows[1:] else f"row {rows[0]}"
    variant = left[0]["variant"]
    return f" while {named}{'' if variant == _NO_VARIANT else f' of `{variant}`'} ran"


def _not_whole(run: Json) -> PlinthError:
    return PlinthError(
        f"what evaluation `{run['id']}` found is not whole: the flow's code changed the file",
        hint=f"`plinth logs {run['id']}` shows what it printed",
        code="run_failed",
    )
