"""The gate: who may use a route, as the route says, and which keys are refused whatever it says.

It is a filter of our own, in `native/`, which knows what each key says that it had verified. A
route that says nothing is closed, so that a forgotten one is a refusal and not a hole.
Where a body names the endpoint, the filter that reads it (`openai_filter.py`) asks the same of the
endpoint's own rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from plinth.domain.serving import TrafficPolicy
from plinth.gateway.envoy_types import FILTER, Json, config, file_source
from plinth.gateway.module import MODULE_FILTER, module_filter, module_settings
from plinth.gateway.openai_filter import OPENAI_FILTER
from plinth.gateway.state import Writers

GATE = "plinth.gate"
# The folder of its file.
GATE_KIND = "gate"
# Why a request is refused, as the access log says it behind `names.DENIED`.
REVOKED, OTHER_PAGE, TWO_KEYS = "revoked", "other-page", "two-keys"
NO_KEY, EXPIRED, FORGED, UNVERIFIED = "no-key", "key-expired", "key-forged", "unverified"
NOT_GRANTED, NO_WRITER = "none", "no-writer"
TOO_LARGE, OWN_SIZE = "too-large", "too-large-here"

_GATE_PART, _GRANTED_PART = "gate", "granted"
_ANYBODY, _EVERYBODY = "anybody", "everybody"
# At least so many of the keys that were used last, for each of Envoy's threads: 0.4 kB for each.
_REMEMBERED_KEYS = 65_536
_NAME = re.compile(r"[^\s]+")


def gate_source(folder: str) -> Json:
    """Return the filter in the listener: it is taken from its own file.

    A changed listener would keep the revoked keys of before for every connection that is already
    open, this reaches them at once.
    """
    return {
        "name": GATE,
        "config_discovery": {
            "config_source": file_source(folder, GATE_KIND),
            "type_urls": [config(MODULE_FILTER)["@type"]],
        },
    }


def gate_filter(revoked: Iterable[str], jwks: str) -> Json:
    """Return the filter, which refuses the keys with these ids, and those of other signing keys.

    `jwks`: the signing keys that count, a JWKS document as text.
    """
    signers = [str(each["kid"]) for each in json.loads(jwks)["keys"]]
    named = [("remember", [str(_REMEMBERED_KEYS)]), ("signer", signers), ("revoked", revoked)]
    lines = [f"{word} {name}" for word, names in named for name in _checked(sorted(set(names)))]
    return {"@type": FILTER, **module_filter(GATE, _GATE_PART, "\n".join(lines))}


def allow_anybody() -> Json:
    """Return the settings of a route that needs no key, and takes no notice of one."""
    return _at_gate([_ANYBODY])


def allow_all() -> Json:
    """Return the settings of a route that every holder of a valid key may use."""
    return _at_gate([_EVERYBODY])


def allow_only(principals: Sequence[str], teams: Sequence[str], *, most: int | None = None) -> Json:
    """Return the settings of a route that only these principals and teams may use.

    `most`: bytes of a body that passes piece by piece, without anybody holding it; one that does
    not say its length is refused too, as nobody would count it before it has passed.
    """
    rules = _callers(principals, teams)
    if not rules:
        return {}
    if most is not None:
        name = TOO_LARGE if most == TrafficPolicy().max_body else OWN_SIZE
        rules.append(f"most {most} {name}")
    return _at_gate(rules)


def allow_named(principals: Sequence[str], teams: Sequence[str]) -> Json:
    """Return the settings of the host of an endpoint whose name stands in the body."""
    rules = _callers(principals, teams)
    return {OPENAI_FILTER: _settings(rules)} if rules else {}


def allow_visitors(principals: Sequence[str], teams: Sequence[str]) -> Json:
    """Return the settings of a route that these people may use, and no run with its key."""
    rules = _callers(principals, teams)
    return _at_gate([*rules, "no-runs"]) if rules else {}


def allow_writers(writers: Sequence[Writers]) -> Json:
    """Return the settings of a route that runs may use, and for each team its writers.

    A principal counts only with a key of the team: the same key decides the workspace.
    """
    rules = ["runs", f"otherwise {NO_WRITER}"]
    rules += _line("teams", [each.team for each in writers if each.everybody])
    for each in writers:
        if each.principals and not each.everybody:
            _checked([each.team])
            rules += _line(f"in {each.team}", each.principals)
    return _at_gate(rules)


def _callers(principals: Sequence[str], teams: Sequence[str]) -> list[str]:
    return [*_line("principals", principals), *_line("teams", teams)]


def _line(word: str, names: Iterable[str]) -> list[str]:
    found = sorted(set(names))
    return [" ".join([word, *_checked(found)])] if found else []


def _checked(names: list[str]) -> list[str]:
    """Raise ValueError for a name that would be two, or none."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"`{name}` holds a space, so the gateway cannot keep it")
    return names


def _at_gate(rules: Sequence[str]) -> Json:
    return {GATE: _settings(rules)}


def _settings(rules: Sequence[str]) -> Json:
    return module_settings(_GRANTED_PART, "\n".join(rules))
