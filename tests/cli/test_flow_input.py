"""What is sent to a flow from the command line is read and checked before anything is sent."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from plinth.cli.flow_input import (
    check_body,
    check_inputs,
    inputs_of,
    make_evaluation,
    read_inputs,
    read_names,
    read_rows,
    strict_json,
)
from plinth.domain.dag_names import DagNames
from plinth.domain.flow import PromptFlow
from plinth.kit.errors import Invalid

NAMES = DagNames({"question": False, "most": True}, ("answer",), ("ask.plain", "ask.terse"))


def flow_of(**fields: Any) -> PromptFlow:
    return PromptFlow.model_validate({"kind": "flow", "name": "answers", **fields})


def test_a_value_is_json_or_a_text() -> None:
    given = ["a=3", "b=x=y", 'c="3"', "d=", "e=[1]", "f=nan"]
    found = {"a": 3, "b": "x=y", "c": "3", "d": "", "e": [1], "f": "nan"}
    assert read_inputs(given) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["why"], "is not `NAME=VALUE`"),
        (["=3"], "is not `NAME=VALUE`"),
        (["q=NaN"], "NaN is no number in JSON, so it cannot be sent"),
        (["q=-Infinity"], "-Infinity is no number"),
        (["q=[1, NaN]"], "NaN is no number"),
        (["q=1e999"], "1e999 is too large for a number"),
        (["q=\udcff"], "not Unicode"),
        (["q=1", "q=2"], "`q` is given twice"),
    ],
)
def test_what_cannot_be_sent_is_refused(given: list[str], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_inputs(given)


def test_a_number_that_is_none_is_a_text_in_quotes() -> None:
    with pytest.raises(Invalid) as caught:
        read_inputs(["q=NaN"])
    assert caught.value.hint == "as a text it is `--input 'q=\"NaN\"'`"
    assert read_inputs(['q="NaN"']) == {"q": "NaN"}


def test_stdin_holds_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"q": 1}'))
    assert read_inputs(["-"]) == {"q": 1}
    for text, said in (("NaN", "is not JSON: NaN is no number"), ("[" * 99_999, "too deeply")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        with pytest.raises(Invalid, match=said):
            read_inputs(["-"])


@pytest.mark.parametrize("said", ["not found", {}, {"paths": {"/score": []}}, None])
def test_a_flow_that_does_not_say_its_inputs_takes_any(said: Any) -> None:
    assert inputs_of(said) is None


def test_inputs_are_those_of_the_flow_where_it_says_them() -> None:
    check_inputs([1], None)
    check_inputs({"question": 1}, ["question"])
    with pytest.raises(Invalid, match="no input `q`; there are question"):
        check_inputs({"q": 1}, ["question"])
    with pytest.raises(Invalid, match="takes an object"):
        check_inputs([1], ["question"])
    check_body({"anything": 1}, None)
    with pytest.raises(Invalid, match="takes an object"):
        check_body([1], None)
    with pytest.raises(Invalid, match="the input `question` is missing"):
        check_body({}, NAMES)


def rows_in(folder: Path, text: str) -> Path:
    (folder / "rows.jsonl").write_text(text)
    return folder / "rows.jsonl"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"question": 1}\n[1]\n', "line 2, is no object"),
        ("nothing\n", "line 1, is not JSON"),
        ('{"question": NaN}\n', "line 1, is not JSON: NaN is no number"),
        ("\n", "has no rows"),
        ("{}\n" * 10_001, "has 10,001 rows; at most 10,000"),
        ('{"question": 1}\n\n{"a": 1}\n', "line 3: the input `question` is missing"),
        ('{"question": 1, "mots": 2}', "line 1: `mots` is no input; did you mean `most`?"),
    ],
)
def test_rows_that_cannot_be_sent_are_told_by_their_line(
    tmp_path: Path, text: str, said: str
) -> None:
    names = None if text.startswith("{}") else NAMES
    with pytest.raises(Invalid, match=said):
        read_rows(rows_in(tmp_path, text), names, None)


def test_ends_of_lines_within_a_text_are_none(tmp_path: Path) -> None:
    file = rows_in(tmp_path, '{"question": "a\u2028b\x85c"}\r\n')
    assert read_rows(file, NAMES, None) == file.read_bytes()


def test_each_row_has_what_is_expected_and_more_columns_do_no_harm(tmp_path: Path) -> None:
    file = rows_in(tmp_path, '{"question": 1, "id": 7, "right": 1}\n{"question": 1}\n')
    read_rows(file, NAMES, None)
    with pytest.raises(Invalid, match="line 2: `--expected`: there is no column `right`"):
        read_rows(file, NAMES, "right")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_rows(tmp_path / "gone", None, None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"variants": ("foo",)}, "`--variant foo` is not `NODE.VARIANT`"),
        ({"variants": ("ask.tese",)}, "no variant `ask.tese`; did you mean `ask.terse`?"),
        ({"variants": ("ask.terse",) * 21}, "given more than 20 times"),
        ({"expected": "x" * 300}, "has 300 characters"),
        ({"expected": "question"}, "this is an input of the flow"),
        ({"output": "anser"}, "no output `anser`; did you mean `answer`?; there are answer"),
    ],
)
def test_what_cannot_be_asked_of_a_prompt_flow_is_refused(asked: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said.replace("?", r"\?")):
        make_evaluation(flow_of(), NAMES, asked)


def test_what_the_evaluation_itself_refuses_is_told_in_words() -> None:
    names = DagNames({}, (), ("ask.größer",))
    with pytest.raises(Invalid, match="`variant`: "):
        make_evaluation(flow_of(), names, {"variants": ("ask.größer",)})


def test_an_app_has_no_variants_and_its_outputs_are_not_known() -> None:
    app = flow_of(app="main:app")
    with pytest.raises(Invalid, match="an app has no variants"):
        make_evaluation(app, None, {"variants": ("a.b",)})
    assert make_evaluation(app, None, {"output": "any", "expected": "x"}).output == "any"


def test_names_are_read_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "flow.dag.yaml").write_text("inputs: {q: {type: string}}\n")
    found = read_names(flow_of(), tmp_path)
    assert found is not None
    assert list(found.inputs) == ["q"]
    assert read_names(flow_of(app="main:app"), tmp_path) is None


def test_json_is_that_of_its_standard() -> None:
    assert strict_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="Infinity"):
        strict_json('{"a": Infinity}')
