"""The answers that Envoy gives by itself, in our one shape of an error.

On `/v2` paths they have the shape that the Open Inference Protocol demands, on `/v1` and `/openai`
that of OpenAI's clients. A person whose browser asks for MLflow's pages gets a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from plinth.domain.traffic import TRACKING_HOST
from plinth.gateway.body_size import TOO_LARGE_POLICY
from plinth.gateway.browser import STRANGE_PAGE_POLICY
from plinth.gateway.envoy_types import Json, first_of, header, typed
from plinth.gateway.identity import (
    ID_HEADER,
    KEY_HEADER,
    NO_WRITER_POLICY,
    REVOKED_POLICY,
    TEAM_HEADER,
)
from plinth.gateway.model_routes import NOTHING_GRANTED
from plinth.kit.page import CONTENT_TYPE, HEADERS, page

# Envoy's flags for a request that got no answer from the server behind it.
_NO_ANSWER_FLAGS = ("UF", "UC", "UR", "LR", "UH", "UO", "NC", "URX", "UPE")
_BODY = "%LOCAL_REPLY_BODY%"
_LIMITED, _NO_ANSWER = 429, 502


@dataclass(frozen=True, slots=True)
class _Reply:
    """One kind of refusal. `status` is Envoy's own; `answer` replaces it where given."""

    status: int
    code: str
    message: str
    hint: str
    filters: tuple[Json, ...] = ()
    answer: int | None = None


class _Shape(Enum):
    """What an error looks like, and the addresses where it does."""

    V2 = r"/v2(?:[/?].*)?"
    OPENAI = r"/(?:v1|openai)(?:[/?].*)?"
    OURS = None


# What OpenAI's clients call the kind of an error; others are the caller's mistake.
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OURS_FROM = 500

_NEW_KEY = "send `Authorization: Bearer plk_...`; `plinth keys create` makes a key"
_RETRY = "try again; `plinth status` shows what runs"


def local_replies() -> Json:
    """Return the configuration of Envoy's own answers."""
    replies = _replies()
    return {
        "mappers": [
            *_pages(),
            _guard_reply(),
            *(_mapper(reply, shape) for shape in _Shape for reply in replies),
            _others(),
        ]
    }


def _replies() -> tuple[_Reply, ...]:
    return (*_about_requests(), *_about_keys(), *_about_servers())


def _about_keys() -> tuple[_Reply, ...]:
    """Say what is wrong with a key; the codes are those of `access.tokens`."""
    missing, expired = (
        _details(f"jwt_authn_access_denied{{Jwt_is_{what}}}") for what in ("missing", "expired")
    )
    # RBAC answers 403, but a revoked key is nobody's key.
    revoked = _denied_by(REVOKED_POLICY)
    no_writer, strange_page = _denied_by(NO_WRITER_POLICY), _denied_by(STRANGE_PAGE_POLICY)
    team = f"team `%REQ({TEAM_HEADER})%`"
    return (
        _Reply(401, "unauthenticated", "this request carries no key", _NEW_KEY, (missing,)),
        _Reply(401, "key_expired", "this key has expired", _NEW_KEY, (expired,)),
        _Reply(401, "key_forged", f"this is no key of this Plinth: {_BODY}", _NEW_KEY),
        _Reply(403, "key_revoked", "this key was revoked", _NEW_KEY, (revoked,), answer=401),
        _Reply(
            403,
            "denied",
            f"this key may read in MLflow and not change anything there: this needs role "
            f"`contributor` on {team}",
            f"an operator of {team} can grant the role",
            (no_writer,),
        ),
        _Reply(
            403,
            "strange_page",
            "another page made this browser ask, and who signed in did not",
            "open MLflow's own page; programs send `Authorization: Bearer plk_...`",
            (strange_page,),
        ),
        _Reply(
            403,
            "denied",
            NOTHING_GRANTED,
            "check the name, and the address: `/v2/models/NAME` for models of the Open Inference "
            "Protocol, `/v1` for those that speak OpenAI's; the operator of the team that owns it "
            "can grant you its use",
        ),
    )


def _about_requests() -> tuple[_Reply, ...]:
    # `openai.lua` says itself what it does not understand.
    read = _details("lua_response")
    limited = _details("local_rate_limited")
    too_large = _denied_by(TOO_LARGE_POLICY)
    return (
        _Reply(
            403,
            "too_large",
            "the body is larger than this model takes, or does not say its `content-length`",
            "the `max_body` of an endpoint says how much it takes",
            (too_large,),
            answer=413,
        ),
        _Reply(400, "invalid", _BODY, "send one JSON object", (read,)),
        _Reply(
            400,
            "invalid",
            "the gateway cannot read this request: %RESPONSE_CODE_DETAILS%",
            "send paths without encoded slashes, and header names without `_`",
        ),
        _Reply(404, "not_found", _BODY, "`/api/v1`, `/v1` and `/v2/models/NAME` are served here"),
        _Reply(408, "timeout", "the request did not arrive in time", "send it again, faster"),
        _Reply(413, "too_large", _BODY, "send less at once", (_details("direct_response"),)),
        _Reply(413, "too_large", "the request is larger than is accepted", "send less at once"),
        _Reply(415, "invalid", _BODY, "clients of OpenAI send it so by themselves"),
        _Reply(
            429,
            "limit_reached",
            f"a limit of requests a minute of `%ROUTE_NAME%` is used up for team "
            f"`%REQ({TEAM_HEADER})%` with key `%REQ({KEY_HEADER})%`",
            "`retry-after` says in how many seconds it is full again; the team that owns the "
            "endpoint can raise it",
            (limited,),
        ),
        _Reply(431, "too_large", "the headers are larger than 32 KiB", "send fewer headers"),
    )


def _about_servers() -> tuple[_Reply, ...]:
    no_answer = {"response_flag_filter": {"flags": list(_NO_ANSWER_FLAGS)}}
    server = "the server behind `%ROUTE_NAME%`"
    silent = f"{server} does not answer (%RESPONSE_FLAGS%)"
    return (
        _Reply(502, "unavailable", f"{server} gave an answer that is no HTTP", _RETRY),
        _Reply(503, "unavailable", silent, _RETRY, (no_answer,)),
        _Reply(503, "unavailable", _BODY, _RETRY),
        _Reply(504, "timeout", f"{server} did not answer in time", _RETRY),
    )


def _pages() -> list[Json]:
    """Answer a person who is not signed in, or for whom MLflow does not answer."""
    not_signed_in = page(
        "This browser is not signed in",
        "It never was, or its sign-in has ended. On a terminal, this signs it in:",
        command="plinth open mlflow",
    )
    away = page(
        "MLflow does not answer yet",
        "It may still be starting. Try again in a moment; on a terminal, this shows what runs:",
        command="plinth status",
    )
    return [
        _page([_status("EQ", 401)], 401, not_signed_in),
        _page([_status("EQ", 403), _denied_by(REVOKED_POLICY)], 401, not_signed_in),
        _page([_status("EQ", 503)], 503, away),
    ]


def _page(conditions: list[Json], status: int, text: str) -> Json:
    host = {"name": ":authority", "string_match": {"prefix": TRACKING_HOST}}
    wanted = {"name": "accept", "string_match": {"contains": "text/html"}}
    headers = [{"header_filter": {"header": each}} for each in (host, wanted)]
    return {
        "filter": {"and_filter": {"filters": [*conditions, *headers]}},
        "status_code": status,
        "headers_to_add": [_identity(), *(header(*each) for each in HEADERS.items())],
        "body_format_override": {
            "text_format_source": {"inline_string": text},
            "content_type": CONTENT_TYPE,
        },
    }


def _denied_by(policy: str) -> Json:
    return _details(f"rbac_access_denied_matched_policy[{policy}]")


def _details(exact: str) -> Json:
    """Match the reason that Envoy notes; RBAC sets its metadata only after it has answered."""
    expression = f"response.code_details == '{exact}'"
    return {
        "extension_filter": typed(
            "details",
            "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            expression=expression,
        )
    }


def _mapper(reply: _Reply, shape: _Shape) -> Json:
    conditions = [_status("EQ", reply.status), *reply.filters]
    if shape.value is not None:
        path = {"name": ":path", "string_match": {"safe_regex": {"regex": shape.value}}}
        conditions.append({"header_filter": {"header": path}})
    mapper: Json = {
        "filter": conditions[0]
        if len(conditions) == 1
        else {"and_filter": {"filters": conditions}},
        "headers_to_add": [_identity(), *_waiting(reply)],
        "body_format_override": {
            "json_format": _shaped(reply, shape),
            "content_type": "application/json",
        },
    }
    if reply.answer is not None:
        mapper["status_code"] = reply.answer
    return mapper


def _shaped(reply: _Reply, shape: _Shape) -> Json:
    if shape is _Shape.V2:
        # The protocol has one text only; where somebody looks in vain it says where to look.
        is_hidden = reply.message == NOTHING_GRANTED
        return {"error": f"{reply.message}: {reply.hint}" if is_hidden else reply.message}
    if shape is _Shape.OURS:
        return {"error": {"code": reply.code, "message": reply.message, "hint": reply.hint}}
    status = reply.answer or reply.status
    kind = "server_error" if status >= _OURS_FROM else "invalid_request_error"
    message = f"{reply.message} (hint: {reply.hint})"
    kind = _OPENAI_TYPES.get(status, kind)
    return {"error": {"message": message, "type": kind, "code": reply.code, "param": ""}}


def _waiting(reply: _Reply) -> list[Json]:
    """Say when to try again."""
    return [header("retry-after", "1")] if reply.status >= _NO_ANSWER else []


def _guard_reply() -> Json:
    """Leave what the guard says as it is: it knows which limit, of whom, and until when."""
    conditions = [_status("EQ", _LIMITED), _details("request_rate_limited")]
    return {
        "filter": {"and_filter": {"filters": conditions}},
        "headers_to_add": [_identity()],
        "body_format_override": {"text_format_source": {"inline_string": _BODY}},
    }


def _others() -> Json:
    """Say in every other answer, too, which request it was."""
    return {"filter": _status("GE", 0), "headers_to_add": [_identity()]}


def _status(operator: str, value: int) -> Json:
    # Envoy demands a runtime key, through which nobody changes the number.
    comparison = {"default_value": value, "runtime_key": "plinth.unused"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": comparison}}}


def _identity() -> Json:
    # A request that Envoy could not even read has no id of its own yet.
    request_id = {"command": "REQ", "param": "X-REQUEST-ID"}
    return header(ID_HEADER, first_of(request_id, "UNIQUE_ID"))
