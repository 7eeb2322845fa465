"""Rows through an app: results in their order, comparisons, metrics, and what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from plinth.runtimes.flowhost.evaluate import (
    MARK,
    EvaluationError,
    Result,
    chosen_output,
    compared,
    error_of,
    evaluate,
    metrics_of,
    read_rows,
    shown,
)

APP = """
class Adder:
    def invoke(self, given):
        if given["a"] == 13:
            raise ValueError("thirteen")
        return {"sum": f"It is {given['a'] + 1}.", "other": 0}
adder = Adder()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    name = f"evaluated_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(APP)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(folder: Path, *rows: Any, **asked: Any) -> tuple[int, list[Any]]:
    (folder / "rows").write_text("\n".join(json.dumps(row) for row in rows))
    told = {"rows": "rows", "variants": [], "expected": None, "output": None, **asked}
    (module,) = (path.stem for path in folder.glob("evaluated_*.py"))
    code = asyncio.run(evaluate(str(folder), "adder", f"{module}:adder", told))
    return code, []


def test_each_row_has_a_result_and_the_variant_its_metrics(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ({"a": 1, "right": "it is 2"}, {"a": 13, "right": "x"}, {"a": 3, "right": "4"})
    assert run(folder, *rows, expected="right")[0] == 0
    lines = capsys.readouterr().out.splitlines()
    told = [json.loads(line.removeprefix(MARK)) for line in lines if line.startswith(MARK)]
    results, metrics = [each["result"] for each in told[:-1]], told[-1]["metrics"]["default"]
    assert [each["row"] for each in results] == [1, 2, 3]
    assert [(each["equal"], each["contains"]) for each in results] == [
        *((True, True), (False, False), (False, True)),
    ]
    assert [each["error"] for each in results] == [None, "ValueError: thirteen", None]
    # The column that is expected is no input.
    assert results[0]["inputs"] == '{"a": 1}'
    assert (metrics["rows"], metrics["failed"]) == (3, 1)
    assert metrics["equal_rate"] == pytest.approx(1 / 3)
    assert metrics["contains_rate"] == pytest.approx(2 / 3)


def test_what_cannot_be_compared_or_varied_is_refused(folder: Path) -> None:
    with pytest.raises(EvaluationError, match="no column `right`; it has a"):
        run(folder, {"a": 1}, expected="right")
    with pytest.raises(EvaluationError, match="an app has no variants"):
        run(folder, {"a": 1}, variants=["ask.terse"])


@pytest.mark.parametrize(
    ("text", "said"), [("{", "line 1 of the rows is not JSON"), ("{}\n3", "line 2"), ("", "0 rows")]
)
def test_rows_are_objects(text: str, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        read_rows(text)
    assert read_rows('{"a": 1}\n\n{"a": 2}\n') == [{"a": 1}, {"a": 2}]


def test_an_output_is_chosen_by_its_name_or_is_the_first() -> None:
    assert chosen_output({"a": 1, "b": 2}, None) == 1
    assert chosen_output({"a": 1, "b": 2}, "b") == 2
    assert chosen_output("text", "b") == "text"


def test_capitals_and_full_stops_make_no_difference() -> None:
    assert compared(" Paris. ", {"right": "paris"}, "right") == (True, True)
    assert compared("It is Paris", {"right": "paris"}, "right") == (False, True)
    assert compared(3, {"right": 3}, "right") == (True, True)
    assert compared("x", {}, None) == (None, None)


def test_errors_are_told_in_one_line() -> None:
    assert error_of({"error": {"message": "a\nb", "code": "x"}}) == "a b"
    assert error_of("text") == "text"


def test_metrics_are_of_what_is_known() -> None:
    def result(seconds: float, tokens: int | None) -> Result:
        return Result("v", 1, {}, "x", None, seconds, tokens, tokens)

    found = metrics_of([result(1.0, 5), result(3.0, None)])
    assert (found["seconds_mean"], found["seconds_p95"], found["input_tokens"]) == (2.0, 3.0, 5)
    assert "equal_rate" not in found
    assert "input_tokens" not in metrics_of([result(1.0, None)])


def test_what_is_shown_has_an_end() -> None:
    assert shown({"a": "b\nc"}) == '{"a": "b\\nc"}'
    assert len(shown("x " * 1000)) == 300
