"""Requests held against a model's signature."""

from __future__ import annotations

import pytest

from plinth.runtimes.v2server.signature import check_inputs, merge_key
from plinth.runtimes.v2server.tensors import ACCEPTED, Declared, Refused, Tensor, stack

_COLUMNS = {
    "age": Declared("age", "INT64", (-1,), column=True),
    "temp": Declared("temp", "FP64", (-1,), nullable=True, required=False, column=True),
}
_IMAGE = {"image": Declared("image", "FP32", (-1, 2, 2))}


def _tensor(name: str, datatype: str, values: list[object], *more: int) -> Tensor:
    return Tensor(name, datatype, (len(values), *more), values)


def _refusal(tensors: list[Tensor], declared: dict[str, Declared] = _COLUMNS) -> str:
    with pytest.raises(Refused) as caught:
        check_inputs(tensors, declared)
    return str(caught.value)


def test_inputs_come_out_in_the_order_of_the_signature() -> None:
    tensors, rows = check_inputs(
        [_tensor("temp", "FP64", [1.0, None]), _tensor("age", "INT32", [1, 2], 1)], _COLUMNS
    )
    assert list(tensors) == ["age", "temp"]
    assert tensors["age"].shape == (2,)
    assert rows == 2


def test_an_optional_input_may_be_left_out() -> None:
    assert list(check_inputs([_tensor("age", "INT64", [1])], _COLUMNS)[0]) == ["age"]


def test_unknown_missing_and_doubled_inputs_are_named() -> None:
    age = _tensor("age", "INT64", [1])
    assert "unknown input `agee`; the model has `age`, `temp`" in _refusal(
        [_tensor("agee", "INT64", [1])]
    )
    assert "missing input `age`" in _refusal([_tensor("temp", "FP64", [1.0])])
    assert "input `age` is given twice" in _refusal([age, age])


def test_only_lossless_widening_is_accepted() -> None:
    assert "datatype FP64 does not fit INT64" in _refusal([_tensor("age", "FP64", [1.0])])
    assert "INT64" not in ACCEPTED["FP64"]
    assert "UINT32" not in ACCEPTED["INT32"]
    assert ACCEPTED["BOOL"] == ("BOOL",)


def test_wrong_shapes_and_row_counts_are_named() -> None:
    assert "shape [1, 2] does not fit [-1] or [-1, 1]" in _refusal(
        [Tensor("age", "INT64", (1, 2), [1, 2])]
    )
    assert "input `temp` has 2 rows and input `age` has 1" in _refusal(
        [_tensor("age", "INT64", [1]), _tensor("temp", "FP64", [1.0, 2.0])]
    )
    assert "0 rows" in _refusal([_tensor("age", "INT64", [])])
    assert "shape [1, 4] does not fit [-1, 2, 2]" in _refusal(
        [Tensor("image", "FP32", (1, 4), [0] * 4)], _IMAGE
    )


def test_null_is_refused_where_the_signature_wants_a_value() -> None:
    assert "input `age`: null at position 1" in _refusal([_tensor("age", "INT64", [1, None])])


def test_requests_merge_only_when_names_types_and_row_shapes_agree() -> None:
    one, _ = check_inputs([_tensor("age", "INT64", [1])], _COLUMNS)
    two, _ = check_inputs([_tensor("age", "INT64", [2, 3], 1)], _COLUMNS)
    other, _ = check_inputs([_tensor("age", "INT32", [1])], _COLUMNS)
    assert merge_key(one, _COLUMNS) == merge_key(two, _COLUMNS)
    assert merge_key(one, _COLUMNS) != merge_key(other, _COLUMNS)
    fixed = {"image": Declared("image", "FP32", (2, 2))}
    assert merge_key({"image": Tensor("image", "FP32", (2, 2), [0] * 4)}, fixed) is None


def test_stacked_tensors_follow_each_other() -> None:
    first = Tensor("a", "INT64", (1, 2), [1, 2])
    second = Tensor("a", "INT64", (2, 2), [3, 4, 5, 6])
    assert stack([first, second]) == Tensor("a", "INT64", (3, 2), [1, 2, 3, 4, 5, 6])
    raw = Tensor("a", "INT8", (1,), raw=b"\1")
    assert stack([raw, raw]) == Tensor("a", "INT8", (2,), raw=b"\1\1")
