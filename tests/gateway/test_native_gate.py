"""Who is let in, by the very library that Envoy loads, with the settings that `gate.py` writes."""

from __future__ import annotations

import base64
import ctypes
import itertools
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_bool, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.access import tokens
from plinth.domain.serving import TrafficPolicy
from plinth.gateway import gate
from plinth.gateway.envoy_types import Json
from plinth.gateway.state import Writers
from tests.gateway.native_stand import Buffer, Stream, filter_settings, route_settings

# As Envoy's own filter says it.
ANN = {
    "x-plinth-principal": "p_ann",
    "x-plinth-team": "ops",
    "x-plinth-key": "k_1",
    "x-plinth-expires": "9999999999",
}
JWKS = '{"keys":[{"kid":"ab12"},{"kid":"cd34"}]}'
NUMBERS = itertools.count(1)
RUN = {**ANN, "x-plinth-principal": "p_run", "x-plinth-run-principal": "p_run"}
USUAL = TrafficPolicy().max_body
NAMES = st.text("abcdefghij-_.@0123456789", min_size=1, max_size=12)


@dataclass
class AtGate:
    """One request at the gate."""

    stream: Stream
    filter: c_void_p
    status: int = -1

    def ask(
        self, headers: dict[str, str] | list[tuple[str, str]], *, has_body: bool = True
    ) -> AtGate:
        """Send a request with these headers."""
        pairs = headers.items() if isinstance(headers, dict) else headers
        self.stream.headers[0] = [(name.encode(), value.encode()) for name, value in pairs]
        asked = self.stream.library.envoy_dynamic_module_on_http_filter_request_headers
        self.status = asked(c_void_p(self.stream.number), self.filter, c_bool(not has_body))
        return self

    def answer(self, status: str | None, words: str = "", **said: str) -> AtGate:
        """Answer in the verifier's place; without a status nothing is answered."""
        named = {name.replace("_", "-"): value for name, value in said.items()}
        pairs = {":status": status, **named} if status is not None else {}
        headers = (Buffer * 2 * len(pairs))()
        for number, pair in enumerate(pairs.items()):
            for place, text in enumerate(pair):
                headers[number][place] = self.stream.keep(str(text).encode())
        body = (Buffer * 1)(self.stream.keep(words.encode()))
        done = self.stream.library.envoy_dynamic_module_on_http_filter_http_callout_done
        done(
            c_void_p(self.stream.number),
            self.filter,
            ctypes.c_uint64(1),
            ctypes.c_int(0 if status else 1),
            headers if pairs else None,
            c_size_t(len(pairs)),
            body if words else None,
            c_size_t(1 if words else 0),
        )
        return self

    @property
    def refusal(self) -> str | None:
        """Why it was refused, or None."""
        after = self.stream.library.envoy_dynamic_module_on_http_filter_request_body
        go_on = after(c_void_p(self.stream.number), self.filter, c_bool(True))
        if self.stream.sent is None:
            assert go_on == 0
            return None
        assert go_on == 3
        assert self.stream.sent[1] == ""
        return self.stream.sent[2].removeprefix("plinth_denied[").removesuffix("]")

    @property
    def said(self) -> dict[str, str]:
        """What stands behind the gate is told of the caller."""
        return {
            name.decode(): value.decode()
            for name, value in self.stream.headers[0]
            if name.startswith(b"x-plinth-")
        }


@contextmanager
def at_gate(
    settings: Json | None, revoked: tuple[str, ...] = (), jwks: str = JWKS
) -> Iterator[AtGate]:
    """Have a request at the gate, whose route has these settings."""
    names = gate.gate_filter(revoked, jwks)["typed_config"]["filter_config"]["value"]
    with Stream("none") as stream:
        stream.settings = None if settings is None else made(settings)
        new = stream.library.envoy_dynamic_module_on_http_filter_new
        filter_ = c_void_p(new(filter_settings("gate", names), c_void_p(stream.number)))
        yield AtGate(stream, filter_)
        stream.library.envoy_dynamic_module_on_http_filter_destroy(filter_)


def refusal(
    settings: Json | None,
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    revoked: tuple[str, ...] = (),
) -> str | None:
    """Return why a request is refused whose key Envoy's own filter has verified, as on a page."""
    with at_gate(settings, revoked) as found:
        reason = found.ask(headers).refusal
        assert found.status == (0 if reason is None else 1)
        assert found.stream.called is None
        return reason


def made(settings: Json) -> Any:
    found = settings[gate.GATE]
    return route_settings(found["filter_name"], found["filter_config"]["value"])


def test_a_route_that_says_nothing_is_closed() -> None:
    assert refusal(None, ANN) == "none"
    assert gate.allow_only((), ()) == gate.allow_visitors((), ()) == gate.allow_named((), ()) == {}


def test_everybody_has_a_key_and_anybody_needs_none() -> None:
    assert refusal(gate.allow_all(), ANN) is None
    assert refusal(gate.allow_all(), {}) == "no-key"
    assert refusal(None, {}) == "no-key"
    for headers in ({}, ANN, {"authorization": "Bearer plk_x"}, {**ANN, "x-plinth-page": "mlflow"}):
        assert refusal(gate.allow_anybody(), headers) is None


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
    who = {**ANN, "x-plinth-principal": principal, "x-plinth-team": team}
    is_named = principal in principals or team in teams
    assert refusal(settings, who) == (None if is_named else "none")


@pytest.mark.parametrize("settings", [gate.allow_all(), gate.allow_only(["p_ann"], []), None])
def test_a_revoked_key_is_refused_whatever_the_route_says(settings: Json | None) -> None:
    assert refusal(settings, ANN, revoked=("k_0", "k_1")) == "revoked"
    assert refusal(gate.allow_all(), ANN, revoked=("k_", "k_11", "k")) is None


@pytest.mark.parametrize("name", ["x-plinth-browser", "x-plinth-page"])
def test_a_browsers_key_counts_nowhere_but_on_its_page(name: str) -> None:
    assert refusal(gate.allow_all(), {**ANN, name: "mlflow"}, revoked=("k_1",)) == "other-page"


def test_when_a_key_ends_is_told_to_nobody_behind() -> None:
    with at_gate(gate.allow_all()) as found:
        assert found.ask(ANN).refusal is None
        assert found.said == {name: value for name, value in ANN.items() if "expires" not in name}


@pytest.mark.parametrize("name", [*ANN, "content-length"])
def test_what_stands_there_with_two_values_is_nobodys(name: str) -> None:
    headers = [*ANN.items(), (":method", "GET"), ("content-length", "1")]
    assert refusal(gate.allow_all(), headers) is None
    assert refusal(gate.allow_all(), [*headers, (name, "x")]) == "two-keys"
    assert refusal(gate.allow_all(), [*headers, (name, "x")], revoked=("k_1",)) == "two-keys"


def test_more_headers_than_any_client_may_send_are_refused() -> None:
    headers = [*ANN.items(), *((f"x-{number}", "") for number in range(252))]
    assert refusal(gate.allow_all(), headers) is None
    assert refusal(gate.allow_all(), [*headers, ("x", "")]) == "none"


@pytest.mark.parametrize(
    ("most", "method", "length", "reason"),
    [
        (USUAL, "POST", str(USUAL), None),
        (USUAL, "POST", str(USUAL + 1), "too-large"),
        (USUAL, "POST", None, "too-large"),
        *((USUAL, method, None, "too-large") for method in ("GET", "PUT", "DELETE", "X")),
        (USUAL, "PUT", str(USUAL + 1), "too-large"),
        (USUAL, "PUT", str(USUAL), None),
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
    with at_gate(gate.allow_only(["p_ann"], (), most=most)) as without_body:
        assert without_body.ask(headers, has_body=False).refusal is None
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
        lambda: gate.gate_filter((name,), JWKS),
        lambda: gate.allow_writers([Writers(name, ("p_ann",))]),
    ):
        with pytest.raises(ValueError, match="the gateway cannot keep it"):
            write()


def test_equal_rules_are_written_equally() -> None:
    names = (["b", "a", "b"], ["a", "b"])
    first, second = (gate.allow_only(each, each) for each in names)
    assert first == second
    assert gate.gate_filter(["k_2", "k_1", "k_2"], JWKS) == gate.gate_filter(["k_1", "k_2"], JWKS)


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


# Keys that are to be verified.


def token(kid: str = "ab12", **more: str) -> str:
    """Return what looks like a key, another one each time."""
    head = json.dumps({"alg": "ES256", "kid": kid, **more}).encode()
    return f"{base64.urlsafe_b64encode(head).decode().rstrip('=')}.e30.sig{next(NUMBERS)}"


def verified(**more: str) -> dict[str, str]:
    """Return what the verifier says of Ann's key."""
    return {name.replace("-", "_"): value for name, value in {**ANN, **more}.items()}


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("authorization", "Bearer plk_"),
        ("authorization", "bearer plk_"),
        ("authorization", "BEARER   plk_"),
        ("api-key", "plk_"),
        ("x-api-key", "plk_"),
    ],
)
def test_a_key_is_verified_once_and_known_from_then_on(name: str, before: str) -> None:
    key = token()
    with at_gate(gate.allow_only(["p_ann"], ())) as first:
        first.ask({name: before + key})
        assert (first.status, first.said) == (4, {})
        cluster, sent = first.stream.called or ("", {})
        assert cluster == "verifier"
        assert sent["authorization"] == f"Bearer plk_{key}"
        assert not first.stream.went_on
        assert first.answer("200", **verified()).refusal is None
        assert first.stream.went_on
    for status, refused in ((0, None), (1, "none")):
        settings = gate.allow_only(["p_ann" if refused is None else "p_bob"], ())
        with at_gate(settings) as again:
            assert again.ask({name: before + key}).refusal == refused
            assert (again.status, again.stream.called) == (status, None)
            # The log says who was refused.
            assert again.said == {k: v for k, v in ANN.items() if k != "x-plinth-expires"}


def test_what_is_behind_is_told_of_runs() -> None:
    with at_gate(gate.allow_writers(())) as found:
        run = verified(**{"x-plinth-principal": "p_run", "x-plinth-run-principal": "p_run"})
        assert found.ask({"api-key": f"plk_{token()}"}).answer("200", **run).refusal is None
        assert found.said["x-plinth-run-principal"] == "p_run"


@pytest.mark.parametrize(
    ("status", "words", "said", "reason", "code"),
    [
        ("401", "Jwt is expired", {}, "key-expired", 401),
        ("401", "Jwt verification fails", {}, "key-forged", 401),
        ("200", "", {}, "key-forged", 401),
        ("200", "", {**ANN, "x-plinth-expires": "soon"}, "key-forged", 401),
        ("200", "", {**ANN, "x-plinth-page": "mlflow"}, "other-page", 403),
        ("503", "overloaded", ANN, "unverified", 503),
        ("500", "", {}, "unverified", 503),
        (None, "", {}, "unverified", 503),
    ],
)
def test_what_the_verifier_refuses_is_refused_and_not_remembered(
    status: str | None, words: str, said: dict[str, str], reason: str, code: int
) -> None:
    key = {"authorization": f"Bearer plk_{token()}"}
    named = {name.replace("-", "_"): value for name, value in said.items()}
    with at_gate(gate.allow_all()) as found:
        assert found.ask(key).answer(status, words, **named).refusal == reason
        assert found.stream.sent == (code, "", f"plinth_denied[{reason}]")
        # The log says whose key it is, where that was found out.
        assert found.said.get("x-plinth-principal") == ("p_ann" if reason == "other-page" else None)
        assert not found.stream.went_on
    with at_gate(gate.allow_all()) as found:
        assert found.ask(key).stream.called is not None


def test_a_verifier_that_cannot_be_asked_refuses_for_now() -> None:
    with at_gate(gate.allow_all()) as found:
        found.stream.can_call = False
        assert found.ask({"api-key": f"plk_{token()}"}).refusal == "unverified"
        # Nothing was asked, so nothing is answered; if it were, it would open nothing.
        assert found.answer("200", **verified()).refusal == "unverified"
        assert not found.stream.went_on


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        "..",
        "e30.e30.sig",
        token("other"),
        token("AB12"),
        token(pad="x" * 400),
        token().replace(".", "!", 1),
        token() + " ",
        token() + "x" * 500,
        "{}.e30.sig",
    ],
)
def test_what_no_signing_key_of_ours_signed_is_not_even_asked_about(key: str) -> None:
    with at_gate(gate.allow_all()) as found:
        assert found.ask({"x-api-key": f"plk_{key}"}).refusal == "key-forged"
        assert (found.stream.called, found.stream.sent and found.stream.sent[0]) == (None, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "plk_x"},
        {"authorization": "Basic plk_x"},
        {"authorization": "Bearer sk-x", "x-api-key": "sk-y"},
        {"cookie": "plinth=x"},
    ],
)
def test_what_is_no_key_of_ours_is_none(headers: dict[str, str]) -> None:
    with at_gate(gate.allow_all()) as found:
        assert found.ask(headers).refusal == "no-key"


def test_two_keys_are_refused_and_one_that_is_sent_twice_is_one() -> None:
    one, other = token(), token()
    names = ("authorization", "api-key", "x-api-key")
    for first, second in itertools.permutations(names, 2):
        for key in (one, other):
            values = {first: f"plk_{one}", second: f"plk_{key}"}
            if "authorization" in values:
                values["authorization"] = f"Bearer {values['authorization']}"
            with at_gate(gate.allow_all()) as found:
                assert found.ask(values).refusal == (None if key == one else "two-keys")
    with at_gate(gate.allow_all()) as found:
        assert found.ask([("api-key", f"plk_{one}"), ("api-key", f"plk_{other}")]).refusal
    for joined in (f"plk_{one},plk_{other}", f"plk_{one}, plk_{one}"):
        with at_gate(gate.allow_all()) as found:
            assert found.ask({"x-api-key": joined}).refusal == "two-keys"


def test_a_known_key_ends_at_its_time() -> None:
    late_s = tokens.CLOCK_SKEW_S
    for left_s, again in ((3600, None), (3 - late_s, None), (-3 - late_s, "key-expired")):
        key = {"authorization": f"Bearer plk_{token()}"}
        said = verified(**{"x-plinth-expires": str(int(time.time()) + left_s)})
        with at_gate(gate.allow_all()) as found:
            assert found.ask(key).answer("200", **said).refusal is None
        with at_gate(gate.allow_all()) as found:
            assert found.ask(key).refusal == again
            assert found.stream.called is None


def test_a_known_key_is_revoked_at_once() -> None:
    key = {"authorization": f"Bearer plk_{token()}"}
    with at_gate(gate.allow_all()) as found:
        assert found.ask(key).answer("200", **verified()).refusal is None
    for revoked, reason in ((("k_1",), "revoked"), ((), None)):
        with at_gate(gate.allow_all(), revoked) as found:
            # It is still known: who is revoked is no part of that.
            assert found.ask(key).refusal == reason
            assert found.stream.called is None


def test_other_signing_keys_forget_what_was_known() -> None:
    old, new = token("ab12"), token("ef56")
    for key, kid in ((old, "ab12"), (new, "ef56")):
        with at_gate(gate.allow_all(), jwks=json.dumps({"keys": [{"kid": kid}]})) as found:
            ask = found.ask({"api-key": f"plk_{key}"})
            assert ask.stream.called is not None
            assert ask.answer("200", **verified()).refusal is None
    with at_gate(gate.allow_all(), jwks='{"keys":[{"kid":"ef56"}]}') as found:
        assert found.ask({"api-key": f"plk_{old}"}).refusal == "key-forged"
        assert found.stream.called is None
    # An answer that comes for signing keys of before is of no use for those of now.
    with at_gate(gate.allow_all(), jwks='{"keys":[{"kid":"ab12"}]}') as late:
        late.ask({"api-key": f"plk_{old}"}).answer("200", **verified())
    with at_gate(gate.allow_all(), jwks='{"keys":[{"kid":"ef56"}]}') as found:
        assert found.ask({"api-key": f"plk_{old}"}).refusal == "key-forged"


def test_so_many_keys_are_remembered_and_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_REMEMBERED_KEYS", 100)
    keys = [(f"plk_{token()}", f"team-{number}") for number in range(1000)]

    def is_known(key: str, team: str) -> bool:
        with at_gate(gate.allow_all()) as found:
            found.ask({"api-key": key})
            if found.stream.called is None:
                assert found.said["x-plinth-team"] == team
                return True
            said = {"x-plinth-team": team, "x-plinth-key": f"k_{team}"}
            assert found.answer("200", **verified(**said)).refusal is None
            assert found.said["x-plinth-team"] == team
            return False

    assert [is_known(*each) for each in keys] == [False] * 1000
    assert [is_known(*each) for each in keys[-100:]] == [True] * 100
    # Used again and again they are never forgotten, whatever comes between.
    for each in keys[:400]:
        is_known(*each)
        assert is_known(*keys[-1])
    # Of what was used long ago nothing is kept.
    assert [is_known(*each) for each in keys[500:700]] == [False] * 200
    chance = random.Random(3)
    found = [is_known(*chance.choice(keys)) for _ in range(3000)]
    assert 0.05 < sum(found) / len(found) < 0.25
