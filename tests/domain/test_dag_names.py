"""The names in a DAG that callers use, and what is said of those that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.domain.dag_names import DagNames, dag_names, no_such

EXAMPLE = Path(__file__).parents[2] / "examples" / "flow" / "answers" / "flow.dag.yaml"


def test_the_example_has_an_input_an_output_and_two_variants() -> None:
    assert dag_names(EXAMPLE.read_text()) == DagNames(
        {"question": True}, ("answer",), ("ask.plain", "ask.terse")
    )


@pytest.mark.parametrize(
    "text", ["a: [", "a: !!int abc", "a: 2024-13-45", "a: !!timestamp zz", "? [a]\n: 1\n? {a: 1}"]
)
def test_what_cannot_be_read_has_no_names(text: str) -> None:
    assert dag_names(text) is None


@pytest.mark.parametrize("text", ["", "3", "inputs: [a]\nnode_variants: {a: 3}\noutputs: x"])
def test_what_is_no_mapping_names_nothing(text: str) -> None:
    assert dag_names(text) == DagNames({}, (), ())


def test_a_row_lacks_an_input_misspells_it_or_has_more() -> None:
    names = DagNames({"question": False, "most": True}, (), ())
    assert names.row_problem({"question": 1, "id": 3}) is None
    assert names.row_problem({"id": 3}) == "the input `question` is missing, and has no default"
    assert names.row_problem({"qestion": 3}) == ("`qestion` is no input; did you mean `question`?")
    assert names.row_problem({"question": 1, "mots": 3}) is not None


def test_a_name_that_there_is_not_is_told_with_the_nearest_and_all() -> None:
    assert no_such("flow", "a", ("a",)) is None
    assert no_such("flow", "anser", ("answer", "other")) == (
        "there is no flow `anser`; did you mean `answer`?; there are answer, other"
    )
    assert no_such("flow", "a", ()) == "there is no flow `a`; there are none"
