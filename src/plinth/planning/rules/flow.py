"""Orchestration: no GPU, elastic, off the shelf before one's own hosting, and where (O2-O5)."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.platforms import PlatformFacts, find_facts, platform_names
from plinth.catalog.servers import Match, find_server, load_servers, match_of
from plinth.domain.application import HOURS_PER_MONTH, OnlineDemand
from plinth.domain.need import Need
from plinth.domain.plan import Change, Outcome, Verdict
from plinth.domain.platform import Capability, Function
from plinth.planning.context import Placement
from plinth.planning.rules.rule import (
    Pillar,
    Rule,
    Scope,
    counted,
    not_ok,
    ok,
    set_field,
    unknown,
)

FLOW_ONLY: frozenset[Function] = frozenset({"flow"})
# What a flow may be written for -> what hosts it, a row of servers.yaml; `asgi` is any application.
_HOSTS = {
    "prompt-flow": "prompt-flow-server",
    "langchain": "langchain",
    "langgraph": "langchain",
    "semantic-kernel": "semantic-kernel",
}
_TITLES = {
    "prompt-flow": "a prompt flow",
    "langchain": "a LangChain application",
    "langgraph": "a LangGraph application",
    "semantic-kernel": "a Semantic Kernel application",
    "agent-service": "an agent of the Foundry Agent Service",
    "asgi": "an ASGI application",
}
_AGENTS = "foundry-agent-service"
_FLOWS = "prompt-flow"
_MOST_REPLICAS = 1000


def no_accelerator(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a GPU is asked for, which orchestration never computes with."""
    wanted = need.resources.accelerator
    if wanted is None:
        return ok("O2", "no GPU is asked for; a flow calls models and computes none")
    asked = f"{wanted.count} x {wanted.kind}"
    reason = f"asks for {asked}; a flow calls models that run elsewhere, so it would stand idle"
    if placement.platform.capability.compute.gpu is False:
        reason += ", and it gives none"
    return not_ok("O2", reason, set_field(need, "resources.accelerator", None))


def follows_the_demand(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it grows to the peak and shrinks while nobody asks, and what idling costs."""
    demand = need.demand
    if not isinstance(demand, OnlineDemand):
        return None
    elastic = placement.platform.capability.scale_to_zero
    if elastic:
        return ok("O3", "it grows with the requests, and to zero while nobody asks")
    stated, wanted = need.instances, _replicas_at_peak(demand)
    short = wanted > stated
    reason = _peak_words(need, demand, wanted) if short else _idle_words(demand, placement)
    if elastic is None:
        fact = "`scale_to_zero` of its facts would say it"
        return unknown("O3", f"whether it scales to zero is not known, {fact}; if not, {reason}")
    if short:
        change = Change(field=need.instances_field, value=wanted)
        return not_ok("O3", reason, change if wanted <= _MOST_REPLICAS else None)
    away = ""
    if stated == 1 and need.requirements.criticality in ("production", "critical"):
        away = "; the only replica is away whenever it is replaced"
    return ok("O3", f"keeps {counted(stated, 'replica')} running: {reason}{away}")


def tool_is_hosted(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it hosts what the flow is written for, off the shelf where there is such."""
    # Of a platform that does no flows at all, G2 says all there is to say.
    if need.tool is None or "flow" not in placement.platform.capability.functions:
        return None
    name = placement.platform.name
    outcome, reason = _hosted(need.tool, name)
    if outcome is Outcome.OK:
        return ok("O4", reason)
    if outcome is Outcome.UNKNOWN:
        return unknown("O4", reason)
    others = (each for each in ("prompt-flow", "agent-service", "asgi") if each != need.tool)
    other = next((each for each in others if _hosted(each, name)[0] is Outcome.OK), None)
    return not_ok("O4", reason, None if other is None else set_field(need, "tool", other))


def endpoint_may_stand_there(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the endpoint of a flow may stand there: by the guidance, AKS or an instance."""
    capability = placement.platform.capability
    if _is_one_persons(capability):
        wanted = need.requirements.criticality
        if wanted in ("production", "critical"):
            reason = (
                f"criticality `{wanted}`; a compute instance is one person's machine: one node, "
                "and nothing takes over"
            )
            return not_ok("O5", reason, set_field(need, "requirements.criticality", "dev"))
        stated = f"`{wanted}`" if wanted else "no criticality"
        return ok("O5", f"one person's machine, which is enough for {stated}")
    if capability.compute.rung == "kubernetes":
        return ok("O5", "the guidance hosts endpoints of flows on Kubernetes (AKS)")
    if "O5" in (capability.guidance.default_for or ()):
        return ok("O5", "the guidance's default for endpoints of flows")
    return None


def _is_one_persons(capability: Capability) -> bool:
    limits = capability.limits.items or ()
    return any(each.name == "owners" and each.value == 1 for each in limits)


def _replicas_at_peak(demand: OnlineDemand) -> int:
    """Return how many replicas the peak needs, as one was measured; 0: nobody measured."""
    each = demand.replica_requests_per_second
    # Beyond that it was no measurement.
    if each is None or demand.peak > each * 10**9:
        return 0
    return max(1, math.ceil(demand.peak / each))


def _peak_words(need: Need, demand: OnlineDemand, wanted: int) -> str:
    return (
        f"the peak of {demand.peak:g} requests a second needs {wanted:,} replicas of "
        f"{demand.replica_requests_per_second:g} each, {need.instances} stated"
    )


def _idle_words(demand: OnlineDemand, placement: Placement) -> str:
    idle = max(0.0, HOURS_PER_MONTH - demand.active_hours)
    if idle == 0:
        return "no hour of a month is idle"
    words = f"{idle:,.0f} of {HOURS_PER_MONTH} h a month are idle"
    amount = None if placement.cost is None else placement.cost.amount
    if placement.cost is None or amount is None:
        return words
    part = amount * Decimal(str(idle)) / HOURS_PER_MONTH
    return f"{words}, about {part:,.0f} {placement.cost.currency} of its cost"


# The names come from people's files, so what is kept is bounded.
@lru_cache(maxsize=1024)
def _hosted(tool: str, platform: str) -> tuple[Outcome, str]:
    """Judge by names; the facts of both are the catalog's, which do not change in a process."""
    what = _TITLES.get(tool, f"`{tool}`")
    if tool == "agent-service":
        if platform == _AGENTS:
            return Outcome.OK, "the service itself runs the agent, off the shelf"
        return Outcome.NOT_OK, f"{what} runs in that service only"
    if platform not in platform_names():
        reason = f"what runs on `{platform}` is not known; a row in servers.yaml would say it"
        return Outcome.UNKNOWN, reason
    facts = find_facts(platform)
    found = _match(tool, facts)
    if tool == "prompt-flow":
        return _of_prompt_flow(found, facts)
    if platform == _FLOWS:
        return Outcome.NOT_OK, f"it runs `flow.dag.yaml`; {what} could be one step of a flow there"
    return _of_application(what, found, facts)


def _of_prompt_flow(found: Match | None, facts: PlatformFacts) -> tuple[Outcome, str]:
    if found is None or found.supported is None:
        reason = "whether it runs `flow.dag.yaml` is not known; a row in servers.yaml would say it"
        return Outcome.UNKNOWN, reason
    if not found.supported:
        return Outcome.NOT_OK, f"a prompt flow is `flow.dag.yaml`; {_takes(facts)}"
    return Outcome.OK, f"off the shelf: it runs `flow.dag.yaml` {found.why}{_ends(found)}"


def _of_application(what: str, found: Match | None, facts: PlatformFacts) -> tuple[Outcome, str]:
    """Judge an application of one's own: by its row, by the formats it takes, by the choice."""
    first = "; look first whether an off-the-shelf flow or agent does"
    if found is not None and found.supported:
        return Outcome.OK, f"it hosts {what} {found.why}{first}"
    control = facts.control
    if "asgi-app" in (control.formats or ()):
        return Outcome.OK, f"it hosts {what}: it takes ASGI applications{first}"
    if control.server_choice:
        return Outcome.OK, f"it hosts {what}: what serves there is your choice{first}"
    if control.server_choice is None:
        reason = (
            f"whether it hosts {what} is not known; `control.server_choice` of its facts would "
            "say it"
        )
        return Outcome.UNKNOWN, reason
    return Outcome.NOT_OK, f"{what} is hosted by itself; {_takes(facts)}"


def _match(tool: str, facts: PlatformFacts) -> Match | None:
    row = _HOSTS.get(tool)
    if row is None:
        return None
    return match_of(find_server(load_servers(), row), facts, None)


def _takes(facts: PlatformFacts) -> str:
    formats = facts.control.formats or ()
    return f"it takes {', '.join(f'`{each}`' for each in formats) or 'nothing of yours'}"


def _ends(found: Match) -> str:
    retires, successor = found.maturity.retires, found.maturity.successor
    if retires is None:
        return ""
    then = f", then {successor}" if successor else ""
    return f"; the prompt flow service ends on {retires.isoformat()}{then}"


FLOW: tuple[Rule, ...] = (
    Rule("O2", Pillar.COST, Scope.WAY, no_accelerator, FLOW_ONLY),
    Rule("O3", Pillar.COST, Scope.OFFER, follows_the_demand, FLOW_ONLY),
    Rule("O4", Pillar.OPERATIONS, Scope.WAY, tool_is_hosted, FLOW_ONLY),
    Rule("O5", Pillar.RELIABILITY, Scope.WAY, endpoint_may_stand_there, FLOW_ONLY),
)
