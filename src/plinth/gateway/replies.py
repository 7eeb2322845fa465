"""The answers that Envoy gives by itself to callers of the gateway, in our shapes of an error.

A person whose browser asks for MLflow's pages gets a page.
"""

from __future__ import annotations

from plinth.domain.serving import TrafficPolicy
from plinth.domain.web_page import PAGE_PATTERN
from plinth.gateway.browser import OTHER_PAGE_POLICY, STRANGE_PAGE_POLICY
from plinth.gateway.envoy_types import Json, first_of, header
from plinth.gateway.gate import (
    EXPIRED,
    NO_KEY,
    NO_WRITER,
    OTHER_PAGE,
    OWN_SIZE,
    REVOKED,
    TOO_LARGE,
    TWO_KEYS,
    UNVERIFIED,
)
from plinth.gateway.identity import (
    ID_HEADER,
    KEY_HEADER,
    KEY_HEADERS,
    TEAM_HEADER,
)
from plinth.gateway.model_routes import NOTHING_GRANTED
from plinth.gateway.openai_filter import UNREADABLE
from plinth.gateway.reply import (
    BODY,
    OUTSIDE,
    Reply,
    all_of,
    any_of,
    denied_by,
    details,
    holds,
    kept_out,
    mapper,
    not_sent,
    sent,
    status,
)
from plinth.gateway.told import BODY_FIELD, LIMITS_FIELD, SAYS_BODY, size_words
from plinth.gateway.unserved import server_replies
from plinth.kit.page import CONTENT_TYPE, HEADERS, page

_LIMITED, _NO_ANSWER = 429, 502
_NEW_KEY = "send `Authorization: Bearer plk_...`; `plinth keys create` makes a key"
_TEAM, _KEY = f"%REQ({TEAM_HEADER})%", f"%REQ({KEY_HEADER})%"
_PIECES = "send the body whole, not in chunks; clients do so when they are given all of it"
_LESS = "send less at once; `max_body` in the endpoint's file says how much it takes"


def local_replies() -> Json:
    """Return the configuration of Envoy's own answers."""
    refusals = (*_about_requests(), *_about_sizes(), *_about_keys(), *_about_grants())
    replies = (*refusals, *server_replies())
    return {
        "mappers": [
            *_pages(),
            _guard_reply(),
            *(
                mapper(reply, shape, [_identity(), *_waiting(reply)])
                for shape in OUTSIDE
                for reply in replies
            ),
            _others(),
        ]
    }


def _about_keys() -> tuple[Reply, ...]:
    """Say what is wrong with a key; the codes are those of `access.tokens`."""
    # On pages Envoy's own filter for keys says it, elsewhere the gate.
    missing, expired = (
        any_of([details(f"jwt_authn_access_denied{{Jwt_is_{what}}}"), kept_out(reason)])
        for what, reason in (("missing", NO_KEY), ("expired", EXPIRED))
    )
    # Whatever it is, it may be somebody's secret: it is not repeated.
    strange = all_of([missing, any_of([sent(each) for each in KEY_HEADERS])])
    # The gate answers 403, but a revoked key is nobody's key.
    revoked, other_page = kept_out(REVOKED), _other_page()
    damaged = "this key was not made by this Plinth, or it was changed or cut on its way"
    no_key = "what this request carries is no key of Plinth: those begin with `plk_`"
    return (
        Reply(401, code="key_malformed", message=no_key, hint=_NEW_KEY, filters=(strange,)),
        Reply(
            401,
            code="unauthenticated",
            message="this request carries no key",
            hint=_NEW_KEY,
            filters=(missing,),
        ),
        Reply(
            401,
            code="key_expired",
            message="this key has expired",
            hint=_NEW_KEY,
            filters=(expired,),
        ),
        _two_keys(),
        Reply(401, code="key_forged", message=damaged, hint=_NEW_KEY),
        Reply(
            503,
            code="unavailable",
            message="the gateway could not verify this key just now",
            hint="try again",
            filters=(kept_out(UNVERIFIED),),
            names_request=True,
        ),
        Reply(
            403,
            code="key_revoked",
            message="this key was revoked",
            hint=_NEW_KEY,
            filters=(revoked,),
            answer=401,
        ),
        Reply(
            403,
            code="unauthenticated",
            message="this is a browser's key, which counts on the page that it signed in to",
            hint=_NEW_KEY,
            filters=(other_page,),
            answer=401,
        ),
    )


def _two_keys() -> Reply:
    return Reply(
        401,
        code="unauthenticated",
        message="this request carries two keys, one beside the other",
        hint="send one key, in one header",
        filters=(kept_out(TWO_KEYS),),
    )


def _other_page() -> Json:
    """Match a browser's key where it does not count: on another page, or where none is."""
    return any_of([denied_by(OTHER_PAGE_POLICY), kept_out(OTHER_PAGE)])


def _about_grants() -> tuple[Reply, ...]:
    """Say what a key may not do."""
    no_writer, strange_page = kept_out(NO_WRITER), denied_by(STRANGE_PAGE_POLICY)
    team = f"team `{_TEAM}`"
    return (
        Reply(
            403,
            code="denied",
            message="this key may read in MLflow and not change anything there: this needs role "
            f"`contributor` on {team}",
            hint=f"an operator of {team} can grant the role",
            filters=(no_writer,),
        ),
        Reply(
            403,
            code="strange_page",
            message="another page made this browser ask, and who signed in did not",
            hint="open the page itself; programs send `Authorization: Bearer plk_...`",
            filters=(strange_page,),
        ),
        Reply(
            403,
            code="denied",
            message=NOTHING_GRANTED,
            hint="check the name, and the address: `/v2/models/NAME` for models of the Open "
            "Inference Protocol, `/v1` for those that speak OpenAI's; the operator of the team "
            "that owns it can grant you its use",
        ),
    )


def _about_requests() -> tuple[Reply, ...]:
    # What reads the body says itself what it does not understand.
    read = details(UNREADABLE)
    # Envoy takes 100, if it is not told otherwise.
    too_many = any_of([details(f"{http}.too_many_headers") for http in ("http1", "http2")])
    return (
        _limit_reply(),
        Reply(400, code="invalid", message=BODY, hint="send one JSON object", filters=(read,)),
        Reply(
            400,
            code="invalid",
            message="the gateway cannot read this request: %RESPONSE_CODE_DETAILS%",
            hint="each request needs one `host` and at most one `content-length`, a path of ASCII "
            "without encoded slashes, and header names without `_`",
        ),
        Reply(
            404,
            code="not_found",
            message=BODY,
            hint="`/api/v1`, `/v1` and `/v2/models/NAME` are served here",
        ),
        Reply(
            408,
            code="timeout",
            message="the request did not arrive in time",
            hint="send it again, faster",
        ),
        Reply(415, code="invalid", message=BODY, hint="clients of OpenAI send it so by themselves"),
        Reply(
            431,
            code="too_large",
            message="the request has more than 100 headers",
            hint="send fewer headers",
            filters=(too_many,),
        ),
        Reply(
            431,
            code="too_large",
            message="the headers are larger than 32 KiB",
            hint="send shorter ones, or fewer",
        ),
    )


def _about_sizes() -> tuple[Reply, ...]:
    """Say how large a body may be: where one passes, where it is held, and for one endpoint."""
    usual, own = kept_out(TOO_LARGE), kept_out(OWN_SIZE)
    largest = f"the body is larger than {size_words(TrafficPolicy().max_body)}"
    unknown = "the body does not say its `content-length`, and such a one is not taken here"
    held = all_of([details("request_payload_too_large"), holds(SAYS_BODY)])
    alike = f"larger than {BODY_FIELD}"
    return (
        _too_large(403, unknown, any_of([usual, own]), not_sent("content-length"), hint=_PIECES),
        _too_large(403, largest, usual),
        _too_large(403, f"the body is {alike}", own),
        _too_large(413, BODY, details("direct_response")),
        _too_large(
            413,
            f"the body is {alike}, the most that is taken at this address",
            held,
            hint="send less at once; `max_body` in an endpoint's file says how much it takes, at "
            "this address 16 MiB at most",
        ),
        _too_large(413, "the request is larger than is accepted", hint="send less at once"),
    )


def _too_large(status: int, message: str, *filters: Json, hint: str = _LESS) -> Reply:
    return Reply(status, code="too_large", message=message, hint=hint, filters=filters, answer=413)


def _limit_reply() -> Reply:
    """Say which limits of requests a minute concern the caller, and when there is room again.

    Envoy does not say which of several it was: `x-ratelimit-limit...` has its number. What the
    guard says of tokens has the same type, code and members (`guard/answer.py`).
    """
    room = "%RESP(RETRY-AFTER)%"
    return Reply(
        429,
        code="limit_reached",
        message=f"the requests a minute of `%ROUTE_NAME%` are used up for team `{_TEAM}` with key "
        f"`{_KEY}`: {LIMITS_FIELD}room again in {room} s",
        hint="wait as long as `retry-after` says; the team that owns the endpoint can raise limits",
        filters=(details("local_rate_limited"),),
        openai={
            "type": "requests",
            "code": "rate_limit_exceeded",
            "plinth": {
                "route": "%ROUTE_NAME%",
                "team": _TEAM,
                "key": _KEY,
                "limits": LIMITS_FIELD,
                "resets_in_s": "%TYPED_CEL(int(response.headers['retry-after']))%",
            },
        },
        omits_empty=True,
    )


def _pages() -> list[Json]:
    """Answer a person who is not signed in, or for whom nothing answers."""
    not_signed_in = page(
        "This browser is not signed in",
        "It never was, or its sign-in has ended. On a terminal, this signs it in:",
        # The host is one of ours: it holds no sign of HTML.
        command="plinth open %REQ(:AUTHORITY)%",
    )
    away = page(
        "This page does not answer yet",
        "It may still be starting. Try again in a moment; on a terminal, this shows what runs:",
        command="plinth status",
    )
    return [
        _page([status("EQ", 401)], 401, not_signed_in),
        _page([status("EQ", 403), kept_out(REVOKED)], 401, not_signed_in),
        _page([status("EQ", 403), _other_page()], 401, not_signed_in),
        _page([status("EQ", 503)], 503, away),
    ]


def _page(conditions: list[Json], code: int, text: str) -> Json:
    expression = rf"{PAGE_PATTERN}\.localhost(?::\d+)?"
    host = {"name": ":authority", "string_match": {"safe_regex": {"regex": expression}}}
    wanted = {"name": "accept", "string_match": {"contains": "text/html"}}
    headers = [{"header_filter": {"header": each}} for each in (host, wanted)]
    return {
        "filter": all_of([*conditions, *headers]),
        "status_code": code,
        "headers_to_add": [_identity(), *(header(*each) for each in HEADERS.items())],
        "body_format_override": {
            "text_format_source": {"inline_string": text},
            "content_type": CONTENT_TYPE,
        },
    }


def _waiting(reply: Reply) -> list[Json]:
    """Say when to try again."""
    is_away = reply.status is not None and reply.status >= _NO_ANSWER
    return [header("retry-after", "1")] if is_away else []


def _guard_reply() -> Json:
    """Leave what the guard says as it is: it knows which limit, of whom, and until when."""
    return {
        "filter": all_of([status("EQ", _LIMITED), details("request_rate_limited")]),
        "headers_to_add": [_identity()],
        "body_format_override": {"text_format_source": {"inline_string": BODY}},
    }


def _others() -> Json:
    """Say in every other answer, too, which request it was."""
    return {"filter": status("GE", 0), "headers_to_add": [_identity()]}


def _identity() -> Json:
    # A request that Envoy could not even read has no id of its own yet.
    request_id = {"command": "REQ", "param": "X-REQUEST-ID"}
    return header(ID_HEADER, first_of(request_id, "UNIQUE_ID"))
