"""Who is let in, by the very library that Envoy loads, with the settings that `gate.py` writes."""

from __future__ import annotations

from ctypes import c_bool, c_void_p
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.serving import TrafficPolicy
from plinth.gateway import gate
from plinth.gateway.envoy_types import Json
from plinth.gateway.state import Writers
from tests.gateway.native_stand import Stream, filter_settings, route_settings

ANN = {"x-plinth-principal": "p_ann", "x-plinth-team": "ops", "x-plinth-key": "k_1"}
RUN = {**ANN, "x-plinth-principal": "p_run", "x-plinth-run-principal": "p_run"}
USUAL = TrafficPolicy().max_body
NAMES = st.text("abcdefghij-_.@0123456789", min_size=1, max_size=12)


def refusal(
    settings: Json | None,
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    revoked: tuple[str, ...] = (),
    left: list[tuple[bytes, bytes]] | None = None,
) -> str | None:
    """Return why the gate refuses a request with these headers to a route with these settings.

    `left` gets the headers as they are afterwards.
    """
    names = gate.gate_filter(revoked)["typed_config"]["filter_config"]["value"]
    with Stream("none") as stream:
        stream.settings = None if settings is None else made(settings)
        pairs = headers.items() if isinstance(headers, dict) else headers
        stream.headers[0] = [(name.encode(), value.encode()) for name, value in pairs]
        library = stream.library
        new = library.envoy_dynamic_module_on_http_filter_new
        filter_ = new(filter_settings("gate", names), c_void_p(stream.number))
        asked = library.envoy_dynamic_module_on_http_filter_request_headers
        status = asked(c_void_p(stream.number), c_void_p(filter_), c_bool(False))
        after = library.envoy_dynamic_module_on_http_filter_request_body
        status_after = after(c_void_p(stream.number), c_void_p(filter_), c_bool(True))
        library.envoy_dynamic_module_on_http_filter_destroy(c_void_p(filter_))
        if left is not None:
            left[:] = stream.headers[0]
        if stream.sent is None:
            assert (status, status_after) == (0, 0)
            return None
        assert (status, status_after) == (1, 3)
        assert stream.sent[:2] == (403, "")
        return stream.sent[2].removeprefix("plinth_denied[").removesuffix("]")


def made(settings: Json) -> Any:
    found = settings[gate.GATE]
    return route_settings(found["filter_name"], found["filter_config"]["value"])


def test_a_route_that_says_nothing_is_closed() -> None:
    assert refusal(None, ANN) == "none"
    assert gate.allow_only((), ()) == gate.allow_visitors((), ()) == gate.allow_named((), ()) == {}


def test_everybody_is_everybody_also_without_a_key() -> None:
    assert refusal(gate.allow_all(), ANN) is None
    assert refusal(gate.allow_all(), {}) is None


@pytest.mark.parametrize(
    ("principals", "teams", "reason"),
    [
        (["p_ann"], [], None),
        (["p_a", "p_ann", "p_b"], [], None),
        ([], ["ops"], None),
        (["p_bob"], ["ops"], None),
        (["p_bob"], ["red"], "none"),
        # The one is not the other, and a part is not the whole.
        (["ops"], ["p_ann"], "none"),
        (["p_an", "p_annn"], ["op", "opss"], "none"),
    ],
)
def test_only_who_is_named_comes_in(
    principals: list[str], teams: list[str], reason: str | None
) -> None:
    assert refusal(gate.allow_only(principals, teams), ANN) == reason


def test_a_run_of_a_team_comes_in_as_its_members_do() -> None:
    assert refusal(gate.allow_only((), ["ops"]), RUN) is None


def test_no_run_visits() -> None:
    visitors = gate.allow_visitors(["p_ann", "p_run"], ["ops"])
    assert refusal(visitors, ANN) is None
    assert refusal(visitors, RUN) == "none"


def test_runs_write_and_principals_with_a_key_of_their_team() -> None:
    writers = gate.allow_writers(
        [Writers("ops", ("p_bob", "p_cid")), Writers("red", everybody=True), Writers("blue")]
    )
    assert refusal(writers, RUN) is None
    assert refusal(writers, ANN) == "no-writer"
    for principal, team, reason in (
        ("p_bob", "ops", None),
        ("p_cid", "ops", None),
        ("p_bob", "blue", "no-writer"),
        ("p_bob", "red", None),
        ("p_ann", "red", None),
        ("ops", "p_bob", "no-writer"),
    ):
        who = {**ANN, "x-plinth-principal": principal, "x-plinth-team": team}
        assert refusal(writers, who) == reason, (principal, team)


def test_a_name_that_is_too_long_to_look_up_is_nobodys() -> None:
    writers = gate.allow_writers([Writers("ops", ("p_bob",))])
    assert refusal(writers, {**ANN, "x-plinth-principal": "p" * 1000}) == "no-writer"


@given(st.sets(NAMES, max_size=8), st.sets(NAMES, max_size=8), NAMES, NAMES)
def test_who_comes_in_is_who_is_in_one_of_the_two_sets(
    principals: set[str], teams: set[str], principal: str, team: str
) -> None:
    settings = gate.allow_only(tuple(principals), tuple(teams)) or None
    who = {"x-plinth-principal": principal, "x-plinth-team": team}
    is_named = principal in principals or team in teams
    assert refusal(settings, who) == (None if is_named else "none")


@pytest.mark.parametrize("settings", [gate.allow_all(), gate.allow_only(["p_ann"], []), None])
def test_a_revoked_key_is_refused_whatever_the_route_says(settings: Json | None) -> None:
    assert refusal(settings, ANN, revoked=("k_0", "k_1")) == "revoked"
    assert refusal(gate.allow_all(), ANN, revoked=("k_", "k_11", "k")) is None


@pytest.mark.parametrize("name", ["x-plinth-browser", "x-plinth-page"])
def test_a_browsers_key_counts_nowhere_but_on_its_page(name: str) -> None:
    assert refusal(gate.allow_all(), {**ANN, name: "mlflow"}, revoked=("k_1",)) == "other-page"


@pytest.mark.parametrize("name", [*ANN, "content-length"])
def test_what_stands_there_with_two_values_is_nobodys(name: str) -> None:
    headers = [*ANN.items(), (":method", "GET"), ("content-length", "1")]
    assert refusal(gate.allow_all(), headers) is None
    assert refusal(gate.allow_all(), [*headers, (name, "x")]) == "two-keys"
    assert refusal(gate.allow_all(), [*headers, (name, "x")], revoked=("k_1",)) == "two-keys"


def test_a_key_that_was_sent_twice_is_one_key() -> None:
    left: list[tuple[bytes, bytes]] = []
    assert refusal(gate.allow_only((), ["ops"]), [*RUN.items(), *RUN.items()], left=left) is None
    assert dict(left) == {name.encode(): value.encode() for name, value in RUN.items()}
    assert len(left) == len(RUN)
    long = [("x-plinth-team", "t" * 300)] * 2
    assert refusal(gate.allow_all(), long) == "two-keys"


def test_more_headers_than_any_client_may_send_are_refused() -> None:
    headers = [*ANN.items(), *((f"x-{number}", "") for number in range(253))]
    assert refusal(gate.allow_all(), headers) is None
    assert refusal(gate.allow_all(), [*headers, ("x", "")]) == "none"


@pytest.mark.parametrize(
    ("most", "method", "length", "reason"),
    [
        (USUAL, "POST", str(USUAL), None),
        (USUAL, "POST", str(USUAL + 1), "too-large"),
        (USUAL, "POST", None, "too-large"),
        (USUAL, "GET", None, None),
        (99, "POST", "99", None),
        (99, "POST", "100", "too-large-here"),
        (99, "POST", "1e1", "too-large-here"),
        (99, "POST", "99999999999999999999", "too-large-here"),
    ],
)
def test_a_body_that_passes_says_that_it_is_no_larger(
    most: int, method: str, length: str | None, reason: str | None
) -> None:
    headers = {":method": method, **ANN, **({"content-length": length} if length else {})}
    assert refusal(gate.allow_only(["p_ann"], (), most=most), headers) == reason
    # Whoever may not come in is told no size.
    assert refusal(gate.allow_only(["p_bob"], (), most=most), headers) == "none"


@pytest.mark.parametrize(
    "text",
    [
        *("everyone", "everybody else", "runs x", "no-runs x", "most 5", "most x too-large", "in"),
        *("most -1 too-large", "most 1 too-large x", "otherwise", f"otherwise {'x' * 33}", " "),
        f"in ops {'p' * 600}",
    ],
)
def test_rules_that_are_none_are_refused_as_a_whole(text: str) -> None:
    with pytest.raises(ValueError, match="these are no settings"):
        route_settings("granted", f"everybody\n{text}")


@pytest.mark.parametrize("part", ["", "gate", "granted ", "Caller"])
def test_settings_of_another_name_are_refused(part: str) -> None:
    with pytest.raises(ValueError, match="these are no settings"):
        route_settings(part)


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a\tb"])
def test_a_name_that_would_be_two_is_never_written(name: str) -> None:
    for write in (
        lambda: gate.allow_only((name,), ()),
        lambda: gate.allow_named((), (name,)),
        lambda: gate.gate_filter((name,)),
        lambda: gate.allow_writers([Writers(name, ("p_ann",))]),
    ):
        with pytest.raises(ValueError, match="the gateway cannot keep it"):
            write()


def test_equal_rules_are_written_equally() -> None:
    names = (["b", "a", "b"], ["a", "b"])
    first, second = (gate.allow_only(each, each) for each in names)
    assert first == second
    assert gate.gate_filter(["k_2", "k_1", "k_2"]) == gate.gate_filter(["k_1", "k_2"])


def test_many_names_are_kept() -> None:
    names = [f"p_{number}" for number in range(20_000)]
    settings = gate.allow_only(names, ())
    assert refusal(settings, {**ANN, "x-plinth-principal": "p_19999"}) is None
    assert refusal(settings, {**ANN, "x-plinth-principal": "p_20000"}) == "none"


def test_what_the_body_names_is_asked_for_by_its_own_rules() -> None:
    for rules, sent in (
        ("principals p_ann", None),
        ("principals p_bob", (403, "", "plinth_denied[none]")),
        (None, (403, "", "plinth_denied[none]")),
    ):
        with Stream(rules=rules) as stream:
            stream.ask(b'{"model":"chat"}', x_plinth_principal="p_ann", x_plinth_team="ops")
            assert stream.sent == sent
            assert stream.place == "chat"
            assert stream.got == (None if sent else b'{"model":"chat"}')
