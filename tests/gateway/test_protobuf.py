from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.gateway import snapshot
from plinth.gateway.envoy_types import config
from plinth.gateway.protobuf import Piece, any_of, encode
from plinth.gateway.protobuf_read import decode, name_in, walk
from tests.gateway.test_snapshot import BUSY

ROUTE = "envoy.config.route.v3.Route"
CLUSTER = "envoy.config.cluster.v3.Cluster"
ACTION = "envoy.config.rbac.v3.Action"
METADATA = "envoy.config.core.v3.Metadata"


def test_fields_stand_in_the_order_of_their_numbers_so_the_name_is_first() -> None:
    one = {"connect_timeout": "2s", "type": "STATIC", "name": "a"}
    written = encode(CLUSTER, one)
    assert written == b"\x0a\x01a" + b"\x10\x00" + b"\x22\x02\x08\x02"
    assert name_in(written) == "a"
    assert encode(CLUSTER, dict(reversed(one.items()))) == written


def test_a_number_that_is_wrapped_is_written_also_when_it_is_nothing() -> None:
    policy = {"num_retries": 0}
    assert encode("envoy.config.route.v3.RetryPolicy", policy) == b"\x12\x02\x08\x00"


@pytest.mark.parametrize("text", ["0s", "60s", "0.05s", "0.002s", "300.25s", "0.000000001s"])
def test_a_time_comes_back_as_it_was(text: str) -> None:
    assert decode(CLUSTER, encode(CLUSTER, {"connect_timeout": text}))["connect_timeout"] == text


def test_a_message_of_any_type_comes_back_with_its_type() -> None:
    action = config("config.rbac.v3.Action", name="granted", action="ALLOW")
    holder = {"name": "x", "typed_config": action}
    assert decode(
        f"{CLUSTER}.CustomClusterType", encode(f"{CLUSTER}.CustomClusterType", holder)
    ) == (holder)


def test_a_text_of_any_type_is_written_as_its_value() -> None:
    value = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "abc"}
    assert any_of(value).endswith(b"\x12\x05\x0a\x03abc")
    holder = {"name": "x", "typed_config": value}
    assert decode(
        f"{CLUSTER}.CustomClusterType", encode(f"{CLUSTER}.CustomClusterType", holder)
    ) == (holder)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"timeuot": "1s"}, "timeuot"),
        ({"typed_per_filter_config": {"x": config("no.such.Type", a=1)}}, "no.such.Type"),
    ],
)
def test_what_no_message_of_envoys_has_is_refused(value: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        encode(ROUTE, value)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_whatever_metadata_say_comes_back(said: dict[str, Any]) -> None:
    value = {"filter_metadata": {"plinth": said}}
    assert decode(METADATA, encode(METADATA, value)) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_number_comes_back(number: int) -> None:
    kind, value = "envoy.type.v3.Int64Range", {"start": number}
    assert decode(kind, encode(kind, value)) == value


@pytest.mark.parametrize("content", [b"\x0a", b"\x0a\x05ab", b"\x0b\x00", b"\x80" * 12])
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"message|64 bits"):
        list(walk(content))


def test_all_that_is_rendered_comes_back() -> None:
    rendered = snapshot.render(BUSY)
    for kind in (rendered.clusters, rendered.routes, rendered.inner):
        for item in kind.items:
            name = item["@type"].partition("/")[2]
            # What is empty in JSON is not written.
            assert encode(name, decode(name, encode(name, item))) == encode(name, item)


def test_a_piece_is_written_once() -> None:
    piece = Piece({"name": "granted"})
    first = encode(ACTION, piece)
    assert encode(ACTION, piece) is first
    assert Piece({"name": "x"}, b"kept").written == b"kept"
