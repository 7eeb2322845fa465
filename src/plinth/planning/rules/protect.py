"""Protection: controls on real data, private addresses, who may call, compute of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from plinth.domain.need import Need
from plinth.domain.plan import Verdict
from plinth.domain.platform import Capability, Network
from plinth.planning.context import Placement
from plinth.planning.rules.rule import Pillar, Rule, Scope, listed, not_ok, ok, set_field, unknown

_MISSING = {
    "private access": "it can be reached by public addresses only",
    "roles": "it has no roles of its own",
    "egress control": "what it connects to cannot be limited",
}
# Rungs on which the provider's other customers may use the same machines.
_SHARED = ("saas", "paas", "serverless")
_OWN_MACHINE = 4
# What a job may connect to, by its file: everything, or Plinth's gateway only.
_OPEN, _HELD = "open", "gateway"
_APART = {
    "managed": "instances of its own keep",
    "kubernetes": "a pool of nodes of its own keeps",
    "iaas": "machines of its own keep",
    "own": "machines of its own keep",
}


def real_data_guarded(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether real data of production is guarded here, also in development."""
    if not need.reads_production_data:
        return None
    controls = _controls(placement.platform.capability)
    real = [name for name, data in need.data.items() if data.production]
    start = f"{listed(real)} {'is' if len(real) == 1 else 'are'} real data of production"
    missing = [name for name, there in controls.items() if there is False]
    if missing:
        # That the data is real is a fact, and no change to the file makes it another.
        return not_ok("E0.data", f"{start}; {_and(_MISSING[each] for each in missing)}")
    open_ = [name for name, there in controls.items() if there is None]
    if open_:
        return unknown("E0.data", f"{start}; not known of it: {', '.join(open_)}")
    return ok("E0.data", f"{start}; it has {', '.join(controls)}")


def _controls(capability: Capability) -> Mapping[str, bool | None]:
    return {
        "private access": _private(capability.network),
        "roles": capability.identity.roles,
        "egress control": capability.network.egress_control,
    }


def _private(network: Network) -> bool | None:
    """Tell whether traffic to it can stay private: by its own address, or in a network apart."""
    ways = (network.private_endpoint, network.own_network, network.managed_network)
    if True in ways:
        return True
    return network.private_endpoint


def private_network_kept(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is reached, and reaches others, by private addresses only."""
    if not need.requirements.private_network:
        return None
    if need.network == _OPEN:
        return _open_job(need, placement)
    network = placement.platform.capability.network
    ways = {"private access": _private(network), "egress control": network.egress_control}
    missing = [name for name, there in ways.items() if there is False]
    if missing:
        reason = f"a private network is required; {_and(_MISSING[each] for each in missing)}"
        change = set_field(need, "requirements.private_network", False)
        return not_ok("H5", reason, change)
    open_ = [name for name, there in ways.items() if there is None]
    if open_:
        return unknown("H5", f"a private network is required; not known of it: {', '.join(open_)}")
    return ok("H5", "callers reach it privately, and what it connects to can be limited")


def _open_job(need: Need, placement: Placement) -> Verdict:
    """Say no to a job that asks for both: everything the machine reaches, and privacy."""
    reason = f"a private network is required, and the file asks for the network `{_OPEN}`"
    network = placement.platform.capability.network
    # Where the platform itself is not private, another network of the job is not enough.
    is_private = _private(network) and network.egress_control
    change = set_field(need, "network", _HELD) if is_private else None
    return not_ok("H5", reason, change)


def callers_proven(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether callers can prove who they are in the way that is required."""
    wanted = need.requirements.identity
    if wanted is None:
        return None
    methods = placement.platform.capability.identity.methods
    if methods is None:
        return unknown("H6b", f"`{wanted}` is required; how callers prove who they are is unknown")
    if wanted in methods:
        return ok("H6b", f"callers can prove who they are by `{wanted}`")
    reason = f"callers have to prove who they are by `{wanted}`; it takes {listed(methods)}"
    if not methods:
        reason = f"callers have to prove who they are by `{wanted}`; it asks nobody"
    change = set_field(need, "requirements.identity", next(iter(methods), None))
    return not_ok("H6b", reason, change)


def compute_apart(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it can have compute of its own, apart from the parts that are named."""
    parts = need.requirements.isolate_from
    if not parts:
        return None
    capability = placement.platform.capability
    rung, others = capability.compute.rung, listed(parts)
    if rung is None:
        return unknown("R2.apart", f"apart from {others}: who shares its compute is not known")
    if is_made_for_a_job(capability):
        return ok("R2.apart", f"machines made for each job keep it apart from {others}")
    if rung in _SHARED:
        return _of_provider(need, placement, others)
    if rung == "own" and capability.compute.distributed is False:
        if (capability.isolation or 0) >= _OWN_MACHINE:
            return ok("R2.apart", f"each workload has a machine of its own, apart from {others}")
        reason = f"apart from {others}: it is one machine, whose processors all parts share"
        return not_ok("R2.apart", reason, set_field(need, "requirements.isolate_from", []))
    return ok("R2.apart", f"{_APART[rung]} it apart from {others}")


def _of_provider(need: Need, placement: Placement, others: str) -> Verdict:
    supply = placement.platform.capability.supply
    if supply.throughput_guaranteed or placement.offer.tier == "provisioned":
        return ok("R2.apart", f"units of its own keep it apart from {others}")
    if supply.noisy_neighbours is None and supply.throughput_guaranteed is None:
        return unknown("R2.apart", f"apart from {others}: who shares its compute is not known")
    reason = f"apart from {others}: its provider shares the compute between all that use it"
    return not_ok("R2.apart", reason, set_field(need, "requirements.isolate_from", []))


def is_made_for_a_job(capability: Capability) -> bool:
    """Tell whether its machines are made for one job, and serve no models of the provider."""
    runs_jobs = "train" in capability.functions or bool(capability.batch.spark)
    return capability.compute.rung == "serverless" and runs_jobs


def _and(texts: Iterable[str]) -> str:
    return ", and ".join(texts)


PROTECT: tuple[Rule, ...] = (
    Rule("E0.data", Pillar.SECURITY, Scope.WAY, real_data_guarded),
    Rule("H5", Pillar.SECURITY, Scope.WAY, private_network_kept),
    Rule("H6b", Pillar.SECURITY, Scope.WAY, callers_proven),
    Rule("R2.apart", Pillar.SECURITY, Scope.WAY, compute_apart),
)
