"""The model that is served: whose it is, which server runs it where, and what a GPU is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from plinth.catalog.machine import LOCAL
from plinth.catalog.platforms import PlatformFacts, find_facts, platform_names
from plinth.catalog.servers import (
    OWN_SERVER,
    Match,
    ServerFacts,
    load_servers,
    match_of,
    servers_for,
)
from plinth.domain.mistake import nearest_name
from plinth.domain.need import Need
from plinth.domain.plan import Outcome, Verdict
from plinth.domain.platform import Function, ModelFormat
from plinth.planning.context import Placement
from plinth.planning.rules.rule import (
    Pillar,
    Rule,
    Scope,
    listed,
    not_ok,
    ok,
    set_field,
    unknown,
)

_SERVED: frozenset[Function] = frozenset({"online", "batch"})
# What MLflow has a flavour for: such a model can be logged with MLflow.
_MLFLOW_LOGS: frozenset[ModelFormat] = frozenset(
    {
        *("onnx", "torchscript", "tensorflow-savedmodel", "scikit-learn", "xgboost"),
        *("lightgbm", "hugging-face", "python"),
    }
)
_NO_ROW = "a row in servers.yaml would say it"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is said of a server and a format on a platform. `change`: a field and its value."""

    outcome: Outcome
    reason: str
    change: tuple[str, str | None] | None = None


def server_runs(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a model server that takes the model's format runs on the platform."""
    if need.format is None and need.server is None:
        return None
    name = placement.platform.name
    plain = need.kind == "endpoint"
    # Plinth starts its own server here, for models of its own registry: there is no question.
    if plain and name == LOCAL:
        return None
    control = placement.platform.capability.control
    # It does not do this at all, or takes no model of one's own: G2 and H0b.own say so.
    if need.function not in placement.platform.capability.functions or control.formats == ():
        return None
    if need.function == "batch" and need.server is None and control.formats is None:
        return ok("H0a", f"a job there loads the `{need.format}` by itself, without a server")
    if name not in platform_names():
        reason = f"which model servers run on `{name}` is not known; {_NO_ROW}"
        return None if plain else unknown("H0a", reason)
    said = _answer(need.server, need.format, name)
    if said.outcome is Outcome.OK:
        return ok("H0a", said.reason)
    if said.outcome is Outcome.UNKNOWN:
        return unknown("H0a", said.reason)
    # Only a part of an application says which format and which server.
    if said.change is None or need.kind != "application":
        return not_ok("H0a", said.reason)
    return not_ok("H0a", said.reason, set_field(need, *said.change))


def hosted_model_offered(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it offers the hosted model that is asked for, and what one gives up with it."""
    if need.model is None:
        return None
    offered = placement.offer.model
    if offered is None:
        reason = (
            f"`{need.model}` is its provider's own; this platform serves models whose files you "
            "have"
        )
        return not_ok("H0b", reason)
    if offered != need.model:
        reason = f"`{need.model}` is asked for, this offer is `{offered}`"
        return not_ok("H0b", reason, set_field(need, "model", offered))
    lost = placement.platform.capability.control.lost
    words = "what is lost is not known" if lost is None else _lost(lost)
    return ok("H0b", f"it offers `{offered}` by its API only; {words}")


def own_model_taken(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it takes a model of one's own at all."""
    if need.format is None and need.server is None:
        return None
    if placement.platform.capability.control.formats != ():
        return None
    what = f"a model of your own (`{need.format}`)" if need.format else f"`{need.server}`"
    return not_ok("H0b.own", f"needs {what}; it serves only models that its provider hosts")


def accelerator_is_for_a_model(need: Need, _placement: Placement) -> Verdict | None:
    """Tell whether the accelerator that is asked for would compute a model, and not stand idle."""
    wanted = need.resources.accelerator
    if wanted is None:
        return None
    asked = f"{wanted.count} x {wanted.kind}"
    if need.model is None:
        return ok("H19b", f"{asked} for a model that is computed there")
    reason = f"`{need.model}` runs on its provider's machines; {asked} would stand idle"
    return not_ok("H19b", reason, set_field(need, "resources.accelerator", None))


def _lost(lost: Iterable[str]) -> str:
    names = ", ".join(lost)
    return f"no longer yours: {names}" if names else "all of it stays yours"


# The names come from people's files, so what is kept is bounded.
@lru_cache(maxsize=4096)
def _answer(server: str | None, model_format: str | None, platform: str) -> _Answer:
    """Judge by names; the facts of both are the catalog's, which do not change in a process."""
    facts = find_facts(platform)
    if server is None:
        return _without_server(facts, model_format)
    row = _table().get(server)
    if row is None:
        return _of_unknown_server(server, facts, model_format)
    found = match_of(row, facts, model_format)
    if found.supported is None:
        reason = f"whether `{server}` runs there is not known: {found.why}"
        return _Answer(Outcome.UNKNOWN, reason)
    change = _other_server(facts, model_format)
    if not found.supported:
        return _Answer(Outcome.NOT_OK, f"`{server}` cannot be used there: {found.why}", change)
    if found.maturity.stage == "archived":
        return _Answer(Outcome.NOT_OK, f"{_archived(found)}; it would run {found.why}", change)
    return _Answer(Outcome.OK, f"`{server}` runs there {found.why}{_ends(found)}")


def _without_server(facts: PlatformFacts, model_format: str | None) -> _Answer:
    """Name the servers that would do, where none is asked for."""
    matches = servers_for(_table().values(), facts, model_format)
    able = [each for each in matches if each.supported]
    good = [each for each in able if each.maturity.stage != "archived"]
    if good:
        names = _named(good)
        return _Answer(Outcome.OK, f"`{model_format}` is served by {names}{_ends(good[0])}")
    change = _other_format(facts, model_format)
    if able:
        reason = f"only {_named(able)} takes `{model_format}` there, and {_archived(able[0])}"
        return _Answer(Outcome.NOT_OK, reason, change)
    maybe = [each for each in matches if each.supported is None]
    if maybe:
        reason = f"whether {_named(maybe, 'or')} serves `{model_format}` there is not known"
        return _Answer(Outcome.UNKNOWN, f"{reason}; {_NO_ROW}")
    own = next((each for each in matches if each.server == OWN_SERVER), None)
    reason = f"its own server {own.why}" if own else f"no server takes `{model_format}` there"
    return _Answer(Outcome.NOT_OK, reason, change)


def _of_unknown_server(server: str, facts: PlatformFacts, model_format: str | None) -> _Answer:
    near = nearest_name(server, tuple(_table()))
    hint = f"; did you mean `{near}`?" if near else ""
    if facts.control.server_choice is False or facts.name == LOCAL:
        whose = "Plinth" if facts.name == LOCAL else "the platform"
        reason = f"`{server}` cannot be brought: {whose} brings its own server{hint}"
        return _Answer(Outcome.NOT_OK, reason, _other_server(facts, model_format))
    return _Answer(Outcome.UNKNOWN, f"Plinth knows no server `{server}`{hint}; {_NO_ROW}")


def _other_server(facts: PlatformFacts, model_format: str | None) -> tuple[str, str | None] | None:
    """Return the change to the first server that does; to none where the platform brings its."""
    if facts.control.server_choice is False:
        unasked = model_format is None or facts.control.formats is None
        fits = unasked or _without_server(facts, model_format).outcome is Outcome.OK
        return ("server", None) if fits else None
    for found in servers_for(_servers_proper(), facts, model_format):
        if found.supported and found.maturity.stage != "archived":
            return "server", found.server
    # A platform that serves no requests still runs a job that loads the model.
    return None if {"online", "flow"} & set(facts.functions) else ("server", None)


def _other_format(facts: PlatformFacts, model_format: str | None) -> tuple[str, str] | None:
    """Return the change to a format that the same model can be kept in, and that is served."""
    other = None
    if model_format == "torch-archive":
        other = "torchscript"
    elif model_format in _MLFLOW_LOGS:
        other = "mlflow-pyfunc"
    if other is None or _without_server(facts, other).outcome is not Outcome.OK:
        return None
    return "format", other


@cache
def _table() -> dict[str, ServerFacts]:
    return {server.name: server for server in load_servers()}


def _servers_proper() -> list[ServerFacts]:
    """Return those that serve by themselves: no library, nothing that starts another server."""
    servers = list(_table().values())
    return [each for each in servers if each.kind not in ("library", "control-layer")]


def _named(matches: Iterable[Match], last: str = "and") -> str:
    *names, end = [
        "its own server" if each.server == OWN_SERVER else listed((each.server,))
        for each in matches
    ]
    return f"{', '.join(names)} {last} {end}" if names else end


def _archived(found: Match) -> str:
    successor = found.maturity.successor
    words = f", its users went to {successor}" if successor else ""
    return f"`{found.server}` is archived: no updates, no security patches{words}"


def _ends(found: Match) -> str:
    retires = found.maturity.retires
    return f"; it retires on {retires.isoformat()}" if retires else ""


MODEL: tuple[Rule, ...] = (
    Rule("H0a", Pillar.OPERATIONS, Scope.WAY, server_runs, _SERVED),
    Rule("H0b", Pillar.OPERATIONS, Scope.OFFER, hosted_model_offered, _SERVED),
    Rule("H0b.own", Pillar.OPERATIONS, Scope.WAY, own_model_taken, _SERVED),
    Rule("H19b", Pillar.COST, Scope.WAY, accelerator_is_for_a_model, _SERVED),
)
