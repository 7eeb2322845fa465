"""What is sent to a flow from the command line: inputs, rows, and what is asked of them.

All of it is checked before anything runs, as far as the flow's folder tells.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from plinth.domain.dag_names import DagNames, dag_names, no_such
from plinth.domain.flow import DAG_FILE, FlowEvaluation, PromptFlow
from plinth.domain.mistake import describe
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.kit.files import read_text_below

_MOST_BYTES = 20_000_000
_MOST_ROWS = 10_000
_MOST_VARIANTS = 20
_LONGEST_NAME = 200


def read_names(flow: PromptFlow, folder: Path) -> DagNames | None:
    """Return what the flow's DAG names; None for an app, which says nothing of its inputs."""
    text = None if flow.app is not None else read_text_below(folder, DAG_FILE)
    return None if text is None else dag_names(text)


def make_evaluation(
    flow: PromptFlow, names: DagNames | None, asked: Mapping[str, Any]
) -> FlowEvaluation:
    """Return the evaluation of a flow; `asked` as for FlowEvaluation.

    Raises Invalid naming the option that cannot be.
    """
    for variant in asked.get("variants", ()):
        _check_variant(variant, flow, names)
    if len(asked.get("variants", ())) > _MOST_VARIANTS:
        raise Invalid(f"`--variant` is given more than {_MOST_VARIANTS} times")
    for option in ("expected", "output"):
        value = asked.get(option)
        if value is not None and not 0 < len(value) <= _LONGEST_NAME:
            raise Invalid(
                f"`--{option} {excerpt(value)}` has {len(value)} characters; 1 to "
                f"{_LONGEST_NAME} are accepted"
            )
    output, expected = asked.get("output"), asked.get("expected")
    if names is not None and output is not None:
        _refuse(no_such("output", output, names.outputs))
    if names is not None and expected in names.inputs:
        raise Invalid(
            f"`--expected {excerpt(expected)}`: this is an input of the flow, and what is expected "
            "is not sent to it",
            hint="put what you expect into a column of its own",
        )
    try:
        return FlowEvaluation.of(flow, **asked)
    except ValidationError as err:
        first = err.errors()[0]
        option = str(first["loc"][0]).removesuffix("s") if first["loc"] else "flow"
        told = describe(first, FlowEvaluation, None).message
        raise Invalid(f"`{option}`: {told}") from err


def _check_variant(variant: str, flow: PromptFlow, names: DagNames | None) -> None:
    if flow.app is not None:
        raise Invalid(
            f"`--variant {excerpt(variant)}`: an app has no variants; a prompt flow has, in "
            "`node_variants`"
        )
    node, _, name = variant.partition(".")
    if not node or not name:
        listed = ", ".join(names.variants) if names is not None else ""
        raise Invalid(
            f"`--variant {excerpt(variant)}` is not `NODE.VARIANT`",
            hint=f"there are {listed or 'none'}",
        )
    _refuse(None if names is None else no_such("variant", variant, names.variants))


def _refuse(words: str | None) -> None:
    if words is not None:
        raise Invalid(words)


def read_inputs(given: list[str]) -> Any:
    """Read `NAME=VALUE`: a value that is JSON is that, anything else a text; `-` reads stdin.

    Raises Invalid for what cannot be sent as JSON.
    """
    if given == ["-"]:
        return _sendable(_json(sys.stdin.read(), "what stands on stdin"), "what stands on stdin")
    found: dict[str, Any] = {}
    for each in given:
        name, is_given, text = each.partition("=")
        if not is_given or not name:
            raise Invalid(f"`--input {excerpt(each)}` is not `NAME=VALUE`")
        if name in found:
            raise Invalid(f"`--input`: `{excerpt(name)}` is given twice")
        try:
            value = strict_json(text)
        except _NoNumber as err:
            raise Invalid(
                f"`--input {excerpt(each)}`: {err}",
                hint=f"as a text it is `--input '{excerpt(name)}=\"{excerpt(text)}\"'`",
            ) from err
        except (ValueError, RecursionError):
            value = text
        found[name] = _sendable(value, f"`--input {excerpt(each)}`")
    return found


def inputs_of(described: Any) -> list[str] | None:
    """Return the inputs that a served prompt flow says it has; None where it does not say."""
    path = ("paths", "/score", "post", "requestBody", "content", "application/json", "schema")
    for part in (*path, "properties"):
        described = described.get(part) if isinstance(described, dict) else None
    return list(described) if isinstance(described, dict) else None


def check_inputs(body: Any, known: list[str] | None) -> None:
    """Raise Invalid for an input that the flow has not; `known`: None where nobody tells."""
    if known is None:
        return
    if not isinstance(body, dict):
        raise Invalid("a prompt flow takes an object like `{...}`: its inputs by their names")
    for name in body:
        _refuse(no_such("input", name, tuple(known)))


def check_body(body: Any, names: DagNames | None) -> None:
    """Raise Invalid for inputs that the flow of a file has not, or cannot do without."""
    if not isinstance(body, dict):
        raise Invalid("the flow of a file takes an object like `{...}`: its inputs by their names")
    if names is None:
        return
    check_inputs(body, list(names.inputs))
    if words := names.row_problem(body):
        raise Invalid(words, hint="`--input NAME=VALUE` gives it")


def read_rows(file: Path, names: DagNames | None, expected: str | None) -> bytes:
    """Return the rows, of which each is an object with all that is needed.

    Raises Invalid naming the line that is none, or lacks a column.
    """
    try:
        content = file.read_bytes()
    except OSError as err:
        raise Invalid(f"`{file}` cannot be read: {err.strerror}") from err
    if len(content) > _MOST_BYTES:
        raise Invalid(f"`{file}` has more than {_MOST_BYTES:,} bytes")
    count = 0
    # Not `splitlines`: a text in JSON may hold other ends of lines.
    for number, line in enumerate(content.decode(errors="replace").split("\n"), start=1):
        if line.strip():
            count += 1
            _check_row(_json(line, f"`{file}`, line {number},"), names, expected, (file, number))
    if not count:
        raise Invalid(f"`{file}` has no rows")
    if count > _MOST_ROWS:
        raise Invalid(f"`{file}` has {count:,} rows; at most {_MOST_ROWS:,} are accepted")
    return content


def _check_row(
    row: Any, names: DagNames | None, expected: str | None, where: tuple[Path, int]
) -> None:
    file, number = where
    if not isinstance(row, dict):
        raise Invalid(f"`{file}`, line {number}, is no object like `{{...}}`")
    if expected is not None and expected not in row:
        words = no_such("column", expected, tuple(map(str, row)))
        raise Invalid(f"`{file}`, line {number}: `--expected`: {words}")
    sent = {name: value for name, value in row.items() if name != expected}
    if names is not None and (words := names.row_problem(sent)):
        raise Invalid(f"`{file}`, line {number}: {words}")


class _NoNumber(ValueError):
    """A number that Python reads and JSON has not."""


def strict_json(text: str) -> Any:
    """Read JSON as its standard has it. Raises ValueError, also for NaN and infinities."""
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def _no_number(name: str) -> NoReturn:
    raise _NoNumber(f"{name} is no number in JSON, so it cannot be sent")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NoNumber(f"{excerpt(text)} is too large for a number")
    return value


def _json(text: str, what: str) -> Any:
    try:
        return strict_json(text)
    except RecursionError as err:
        raise Invalid(f"{what} is nested too deeply") from err
    except ValueError as err:
        raise Invalid(f"{what} is not JSON: {err}") from err


def _sendable(value: Any, what: str) -> Any:
    """Return the value. Raises Invalid for characters that are none."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as err:
        raise Invalid(f"{what} holds characters that are not Unicode") from err
    return value
