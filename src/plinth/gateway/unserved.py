"""What callers are told when no server answered: why, in plain words, and what to do.

Envoy notes why as flags, of which each has a reply here. The gateway answers so itself, and its
inner listeners do before servers elsewhere (`inner.py`). Each says the request's id, by which
`plinth trace` and `plinth gateway tail` know it.
"""

from __future__ import annotations

from plinth.gateway.addresses import METADATA_POLICY, PRIVATE_POLICY
from plinth.gateway.envoy_types import Json, header
from plinth.gateway.external import ESCAPES_POLICY
from plinth.gateway.inner_names import UNSERVED_HEADER
from plinth.gateway.reply import (
    BODY,
    INSIDE,
    Reply,
    denied_by,
    details,
    flagged,
    holds,
    mapper,
)
from plinth.gateway.way_back import LOOP_STATUS

_SERVER = "the server behind `%ROUTE_NAME%`"
_RETRY = "try again; `plinth status` and `plinth get` show how it stands"


def server_replies() -> tuple[Reply, ...]:
    """Return what the gateway says where a server behind it gave no answer."""
    return (
        _unavailable(502, f"{_SERVER} gave an answer that is no HTTP"),
        *(_unavailable(503, text, condition) for condition, text in _reasons()),
        _unavailable(503, BODY),
        _late(),
    )


def inner_replies() -> list[Json]:
    """Return the rules of an inner listener, before servers elsewhere: the first that fits counts.

    None of them blames the caller's key, and each says in a header that no server answered.
    """
    why = {**header(UNSERVED_HEADER, "%RESPONSE_CODE_DETAILS%"), "append_action": "ADD_IF_ABSENT"}
    return [mapper(reply, shape, [why]) for reply in _inside() for shape in INSIDE]


def _inside() -> tuple[Reply, ...]:
    no_credential = Reply(
        None,
        code="unavailable",
        message="the credential of `%ROUTE_NAME%` has not reached the gateway",
        hint="the operator of the endpoint can set the secret; `plinth status` shows what runs",
        filters=(details("failed_to_inject_credential"),),
        answer=503,
        names_request=True,
    )
    private = Reply(
        None,
        code="unavailable",
        message=f"{_SERVER} has an address of this machine or its network",
        hint="the operator of Plinth can allow it: `allow_private_upstreams`",
        filters=(denied_by(PRIVATE_POLICY),),
        answer=502,
        names_request=True,
    )
    metadata = Reply(
        None,
        code="unavailable",
        message=f"{_SERVER} has an address at which a cloud answers for its machines",
        hint="its owner can name another server in `external.url`; that address is never asked",
        filters=(denied_by(METADATA_POLICY),),
        answer=502,
        names_request=True,
    )
    loop = Reply(
        LOOP_STATUS,
        code="loop",
        message=f"this request has been here before: the address of {_SERVER} leads back to this "
        "Plinth",
        hint="its owner can name another server in `external.url`, or the other endpoint's model",
        filters=(details("direct_response"),),
        names_request=True,
    )
    escapes = Reply(
        None,
        code="invalid",
        message=f"the query has a percent sign, which does not reach {_SERVER} as it is",
        hint="leave it out: models of other providers are asked by the path and the body",
        filters=(denied_by(ESCAPES_POLICY),),
        answer=400,
    )
    full = f"{_SERVER} has had its requests of this minute"
    return (
        no_credential,
        private,
        metadata,
        escapes,
        loop,
        _unavailable(None, full, details("local_rate_limited")),
        *(_unavailable(None, text, condition) for condition, text in _reasons()),
        _late(),
        _unavailable(None, f"{_SERVER} was not asked"),
    )


def _reasons() -> tuple[tuple[Json, str], ...]:
    """Return what each of Envoy's flags means; the first that fits counts."""
    distrusted = holds("response.code_details.contains('TLS_error')")
    return (
        (flagged("UO"), f"{_SERVER} has all the requests that it takes at once"),
        (flagged("NC"), "the gateway knows no server behind `%ROUTE_NAME%` yet, or no longer"),
        (flagged("UH"), "no server behind `%ROUTE_NAME%` is ready"),
        (distrusted, f"{_SERVER} has no certificate that is trusted"),
        (flagged("UF"), f"{_SERVER} cannot be reached: the connection failed"),
        (
            flagged("UC", "UR", "LR", "UPE", "URX"),
            f"{_SERVER} ended the connection before it answered",
        ),
    )


def _unavailable(status: int | None, text: str, *conditions: Json) -> Reply:
    return Reply(
        status,
        code="unavailable",
        message=text,
        hint=_RETRY,
        filters=conditions,
        names_request=True,
    )


def _late() -> Reply:
    return Reply(
        504,
        code="timeout",
        message=f"{_SERVER} did not answer in time",
        hint="try again, or ask for less; `timeouts` in the endpoint's file say how long it has",
        names_request=True,
    )
