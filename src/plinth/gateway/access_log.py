"""Read Envoy's access log: the journal that usage is counted from.

Pure: metering reads the file and keeps the position. `log_line.py` reads a line into fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from plinth.domain.token_count import Seen, TokenCount, count_tokens, read_usage_object
from plinth.gateway.log_line import read_line
from plinth.gateway.names import DENIED, DEPLOYMENT, ENDPOINT_ROUTE, way_cluster

# Envoy's words (`details`) and flags; tests/journeys has the lines that a real one writes.
_ANSWERED = "via_upstream"
_BROKE_OFF = "upstream_reset_after_response_started"
_RETRIES_EXCEEDED = "URX"
# The caller went away (DC), or our time limit passed (UT).
_GIVEN_UP = frozenset(("DC", "UT"))
# What Envoy answers for a server that does not; a lower code came from a server.
_FIRST_OF_ENVOYS_OWN = 500
_WAY = way_cluster("")
# Where callers speak OpenAI's protocol, in its own form and in that of Azure. Only there answers
# report tokens; what a model of another protocol answers under the name `usage` is its own affair.
_OPENAI_PATHS = ("/v1/", "/openai/")
# What answers with tokens, by the end of its path, and whether they are also put out.
_WITH_TOKENS = {"/completions": True, "/responses": True, "/messages": True, "/embeddings": False}
# How Envoy writes the address of a listener of its own.
_INNER = "envoy://"
_USAGE_FIELDS = ("in", "out", "cached", "reasoning")
_DESCRIPTION = "/swagger.json"
_REFUSED = (DENIED, "rbac_access_denied")
# A body that says which endpoint is meant, and could not be held or read.
_UNREAD = ("request_payload_too_large", "plinth_unreadable")
_FOLDED = ("asked", "told")
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One request, as Envoy saw it. What nobody knows is None.

    `request_id` is what the caller got as `x-plinth-id`, and unique. `principal`, `team` and
    `key_id` come from a verified key. `endpoint`: whose address was asked; None for
    other addresses, for what the gate refused, as its caller must not learn from it what there is,
    and for what is at nobody's charge: candidates, which the platform checks, and a flow's
    description of itself.
    `deployment`: who the request was meant for; `was_served` tells whether anybody had it, as
    `attempts` also counts those at which nobody was there. `upstream`: the socket of the last one
    that was tried; None in the lines of an older Plinth. `flags`: Envoy's, empty when all went
    well. `path` has no query. `rx`, `tx`: bytes of the bodies read from and sent to the caller.

    Lines of an older Plinth have none of the rest. `is_spilling`: several deployments could be
    tried one after the other. `first_ms`: until the answer began. `model`: as the caller wrote it,
    `answered`: as the answer names it. `usage`: the object that the provider reported. `events`: of
    a stream, how many passed. `max_tokens`: as the caller wrote it. `reservation`: the guard's.
    `unserved`: why we answered in a deployment's place, which an inner part of the gateway did.
    `owner`: of a copied request, the team of the endpoint, which is charged for it. `line`: which
    of its requests it is, as the caller says: the same for each time that it is sent.
    """

    request_id: str
    started_at: datetime
    duration_ms: int
    principal: str | None
    team: str | None
    key_id: str | None
    endpoint: str | None
    deployment: str | None
    method: str | None
    path: str | None
    code: int
    details: str | None
    flags: str
    rx: int
    tx: int
    attempts: int
    upstream: str | None = None
    is_spilling: bool = False
    first_ms: int | None = None
    is_stream: bool = False
    model: str | None = None
    answered: str | None = None
    usage: Mapping[str, Any] | None = None
    events: int | None = None
    max_tokens: int | None = None
    reservation: str | None = None
    unserved: str | None = None
    owner: str | None = None
    line: str | None = None

    @property
    def external(self) -> str | None:
        """The name of the deployment, when another than Plinth runs it; else None."""
        prefix = f"{self.endpoint}."
        is_external = self.deployment is not None and self.deployment.startswith(prefix)
        return self.deployment.removeprefix(prefix) if self.deployment and is_external else None

    @property
    def refusal(self) -> str | None:
        """Why it was refused before any endpoint had it; None for what reached one.

        As `gate.py` names it; of a body that was to say which endpoint, Envoy's own word.
        """
        details = self.details or ""
        if details.startswith(f"{DENIED}["):
            return details[len(DENIED) + 1 : -1]
        return details if self.endpoint is None and details in _UNREAD else None

    @property
    def was_spilled(self) -> bool:
        """Tell whether another deployment served it than the one that was asked first."""
        return self.is_spilling and self.attempts > 1 and self.was_served

    @property
    def tokens(self) -> TokenCount | None:
        """The tokens of a request that somebody served; None where there are none to count.

        Estimated where the answer went well, or broke off, and reports none. An error counts none.
        """
        path = self.path or ""
        if not path.startswith(_OPENAI_PATHS) or not self.was_served:
            return None
        reported = None if self.usage is None else read_usage_object(self._final(self.usage))
        has_output = _WITH_TOKENS.get(f"/{path.rpartition('/')[2]}")
        if has_output is None or (reported is None and not self._is_answer):
            # Speech and pictures: how many tokens their bytes are, nobody can tell.
            return (
                None
                if reported is None
                else TokenCount(reported.usage, reported.clipped, reported.doubts)
            )
        seen = Seen(
            request_bytes=self.rx,
            answer_bytes=self.tx if self._has_begun else 0,
            is_stream=self.is_stream,
            events=self.events,
            max_tokens=self.max_tokens,
            has_output=has_output,
        )
        return count_tokens(reported, seen)

    def _final(self, usage: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave out what is no final number: Anthropic's streams begin with an output of 1."""
        is_cut = self.is_stream and bool(self.flags)
        if not is_cut or "output_tokens" not in usage or "total_tokens" in usage:
            return usage
        return {name: number for name, number in usage.items() if name != "output_tokens"}

    @property
    def _has_begun(self) -> bool:
        return HTTPStatus.OK <= self.code < HTTPStatus.MULTIPLE_CHOICES

    @property
    def _is_answer(self) -> bool:
        """Tell whether a server worked on it, as far as can be known: not when it refused."""
        return self._has_begun or not _GIVEN_UP.isdisjoint(self.flags.split(","))

    @property
    def replica(self) -> int | None:
        """The replica of the deployment that had the request last, by its socket's name."""
        socket = (self.upstream or "").rpartition("/")[2]
        run, _, number = socket.removesuffix(".sock").rpartition(".")
        is_replica = run == self.deployment and number.isascii() and number.isdigit()
        return int(number) if is_replica else None

    @property
    def was_served(self) -> bool:
        """Tell whether a server answered, or had the request when the caller or we gave up.

        An answer that broke off in the middle counts: the caller has its beginning. A server that
        died before it answered does not, nor one that had not loaded its model. When the request
        was given up after a second attempt, nobody knows whether a server had it: no.
        """
        if self.unserved is not None:
            return False
        if self.details == _ANSWERED:
            # Answers are repeated only where the server says that it has begun nothing.
            return _RETRIES_EXCEEDED not in self.flags.split(",")
        if (self.details or "").startswith(_BROKE_OFF):
            return True
        is_given_up = not _GIVEN_UP.isdisjoint(self.flags.split(","))
        return is_given_up and (self.attempts == 1 or 0 < self.code < _FIRST_OF_ENVOYS_OWN)


def parse(chunk: bytes) -> tuple[list[AccessRecord], int]:
    """Return the records of the whole lines in `chunk`, and how many bytes those lines have.

    A last line that is half written stays for the next time. Lines that are no record are passed
    over: a crash may leave one, and one bad line must not stop all metering.
    """
    consumed = chunk.rfind(b"\n") + 1
    records = (_record(line) for line in chunk[:consumed].split(b"\n") if line)
    return [record for record in records if record is not None], consumed


def _record(line: bytes) -> AccessRecord | None:
    try:
        value: Any = unfolded(read_line(line))
        route, cluster = value["route"] or "", value["cluster"] or ""
        if (_text(value["details"]) or "").startswith(_REFUSED):
            # Its team sees this line: it must not tell whether there is what was asked for.
            route, cluster, value = "", "", {**value, "served": None}
        flags = value["flags"] or ""
        return AccessRecord(
            request_id=_text(value["id"]) or "",
            started_at=datetime.fromtimestamp(float(value["start"]), UTC),
            duration_ms=int(value["ms"]),
            principal=_text(value["principal"]),
            team=_text(value["team"]),
            key_id=_text(value["key"]),
            endpoint=None if _is_description(value) else _after(ENDPOINT_ROUTE, route),
            deployment=_text(value.get("served")) or _after(DEPLOYMENT, cluster),
            method=_text(value["method"]),
            path=_text(value["path"]),
            code=int(value["code"]),
            details=_text(value["details"]),
            flags="" if flags == "-" else flags,
            rx=int(value["rx"]),
            tx=int(value["tx"]),
            attempts=int(value["attempts"]),
            upstream=_text(value.get("upstream")),
            is_spilling=cluster.startswith(_WAY),
            first_ms=_number(value.get("first_ms")),
            is_stream=value.get("stream") in (True, "true"),
            model=_name(value.get("model")),
            answered=_name(value.get("answered")),
            usage=_usage(value),
            events=_number(value.get("events")),
            max_tokens=_number(value.get("max")),
            reservation=_text(value.get("rid")),
            unserved=_text(value.get("unserved")) if _is_inner(value) else None,
            owner=_text(value.get("owner")),
            line=_text(value.get("line")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return None


def unfolded(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a line's fields, those among them that stand together in one text of JSON.

    `asked`: what the request wants, `stream`, `max` and `model`. `told`: what its answer says of
    itself, `answered`, `usage`, `usage_first` and `events`. A text that is no JSON says nothing.
    """
    parts = [_object(value.get(name)) or {} for name in _FOLDED]
    return {**value, **parts[0], **parts[1]} if any(parts) else value


def _is_description(value: Mapping[str, Any]) -> bool:
    """Tell whether it only asks a flow how it is called, as `plinth flow test` does before it asks.

    The path is what the flow is sent, behind `/flows/NAME`; no endpoint of models has this one.
    """
    return bool(value["method"] == "GET" and value["path"] == _DESCRIPTION)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _is_inner(value: Mapping[str, Any]) -> bool:
    """Tell whether the answer came through an inner part of the gateway, which says who served.

    A model's server that says so itself, at its own socket, would have its answers for nothing.
    """
    return (_text(value.get("upstream")) or "").startswith(_INNER)


def _name(value: Any) -> str | None:
    """Return what a caller or a provider calls a model: a text, of any length and content."""
    return value[:_LONGEST_NAME] if isinstance(value, str) and value.isprintable() else None


def _number(value: Any) -> int | None:
    """Return a number that Envoy wrote, as one or as text; None for anything else."""
    try:
        return None if value is None else int(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _usage(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the usage that the provider reported: the object, its text, or single numbers.

    Of a stream, the last event that reports some tells the rest of what the first one told.
    """
    first, last = _object(value.get("usage_first")), _object(value.get("usage"))
    if last is not None:
        return {**(first or {}), **last}
    single = {name: value[name] for name in _USAGE_FIELDS if value.get(name) is not None}
    return single or None


def _object(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, Mapping) else None


def _after(prefix: str, name: str) -> str | None:
    return name.removeprefix(prefix) if name.startswith(prefix) else None
