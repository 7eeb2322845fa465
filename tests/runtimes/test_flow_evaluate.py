"""Rows through an app: results in their order, comparisons, metrics, and what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from plinth.runtimes.flowhost.evaluate import (
    EvaluationError,
    Result,
    chosen_output,
    compared,
    error_of,
    evaluate,
    lacking,
    metrics_of,
    read_rows,
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


def run(folder: Path, *rows: Any, **asked: Any) -> list[Any]:
    """Evaluate the rows; return the lines that were found."""
    (folder / "rows").write_text("\n".join(json.dumps(row) for row in rows))
    told = {"rows": "rows", "results": "results", "variants": [], "expected": None, "output": None}
    (module,) = (path.stem for path in folder.glob("evaluated_*.py"))
    app = asked.pop("app", f"{module}:adder")
    assert asyncio.run(evaluate(str(folder), "adder", app, told | asked)) == 0
    return found(folder)


def found(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "results").read_text().splitlines()]


def test_each_row_has_a_result_and_the_variant_its_metrics(folder: Path) -> None:
    rows = ({"a": 1, "right": "it is 2"}, {"a": 13, "right": "x"}, {"a": 3, "right": "4"})
    told = run(folder, *rows, expected="right")
    results = [each["result"] for each in told if "result" in each]
    results.sort(key=lambda each: each["row"])
    metrics = told[-1]["metrics"]["default"]
    assert [each["row"] for each in results] == [1, 2, 3]
    assert [(each["equal"], each["contains"]) for each in results] == [
        *((True, True), (False, False), (False, True)),
    ]
    assert [each["error"] for each in results] == [None, "ValueError: thirteen", None]
    # The column that is expected is no input.
    assert results[0]["inputs"] == {"a": 1}
    assert (metrics["rows"], metrics["failed"]) == (3, 1)
    assert metrics["equal_rate"] == pytest.approx(1 / 3)
    assert metrics["contains_rate"] == pytest.approx(2 / 3)


def test_what_the_flow_prints_is_none_of_its_results_and_nothing_is_cut(folder: Path) -> None:
    (file,) = folder.glob("evaluated_*.py")
    text = 'print("plinth-evaluation {\\"metrics\\": 1}", end="")\n        return "y\\u2028" * 1000'
    file.write_text(APP.replace("if given", f"{text}\n        if given"))
    told = run(folder, {"a": 1}, {"a": "\u2028"})
    *results, metrics = (each for each in told if "began" not in each)
    # Rows are asked side by side: who ends first is told first.
    first, second = sorted(results, key=lambda each: each["result"]["row"])
    assert first["result"]["output"] == "y\u2028" * 1000
    assert second["result"]["inputs"] == {"a": "\u2028"}
    assert list(metrics) == ["metrics"]


def test_rows_without_what_is_expected_are_refused_before_any_is_run(folder: Path) -> None:
    with pytest.raises(EvaluationError, match="line 2 of the rows has no column `right`; it has a"):
        run(folder, {"a": 1, "right": 2}, {"a": 1}, expected="right")
    (told,) = found(folder)
    assert told == {"error": "line 2 of the rows has no column `right`; it has a"}


def test_an_output_that_there_is_not_is_refused_at_the_first_answer(folder: Path) -> None:
    with pytest.raises(EvaluationError, match="no output `summ`; the answer has sum, other"):
        run(folder, {"a": 13}, {"a": 1}, {"a": 2}, output="summ")
    kinds = [kind for each in found(folder) for kind in each]
    assert kinds == ["began", "result", "began", "result", "error"]


def test_each_row_is_told_as_it_begins_and_as_it_ends(folder: Path) -> None:
    (file,) = folder.glob("evaluated_*.py")
    # What has been told when a row runs is what would be left if its code ended the process.
    text = f"from pathlib import Path\n        seen = Path({str(folder / 'results')!r}).read_text()"
    file.write_text(APP.replace("if given", f"{text}\n        return seen\n        if given"))
    *_, last = run(folder, {"a": 1}, {"a": 2}, output=None)[:-1]
    assert '{"began": {"variant": "default", "row": 1}}' in last["result"]["output"]
    told = [next(iter(each)) for each in found(folder)]
    assert told.count("began") == told.count("result") == 2
    assert (told[0], told[-1]) == ("began", "metrics")


def test_a_file_of_results_that_was_there_before_is_not_believed(folder: Path) -> None:
    (folder / "results").write_text('{"metrics": {}}\n')
    with pytest.raises(EvaluationError, match="has a file `results`, which is ours"):
        run(folder, {"a": 1})


def test_what_does_not_load_is_told(folder: Path) -> None:
    with pytest.raises(ImportError):
        run(folder, {"a": 1}, app="no_such_module:x")
    assert found(folder) == [{"error": "ModuleNotFoundError: No module named 'no_such_module'"}]


def test_what_cannot_be_varied_is_refused(folder: Path) -> None:
    with pytest.raises(EvaluationError, match="an app has no variants"):
        run(folder, {"a": 1}, variants=["ask.terse"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 of the rows is not JSON"),
        ("{}\n3", "line 2"),
        ("", "0 rows"),
        ('{"a": NaN}', "it holds NaN"),
    ],
)
def test_rows_are_objects(text: str, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        read_rows(text)
    assert read_rows('{"a": 1}\n\n{"a": "\u2028"}\r\n') == [(1, {"a": 1}), (3, {"a": "\u2028"})]


def test_an_output_is_chosen_by_its_name_or_is_the_first() -> None:
    assert chosen_output({"a": 1, "b": 2}, None) == 1
    assert chosen_output({"a": 1, "b": 2}, "b") == 2
    assert chosen_output("text", "b") == "text"
    assert lacking({"a": 1}, "a") is lacking("text", None) is None
    assert lacking("text", "b") == "there is no output `b`: the answer is no object with names"


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
