"""The protocol's bytes, without a model and without numpy."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.runtimes.v2server.codec import binary_of, decode_request, encode_json, encode_response
from plinth.runtimes.v2server.tensors import INTEGER_RANGES, Refused, Tensor

# No deadline: a busy machine is not a mistake.
_FEW = settings(max_examples=40, deadline=None)
_FORMATS = {"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP64": "d", "FP32": "f"}


def _body(**tensor: Any) -> bytes:
    item = {"name": "a", "shape": [2], "datatype": "INT64", "data": [1, 2], **tensor}
    return json.dumps({"inputs": [{k: v for k, v in item.items() if v is not None}]}).encode()


def _refusal(body: bytes, header_length: int | None = None) -> str:
    with pytest.raises(Refused) as caught:
        decode_request(body, header_length)
    assert caught.value.status == 400
    return str(caught.value)


@_FEW
@given(
    st.sampled_from(sorted(INTEGER_RANGES)).flatmap(
        lambda kind: st.tuples(
            st.just(kind), st.lists(st.integers(*INTEGER_RANGES[kind]), min_size=1, max_size=8)
        )
    )
)
def test_every_integer_in_range_comes_through_json(case: tuple[str, list[int]]) -> None:
    kind, values = case
    (tensor,) = decode_request(_body(datatype=kind, shape=[len(values)], data=values)).inputs
    assert tensor.values == values


@_FEW
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_text_survives_json_and_binary(values: list[str]) -> None:
    values = [value.encode("utf-8", "replace").decode() for value in values]
    sent = Tensor("a", "BYTES", (len(values),), list(values))
    text, _ = encode_response({}, [sent], [False])
    assert json.loads(text)["outputs"][0]["data"] == values
    body, split = encode_response({}, [sent], [True])
    assert split is not None
    head = json.loads(body[:split])
    request = json.dumps({"inputs": head["outputs"]}).encode()
    (back,) = decode_request(request + body[split:], len(request)).inputs
    assert [value.decode() for value in back.values or ()] == values


@_FEW
@given(st.sampled_from(sorted(_FORMATS)), st.integers(0, 5))
def test_numbers_as_binary_keep_their_bytes(kind: str, count: int) -> None:
    raw = struct.pack(f"<{count}{_FORMATS[kind]}", *range(count))
    head = _body(datatype=kind, shape=[count], data=None, parameters={"binary_data_size": len(raw)})
    (tensor,) = decode_request(head + raw, len(head)).inputs
    assert tensor.raw == raw
    assert binary_of(tensor) == raw


@_FEW
@given(st.binary(max_size=60), st.integers(0, 70))
def test_no_bytes_make_the_decoder_fail_otherwise(body: bytes, header_length: int) -> None:
    for length in (None, header_length):
        with pytest.raises(Refused):
            decode_request(body, length)


@_FEW
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "shape", "datatype", "data", "parameters"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_makes_the_decoder_fail_otherwise(item: Any) -> None:
    for document in ({"inputs": [item]}, {"inputs": item}, {"inputs": [], "outputs": item}):
        with suppress(Refused):
            decode_request(json.dumps(document).encode())


def test_nested_data_is_read_row_by_row() -> None:
    (tensor,) = decode_request(_body(shape=[2, 3], data=[[1, 2, 3], [4, 5, 6]])).inputs
    assert tensor.values == [1, 2, 3, 4, 5, 6]


def test_nested_data_against_its_shape_is_refused() -> None:
    assert "`a`" in _refusal(_body(shape=[2, 3], data=[[1, 2], [3, 4], [5, 6]]))
    assert "nested" in _refusal(_body(shape=[2, 2], data=[[1, 2], [3]]))
    assert "`a`" in _refusal(_body(shape=[2], data=[[1], [2]]))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ({"data": [1]}, "shape [2] takes 2 values, got 1"),
        ({"data": [1, "2"]}, 'value `"2"` at position 1 is not INT64'),
        ({"data": [1, 2.5]}, "value `2.5` at position 1 is not INT64"),
        ({"data": [1, True]}, "value `true` at position 1 is not INT64"),
        ({"datatype": "BOOL", "data": [True, 1]}, "value `1` at position 1 is not BOOL"),
        ({"datatype": "INT8", "data": [1, 128]}, "value `128` is out of range for INT8"),
        ({"datatype": "UINT8", "data": [-1, 5]}, "value `-1` is out of range for UINT8"),
        ({"datatype": "FP32", "data": [1, 1e39]}, "out of range for FP32"),
        ({"datatype": "FP64", "data": [1, 10**400]}, "out of range for FP64"),
        ({"datatype": "BYTES", "data": ["x", 1]}, "value `1` at position 1 is not BYTES"),
        ({"datatype": "DECIMAL"}, 'datatype `"DECIMAL"` is not one of BOOL, INT8'),
        ({"shape": [-1]}, "`shape` must be a list of whole numbers"),
        ({"shape": [True]}, "`shape` must be a list of whole numbers"),
        ({"shape": [10**15]}, "takes 1000000000000000 values, got 2"),
        ({"data": None}, "`data` must be a list, got `null`"),
        ({"data": {"0": 1}}, "`data` must be a list"),
        ({"name": None}, "`inputs[0].name` must be a string"),
        ({"name": 7}, "`inputs[0].name` must be a string, got `7`"),
    ],
)
def test_a_wrong_tensor_is_refused_with_its_name(tensor: dict[str, Any], said: str) -> None:
    assert said in _refusal(_body(**tensor))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "`inputs` must be a list"),
        (b'{"inputs": []}', "at least one tensor"),
        (b"\xff", "not UTF-8"),
        (b"[" * 200_000, "nests too deeply"),
        (b'{"inputs": [1]}', "`inputs[0]` must be an object"),
        (_body().replace(b"1, 2", b"1, NaN"), "send null for a missing value"),
        (_body().replace(b"1, 2", b"1, -Infinity"), "`-Infinity`"),
    ],
)
def test_a_wrong_body_is_refused(body: bytes, said: str) -> None:
    assert said in _refusal(body)


def test_binary_sizes_must_add_up() -> None:
    def head(size: Any) -> bytes:
        return _body(data=None, parameters={"binary_data_size": size})

    assert "8 bytes are left" in _refusal(head(16) + b"\0" * 8, len(head(16)))
    assert "belong to no input" in _refusal(head(16) + b"\0" * 17, len(head(16)))
    assert "takes 16 bytes, got 8" in _refusal(head(8) + b"\0" * 8, len(head(8)))
    assert "whole number" in _refusal(head("16") + b"\0" * 16, len(head("16")))
    assert "the body has" in _refusal(head(16), 10_000)


def test_broken_lengths_of_binary_text_are_refused() -> None:
    for raw in (b"\1\0", b"\5\0\0\0abc", b"\xff\xff\xff\xff"):
        head = _body(
            datatype="BYTES", shape=[1], data=None, parameters={"binary_data_size": len(raw)}
        )
        assert "`a`" in _refusal(head + raw, len(head))


def test_wanted_outputs_and_parameters_are_read() -> None:
    document = json.loads(_body())
    document |= {
        "id": "7",
        "parameters": {"binary_data_output": True, "priority": 1},
        "outputs": [{"name": "x", "parameters": {"binary_data": False}}, {"name": "y"}],
    }
    request = decode_request(json.dumps(document).encode())
    assert request.id == "7"
    assert request.binary_default
    assert request.wanted is not None
    assert [(item.name, item.binary) for item in request.wanted] == [("x", False), ("y", None)]


def test_nan_goes_out_as_null_in_json() -> None:
    assert encode_json({"data": [1.5, float("nan"), float("inf")]}) == b'{"data":[1.5,null,null]}'
