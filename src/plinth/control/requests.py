"""What one line of the gateway's log says of usage, and what it adds to the counters.

Pure, and of the line alone: read again, it says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus

from plinth.domain.request_batch import is_sender
from plinth.domain.token_count import TokenCount
from plinth.domain.tokens import TokenMeter
from plinth.domain.usage import Meter
from plinth.gateway.access_log import AccessRecord, parse
from plinth.metering.counters import Family, Kind, Series, observed
from plinth.metering.journal import Line, UsageDraft

# What passes by itself: `runtimes/requestrunner` sends it again.
_PASSING = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS))
_METERS = {
    TokenMeter.INPUT: Meter.INPUT_TOKENS,
    TokenMeter.OUTPUT: Meter.OUTPUT_TOKENS,
    TokenMeter.CACHED_INPUT: Meter.CACHED_INPUT_TOKENS,
    TokenMeter.REASONING: Meter.REASONING_TOKENS,
}
# Seconds; above the last one is what a person has given up waiting for.
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

REQUESTS = Family(
    "plinth_requests_total",
    Kind.COUNTER,
    "Requests to endpoints by class of the answer's code; none: there was no answer.",
)
DURATION = Family(
    "plinth_request_duration_seconds",
    Kind.HISTOGRAM,
    "From a request's first byte to its answer's last, where a deployment had it.",
    _BOUNDS,
)
FIRST = Family(
    "plinth_request_first_byte_seconds",
    Kind.HISTOGRAM,
    "From a request's first byte to its answer's first: of a stream, the first token.",
    _BOUNDS,
)
ATTEMPTS = Family(
    "plinth_request_attempts_total",
    Kind.COUNTER,
    "How often requests were tried, by the deployment that had them last.",
)
SPILLED = Family(
    "plinth_spilled_requests_total",
    Kind.COUNTER,
    "Requests that another deployment served than the one that was asked first.",
)
TOKENS = Family(
    "plinth_tokens_total",
    Kind.COUNTER,
    "Tokens by meter; cached input is part of the input, reasoning of the output.",
)
ESTIMATED = Family(
    "plinth_estimated_tokens_total", Kind.COUNTER, "Of the tokens, those that nobody reported."
)
DOUBTS = Family(
    "plinth_doubted_usage_total",
    Kind.COUNTER,
    "Numbers of tokens that providers reported and that cannot be true.",
)
SHADOWS = Family(
    "plinth_shadow_requests_total", Kind.COUNTER, "Copies of requests, which no caller sees."
)
SHADOW_TOKENS = Family("plinth_shadow_tokens_total", Kind.COUNTER, "Tokens of copies of requests.")
OTHERS = Family(
    "plinth_other_requests_total",
    Kind.COUNTER,
    "Requests that were for no endpoint: the API, MLflow, and addresses that lead nowhere.",
)
FAMILIES = (
    *(REQUESTS, DURATION, FIRST, ATTEMPTS, SPILLED, TOKENS, ESTIMATED, DOUBTS),
    *(SHADOWS, SHADOW_TOKENS, OTHERS),
)


def read_request(line: bytes) -> Line:
    """Read a line of the access log: usage of whoever called, none when no model served it.

    Raises ValueError for a line that is no record.
    """
    record = _record(line)
    if record.endpoint is None:
        return Line(counts={_series(OTHERS, code=_code(record)): 1.0})
    tokens = record.tokens
    counts = {**_traffic(record), **_token_counts(record, tokens)}
    is_again = is_sender(record.principal) and _is_asked_again(record)
    if record.team is None or not record.was_served or is_again:
        return Line(counts=counts)
    return Line(_drafts(record, tokens, team=record.team), counts)


def read_shadow(line: bytes) -> Line:
    """Read a line of the log of copied requests: usage of the team that owns the endpoint.

    It is told apart from the caller's by an id of its own, and counted apart everywhere. A line
    that does not say whose endpoint it is charges nobody. Raises ValueError for what is no record.
    """
    record = _record(line)
    if record.endpoint is None:
        return Line()
    tokens, labels = record.tokens, _labels(record)
    labels.pop("team")
    counts = {_series(SHADOWS, **labels, code=_code(record)): 1.0}
    for meter, number in _quantities(tokens).items():
        counts[_series(SHADOW_TOKENS, **labels, meter=meter)] = float(number)
    if record.owner is None or not record.was_served:
        return Line(counts=counts)
    return Line(_drafts(record, tokens, team=record.owner, is_shadow=True), counts)


def _record(line: bytes) -> AccessRecord:
    records, _ = parse(line.rstrip(b"\n") + b"\n")
    if not records:
        raise ValueError("not a record of the access log")
    return records[0]


def _drafts(
    record: AccessRecord, tokens: TokenCount | None, *, team: str, is_shadow: bool = False
) -> tuple[UsageDraft, ...]:
    """Return the usage of a request that was served: itself, then its tokens by meter."""
    estimated = tokens.estimated if tokens is not None else frozenset()
    quantities = {Meter.REQUESTS: 1, **_quantities(tokens)}
    # Several copies of one request are several requests.
    copy_id = f"shadow/{record.deployment}/{record.request_id}"
    external, replica = record.external, record.replica
    ended_at = record.started_at + timedelta(milliseconds=record.duration_ms)
    return tuple(
        UsageDraft(
            meter=meter,
            quantity=float(quantity),
            team=team,
            workload=f"endpoint/{record.endpoint}",
            started_at=record.started_at,
            ended_at=ended_at,
            principal=None if is_shadow else record.principal,
            run=None if external else record.deployment,
            request_id=copy_id if is_shadow else _request_id(record),
            replica=replica,
            deployment=external,
            model=record.answered,
            estimated=meter.value in estimated,
            shadow=is_shadow,
        )
        for meter, quantity in quantities.items()
    )


def _is_asked_again(record: AccessRecord) -> bool:
    """Tell whether the sender of a batch asks this again: only the last answer is charged."""
    is_whole = not record.flags
    has_failed = record.code in _PASSING or record.code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return not is_whole or has_failed


def _request_id(record: AccessRecord) -> str:
    """Return what the ledger knows a request by: what it has under that name already is not added.

    The sender of a batch may send a line twice, when it was killed between the answer and its own
    note of it. It says which line that is, and the ledger counts it once. Others are not believed:
    who says the same of each request would be charged for one.
    """
    is_own = (record.line or "").startswith(f"{record.principal}-")
    if record.line is not None and is_own and is_sender(record.principal):
        return record.line
    return record.request_id


def _quantities(tokens: TokenCount | None) -> dict[Meter, int]:
    """Return the tokens by meter, without those of which there were none."""
    if tokens is None:
        return {}
    return {meter: tokens.usage[each] for each, meter in _METERS.items() if tokens.usage[each]}


def _traffic(record: AccessRecord) -> Mapping[Series, float]:
    labels = _labels(record)
    counts = {_series(REQUESTS, **labels, code=_code(record)): 1.0}
    if record.attempts and record.deployment:
        counts[_series(ATTEMPTS, **labels)] = float(record.attempts)
    if record.was_spilled:
        counts[_series(SPILLED, **labels)] = 1.0
    if not record.was_served:
        return counts
    # By deployment only: with the teams there would be too many.
    place = {name: labels[name] for name in ("endpoint", "deployment")}
    counts |= observed(_series(DURATION, **place), record.duration_ms / 1000, _BOUNDS)
    if record.first_ms is not None:
        counts |= observed(_series(FIRST, **place), record.first_ms / 1000, _BOUNDS)
    return counts


def _token_counts(record: AccessRecord, tokens: TokenCount | None) -> Mapping[Series, float]:
    counts: dict[Series, float] = {}
    labels = _labels(record)
    for meter, number in _quantities(tokens).items():
        counts[_series(TOKENS, **labels, meter=meter)] = float(number)
        if tokens is not None and meter.value in tokens.estimated:
            counts[_series(ESTIMATED, **labels, meter=meter)] = float(number)
    if tokens is not None and tokens.doubts:
        counts[_series(DOUBTS, **labels)] = float(len(tokens.doubts))
    return counts


def _labels(record: AccessRecord) -> dict[str, str]:
    return {
        "team": record.team or "",
        "endpoint": record.endpoint or "",
        "deployment": record.deployment or "",
    }


def _series(family: Family, **labels: str) -> Series:
    return Series(family.name, tuple(labels.items()))


def _code(record: AccessRecord) -> str:
    """Return the class of the answer's code; one that was never sent has none."""
    if record.code < HTTPStatus.CONTINUE:
        return "none"
    return f"{record.code // 100}xx"
