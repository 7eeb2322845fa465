import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.document import path_text, read_document, to_value


def value_of(text: str):
    document = read_document(text)
    assert document.root is not None
    assert document.problems == ()
    return to_value(document.root)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12", 12),
        ("-0", 0),
        ("+7", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("0x1f", "0x1f"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("! 12", "12"),
        ("9" * 31, "9" * 31),
    ],
)
def test_a_scalar_is_read_as_yaml_1_2_reads_it(written, value):
    assert value_of(f"a: {written}\n") == {"a": value}
    assert type(value_of(f"a: {written}\n")["a"]) is type(value)


def test_keys_are_always_text():
    assert value_of("1: a\ntrue: b\non: c\n2026-01-01: d\n") == {
        "1": "a",
        "true": "b",
        "on": "c",
        "2026-01-01": "d",
    }


def test_a_path_is_found_at_its_line_and_column():
    document = read_document("a:\n  - b: 1\n    c: 2\n")
    offset, node = document.find(("a", 0, "c"))
    assert document.position(offset) == (3, 5)
    assert node is not None
    assert node.value == 2


def test_a_path_that_is_not_written_is_shown_at_the_nearest_value_above():
    document = read_document("x: 1\na:\n  b: 1\n")
    offset, node = document.find(("a", "missing", 3))
    assert document.position(offset) == (2, 1)
    assert node is None


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_for_every_kind_of_line_break(newline):
    document = read_document(newline.join(["a: 1", "b: 2", "c: 3"]))
    offset, _ = document.find(("c",))
    assert document.position(offset) == (3, 1)


def test_a_character_that_some_take_for_a_line_break_is_counted_as_editors_do():
    document = read_document('a: "x\u2028y"\nb: 2\n')
    offset, _ = document.find(("b",))
    assert document.position(offset) == (2, 1)


def test_a_path_is_written_as_people_do():
    assert path_text(("environment", "packages", 0)) == "environment.packages[0]"
    assert path_text(("a", "b.c", "d\ne")) == "a.'b.c'.'d\\ne'"
    assert path_text(()) == ""


@given(st.text())
def test_any_text_is_read_or_has_a_problem_at_a_place_that_exists(text):
    document = read_document(text)
    assert document.root is not None or document.problems
    for problem in document.problems:
        line, column = document.position(problem.offset)
        assert 1 <= line <= document.text.count("\n") + 1
        assert column >= 1


def test_libyaml_reads_the_same_values_at_the_same_places():
    text = "naïve: [1, 'two', ~]\n# ünd\nmap: {a: .5, b: yes}\nlong: one\n  two\n"
    assert read_document(text, quick=True) == read_document(text)
