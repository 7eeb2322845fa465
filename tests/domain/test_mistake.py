from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from plinth.domain.mistake import Mistake, describe, model_at, nearest_name, told
from plinth.domain.resources import Bytes, Cores, Seconds
from plinth.domain.serving import BodySize


class Inner(BaseModel):
    size: int = 1


class Outer(BaseModel):
    maybe: Inner | None = None
    listed: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    noted: Annotated[Inner, Field(description="x")] = Inner()
    plain: int | str = 1


@pytest.mark.parametrize("path", [("maybe",), ("listed", 3), ("named", "x"), ("noted",)])
def test_the_model_at_a_path_is_found(path):
    assert model_at(Outer, path) is Inner


@pytest.mark.parametrize("path", [("plain",), ("missing",), ("maybe", "size"), ("plain", "x", 1)])
def test_where_there_is_no_model_none_is_found(path):
    assert model_at(Outer, path) is None


def test_the_nearest_name_ignores_case_and_separators():
    names = ("scale_to_zero", "memory", "cpu")
    assert nearest_name("scaleToZero", names) == "scale_to_zero"
    assert nearest_name("memoy", names) == "memory"
    assert nearest_name("gpu-count", names) is None


def test_what_was_read_from_no_file_is_told_with_its_field_and_what_would_do():
    class Tool(BaseModel):
        size: Literal["small", "large"] = "small"
        inner: Inner = Inner()

    with pytest.raises(ValidationError) as caught:
        Tool.model_validate({"size": "lrge", "inner": {"size": "x"}})
    first, second = told(caught.value, Tool).split("; inner.size: ")
    assert first.startswith("size: `lrge` is not one of the accepted values")
    assert first.endswith("did you mean `large`?; accepted: small, large")
    assert "whole number" in second


def test_a_mistake_is_one_line():
    mistake = Mistake("a.yaml", 7, 3, "resources.memoy", "unknown field", ("cpu", "memory"))
    assert str(mistake) == "a.yaml:7: resources.memoy: unknown field; accepted: cpu, memory"
    whole = Mistake("a.yaml", 1, 1, "", "the file is empty")
    assert str(whole) == "a.yaml:1: the file is empty"


class Measured(BaseModel):
    time: Seconds = 1
    often: Seconds | None = None
    size: Bytes = 1
    body: BodySize = 1
    cores: Cores = 1


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("time", "9999999d", "at most 366d"),
        ("time", "0s", "more than 0"),
        ("often", "400d", "at most 366d"),
        ("size", "9999TB", "at most 1024TiB"),
        ("body", "9999TB", "at most 1GiB"),
        ("cores", 20_000, "at most 10000"),
    ],
)
def test_a_bound_is_told_in_the_unit_that_files_have_it_in(name, value, shown):
    with pytest.raises(ValidationError) as caught:
        Measured.model_validate({name: value})
    (error,) = caught.value.errors()
    assert describe(error, Measured, None).message.endswith(f"is not accepted; it must be {shown}")


class Choices(BaseModel):
    listed: tuple[Literal["red", "green"], ...] = ()
    maybe: Literal["red", "green"] | None = None


@pytest.mark.parametrize("value", [{"listed": ["green", "rad"]}, {"maybe": "rad"}])
def test_accepted_values_are_told_also_in_a_list_and_beside_none(value):
    with pytest.raises(ValidationError) as caught:
        Choices.model_validate(value)
    words = describe(caught.value.errors()[0], Choices, None)
    assert (words.accepted, words.nearest) == (("red", "green"), "red")
