"""How a request ended that no server answered in peace, in words for people. Pure.

Envoy notes flags and a reason, and an inner part of the gateway says why it answered in a server's
place. `gateway/unserved.py` says the same to callers.
"""

from __future__ import annotations

from http import HTTPStatus

from plinth.gateway import gate
from plinth.gateway.access_log import AccessRecord
from plinth.gateway.addresses import METADATA_POLICY, PRIVATE_POLICY

_GONE = "DC"
_BROKE_OFF = "upstream_reset_after_response_started"
# By the reason, whole: where Envoy answered by itself, and where an inner part of it did.
_REASONS = {
    "local_rate_limited": "a limit of requests is used up",
    "request_rate_limited": "a limit of tokens is used up",
    "plinth_unreadable": "the gateway could not read the body",
    "request_payload_too_large": "the body is too large",
    "credential-refused": "the provider refuses its credential",
    "credential-wanted": "the provider wants a credential, and the file names none",
    "failed_to_inject_credential": "the credential has not reached the gateway",
    "asked-to-wait": "the server asked to be left alone for a while",
    "no_healthy_upstream": "no server is ready",
    "cluster_not_found": "the gateway knows no server yet, or no longer",
    "response_timeout": "no answer in time",
    "upstream_per_try_timeout": "no answer in time",
    "stream_idle_timeout": "nothing came for too long",
    f"rbac_access_denied_matched_policy[{PRIVATE_POLICY}]": "the server has a private address",
    f"rbac_access_denied_matched_policy[{METADATA_POLICY}]": "the server has a cloud's address",
}
# By the gate's reason.
_REFUSALS = {
    gate.NO_KEY: "no key",
    gate.TWO_KEYS: "two keys",
    gate.EXPIRED: "its key has expired",
    gate.FORGED: "its key is none of this Plinth's",
    gate.REVOKED: "its key was revoked",
    gate.OTHER_PAGE: "a browser's key of another page",
    gate.UNVERIFIED: "its key could not be verified just then",
    gate.NOT_GRANTED: "its key may not use this, or there is no such thing",
    gate.NO_WRITER: "its key may not write here",
    gate.TOO_LARGE: _REASONS["request_payload_too_large"],
    gate.OWN_SIZE: _REASONS["request_payload_too_large"],
}
# By what the reason holds; the first that fits counts.
_PARTS = {
    "overflow": "the server has all that it takes at once",
    "TLS_error": "the server's certificate is not trusted",
    "connection_timeout": "the connection failed",
    "connection_failure": "the connection failed",
    "timeout": "no answer in time",
    "connection_termination": "the server ended the connection before it answered",
    "remote_reset": "the server ended the connection before it answered",
    "protocol_error": "the server's answer is no HTTP",
}
# By Envoy's flags, where the reason says nothing that is known here.
_FLAGS = {
    "UT": "no answer in time",
    "UO": _PARTS["overflow"],
    "UH": _REASONS["no_healthy_upstream"],
    "NC": _REASONS["cluster_not_found"],
    "UF": "the connection failed",
    "UC": "the server ended the connection",
    "UR": "the server ended the connection",
    "LR": "the connection was ended",
    "UPE": "the server's answer is no HTTP",
    "SI": "nothing came for too long",
    "DT": "it lasted too long",
    "DPE": "the gateway could not read the request",
    "URX": "every attempt failed",
}


def outcome(record: AccessRecord) -> str | None:
    """Return why a request ended as it did; None where a server answered and all of it arrived."""
    flags = [flag for flag in record.flags.split(",") if flag]
    reason = record.unserved or record.details or ""
    has_begun = record.code >= HTTPStatus.OK
    if record.refusal is not None:
        known = _REFUSALS.get(record.refusal) or _REASONS.get(record.refusal)
        return known or "the gateway refused it"
    if _GONE in flags:
        return f"the caller went away {'in the middle of' if has_begun else 'before'} the answer"
    if reason.startswith(_BROKE_OFF):
        return "the server broke off in the middle of its answer"
    if record.was_served and not flags:
        return None
    if reason == "direct_response":
        return _said_by_us(record.code)
    known = _REASONS.get(reason) or next(
        (words for part, words in _PARTS.items() if part in reason), None
    )
    return known or next((_FLAGS[flag] for flag in flags if flag in _FLAGS), None) or reason or None


def _said_by_us(code: int) -> str:
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _REASONS["request_payload_too_large"]
    if code == HTTPStatus.LOOP_DETECTED:
        return "the server's address leads back to this Plinth"
    return "no deployment is ready"
