"""Where: residency while data is kept and processed, nearness to the data, zones and regions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from plinth.catalog.machine import LOCAL
from plinth.catalog.regions import Regions
from plinth.domain.need import Need
from plinth.domain.plan import Verdict
from plinth.domain.platform import Function, Processed
from plinth.kit.errors import Invalid
from plinth.kit.units import format_bytes
from plinth.planning.context import Placement
from plinth.planning.rules.basic import region_allowed, region_required
from plinth.planning.rules.duty import written_hours
from plinth.planning.rules.rule import Pillar, Rule, Scope, not_ok, ok, set_field, unknown
from plinth.planning.standby import needs_standby

# What somebody waits for: the functions whose availability the guidance speaks of.
_ANSWERING: frozenset[Function] = frozenset({"online", "flow"})
# Training has a question of its own, T0a; people who explore begin anew elsewhere.
_BACK: frozenset[Function] = frozenset({"batch", "online", "flow"})
_DEPENDED_ON = ("production", "critical")
# Azure's data zones, by the group of regions that each is made of.
_ZONES = ("eu", "united-states")
_BYTES_PER_GB = 10**9
# Light in glass goes about 200 km in a millisecond; half of that is left by detours and switches.
_KM_PER_MS = 100
_ZONES_NEEDED = 2
_HOUR_S = 3600
# What offers have for a region where there is none: a model of another provider, whose place nobody
# promises, and things of one's own of which nobody said where they stand.
ANYWHERE = "anywhere"
UNSTATED = "unstated"
_KINDS: Mapping[Processed, str] = {"region": "a region", "data-zone": "a data zone"}
_HOW = "`plinth inventory add` says it with `--region`"


def residency_kept(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the data stays where it must while it is kept."""
    wanted = need.requirements.residency
    if wanted is None:
        return None
    return _resident("R2.residency", need, placement, placement.offer.region)


def processing_kept(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the data stays where it must while a hosted model processes it."""
    wanted, offer = need.requirements.residency, placement.offer
    if offer.model is None:
        return None
    if wanted is None:
        return _processed_elsewhere(need, placement)
    processed = offer.processed_in
    if processed is None:
        return unknown(
            "R2.processing", f"where requests to `{offer.model}` are processed is not known"
        )
    if processed in ("region", "machine"):
        return ok("R2.processing", f"requests are processed in `{offer.region}`")
    if processed == "global":
        reason = f"data must stay in `{wanted}`; a global deployment processes it in any region"
        nearer = _nearer(placement, ("region", "data-zone"))
        change = None if nearer else set_field(need, "requirements.residency", None)
        return not_ok("R2.processing", reason + nearer, change)
    regions = placement.catalog.regions
    zone, members = _data_zone(regions, offer.region), _members(regions, wanted)
    if zone is None or members is None:
        reason = f"which regions the data zone of `{offer.region}` has is not known"
        return unknown("R2.processing", reason)
    if members.issuperset(regions.groups[zone]):
        return ok("R2.processing", f"its data zone is `{zone}`, within `{wanted}`")
    reason = f"data must stay in `{wanted}`; its data zone processes it anywhere in `{zone}`"
    nearer = _nearer(placement, ("region",))
    change = None if nearer else set_field(need, "requirements.residency", zone)
    return not_ok("R2.processing", reason + nearer, change)


def _nearer(placement: Placement, kinds: tuple[Processed, ...]) -> str:
    """Name the kinds of deployment of the same platform that go less far; empty: it has none."""
    sold = placement.platform.capability.regions.processed_in or ()
    nearer = [_KINDS[each] for each in kinds if each in sold]
    return f"; a deployment to {' or '.join(nearer)} may keep it" if nearer else ""


def _processed_elsewhere(need: Need, placement: Placement) -> Verdict | None:
    """Say that requests go further than the regions that the file allows, where they do."""
    offer = placement.offer
    if not need.requirements.regions or offer.processed_in not in ("data-zone", "global"):
        return None
    where = "in any region"
    if offer.processed_in == "data-zone":
        zone = _data_zone(placement.catalog.regions, offer.region)
        where = f"anywhere in `{zone}`" if zone else "anywhere in its data zone"
    field = need.at("requirements.residency")
    reason = f"requests are processed {where}: state `{field}` to forbid that"
    return ok("R2.processing", f"`regions` says where it stands; {reason}")


def standby_resident(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the data stays where it must when the second region takes over."""
    second = placement.offer.standby
    if second is None or need.requirements.residency is None:
        return None
    return _of_standby("R2.standby", _resident("", need, placement, second))


def standby_required(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the second region is one that the workload's file allows."""
    if placement.offer.standby is None or not need.requirements.regions:
        return None
    return _of_standby("R2.standby-regions", region_required(need, _at_standby(placement)))


def standby_allowed(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the second region is one that the team may use."""
    if placement.offer.standby is None or not placement.context.allowed_regions:
        return None
    return _of_standby("R2.standby-policy", region_allowed(need, _at_standby(placement)))


def _at_standby(placement: Placement) -> Placement:
    offer = placement.offer
    return replace(placement, offer=offer.model_copy(update={"region": offer.standby}))


def _of_standby(rule: str, verdict: Verdict | None) -> Verdict | None:
    if verdict is None:
        return None
    reason = f"where it stands by: {verdict.reason}"
    return verdict.model_copy(update={"rule": rule, "reason": reason})


def _resident(rule: str, need: Need, placement: Placement, region: str) -> Verdict:
    wanted = need.requirements.residency or ""
    regions = placement.catalog.regions
    members = _members(regions, wanted)
    if members is None:
        return unknown(rule, f"`{wanted}` is neither a region nor a group of regions")
    stands = _where(placement, region)
    if region == wanted:
        return ok(rule, f"`{region}` is where data must stay")
    if stands in members:
        return ok(rule, f"`{region}` is in `{wanted}`, where data must stay")
    asked = f"data must stay in `{wanted}`"
    if stands is None:
        return unknown(rule, f"{asked}; where it stands is not known, {_HOW}")
    if stands == ANYWHERE:
        change = set_field(need, "requirements.residency", None)
        return not_ok(rule, f"{asked}; nobody promises where its provider has it", change)
    if stands not in regions:
        return unknown(rule, f"{asked}; where `{stands}` lies is not known")
    country = regions.find(stands).country or stands
    change = set_field(need, "requirements.residency", _wider(regions, wanted, stands))
    return not_ok(rule, f"{asked}; `{region}` is in {country}", change)


def _where(placement: Placement, region: str) -> str | None:
    """Return the region as the catalog spells it; None: nobody said where it stands.

    Where the local machine stands, the inventory says.
    """
    if region == UNSTATED:
        return None
    stated = placement.context.inventory.region_of(LOCAL) if region == LOCAL else region
    return None if stated is None else _named(placement.catalog.regions, stated)


@lru_cache(maxsize=1024)
def _named(regions: Regions, name: str) -> str:
    return regions.named(name) or name


@lru_cache(maxsize=1024)
def _members(regions: Regions, name: str) -> frozenset[str] | None:
    """Return the regions that a residency stands for; None: nobody knows the name."""
    if name == LOCAL:
        return frozenset()
    try:
        return frozenset(regions.expand(name))
    except Invalid:
        return None


@lru_cache(maxsize=1024)
def _wider(regions: Regions, wanted: str, region: str) -> str:
    """Return the smallest group with the region and all that was wanted, else with the region."""
    before = _members(regions, wanted) or frozenset()
    holding = [(name, set(held)) for name, held in regions.groups.items() if region in held]
    both = [each for each in holding if before <= each[1]] if before else []
    ordered = sorted(both or holding, key=lambda each: (len(each[1]), each[0]))
    return ordered[0][0] if ordered else region


def _data_zone(regions: Regions, region: str) -> str | None:
    return next((zone for zone in _ZONES if region in regions.groups[zone]), None)


def near_data(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it stands in the region of its data, and what it costs where it does not."""
    if not need.data:
        return None
    here = _where(placement, placement.offer.region)
    unplaced = [name for name, data in need.data.items() if data.region is None]
    away = [
        name
        for name, data in need.data.items()
        if data.region not in (None, placement.offer.region)
        if here is None or _where(placement, data.region or "") != here
    ]
    if need.requirements.same_region:
        return _kept_near(need, placement, unplaced, away)
    if away:
        return ok("R5", _all_away(need, placement, away))
    return None if unplaced else _near(placement)


def _near(placement: Placement) -> Verdict:
    return ok("R5", f"its data lies in `{placement.offer.region}` too")


def _kept_near(
    need: Need, placement: Placement, unplaced: list[str], away: list[str]
) -> Verdict | None:
    asked = "it must stand where its data lies"
    if unplaced:
        fields = " and ".join(f"`data.{name}.region`" for name in unplaced)
        return unknown("R5", f"{asked}; {fields} is not stated")
    if not away:
        return _near(placement)
    regions = (placement.offer.region, *(need.data[name].region or "" for name in away))
    unstated = [region for region in regions if _where(placement, region) is None]
    if unstated:
        what = f"`{LOCAL}`" if unstated[0] == LOCAL else "it"
        return unknown("R5", f"{asked}; where {what} stands is not known, {_HOW}")
    change = set_field(need, "requirements.same_region", False)
    return not_ok("R5", f"{asked}; {_all_away(need, placement, away)}", change)


def _all_away(need: Need, placement: Placement, names: list[str]) -> str:
    here = _where(placement, placement.offer.region)
    return "; ".join(_away(need, placement, name, here) for name in names)


def _away(need: Need, placement: Placement, name: str, here: str | None) -> str:
    data, catalog = need.data[name], placement.catalog
    origin = _where(placement, data.region or "")
    moved = need.moved_bytes_of(data)
    text = f"`{name}` lies in `{data.region}`"
    if origin in catalog.regions and here in catalog.regions:
        distance = catalog.regions.distance_km(origin or "", here or "")
        if distance is not None:
            ms = distance / _KM_PER_MS
            text += f", {distance:,.0f} km away, by estimate {ms:,.0f} ms one way"
    text += f"; {format_bytes(int(moved))} move in a month"
    cost = _moving(placement, data.region or "", moved / _BYTES_PER_GB)
    return f"{text}, {cost or 'at a price that is not known'}"


def _moving(placement: Placement, origin: str, gigabytes: float) -> str | None:
    """Return what moving so much there costs, in words; None: unknown."""
    egress, target = placement.catalog.egress, placement.offer.region
    if origin == LOCAL:
        return None
    if target not in placement.catalog.regions:
        price = egress.to_internet(origin, math.ceil(gigabytes))
        return None if price is None else f"{price.amount:,.2f} {price.currency}"
    price = egress.between(origin, target)
    if price is None:
        return None
    return f"{float(price.amount) * gigabytes:,.2f} {price.currency}"


def zones_survived(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the platform goes on when a zone fails, where production depends on it."""
    criticality = need.requirements.criticality
    if criticality not in _DEPENDED_ON:
        return None
    able = placement.platform.capability.regions.zone_redundant
    if able is None:
        return unknown("H4", f"{criticality}: whether it goes on when a zone fails is not known")
    if not able:
        reason = f"{criticality} has to go on when a zone fails; it stops"
        return not_ok("H4", reason, set_field(need, "requirements.criticality", "test"))
    alone = need.instances == 1 and not need.uses_hosted_model
    more = "; with 1 replica it is away until another has started" if alone else ""
    return ok("H4", f"{criticality}: it can go on when a zone fails{more}")


def zones_there(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether the region has zones, where production depends on it."""
    criticality = need.requirements.criticality
    if criticality not in _DEPENDED_ON:
        return None
    region, regions = placement.offer.region, placement.catalog.regions
    # Of what is not Azure's, the platform says what it survives.
    if region not in regions:
        return None
    zones = regions.find(region).zones
    if zones is None:
        how = "`plinth catalog import` states it"
        return unknown("H4.zones", f"how many zones `{region}` has is not known; {how}")
    if zones >= _ZONES_NEEDED:
        return ok("H4.zones", f"`{region}` has {zones} zones")
    change = set_field(need, "requirements.criticality", "test")
    return not_ok("H4.zones", f"{criticality} needs several zones; `{region}` has {zones}", change)


def region_survived(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether a second region takes over, where it is critical."""
    if need.requirements.criticality != "critical":
        return None
    offer = placement.offer
    if offer.standby is not None:
        how = placement.platform.capability.regions.multi_region
        built = f" ({how})" if how else ""
        return ok("H4.regions", f"`{offer.standby}` takes over when `{offer.region}` fails{built}")
    reason = f"critical has to survive the loss of `{offer.region}`; no second region may take over"
    less = "production" if placement.platform.capability.regions.zone_redundant else "test"
    return not_ok("H4.regions", reason, set_field(need, "requirements.criticality", less))


def back_in_time(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether it is back in time after a zone or a region is lost, where a time is stated."""
    rto = need.requirements.rto
    if rto is None:
        return None
    asked = f"back within {written_hours(rto / _HOUR_S)}"
    change = set_field(need, "requirements.rto", None)
    facts = placement.platform.capability.regions
    if facts.processed_in == ("machine",):
        reason = f"{asked} is asked for; this is one machine, and nothing takes over"
        return not_ok("H4.rto", reason, change)
    if not needs_standby(need):
        return _back_in_zone(need, placement, asked)
    region, second = placement.offer.region, placement.offer.standby
    if second is not None:
        return ok("H4.rto", f"{asked}: `{second}` takes over when `{region}` fails")
    reason = f"{asked} is asked for; when `{region}` fails, no second region takes over"
    return not_ok("H4.rto", reason, change)


def _back_in_zone(need: Need, placement: Placement, asked: str) -> Verdict:
    """Judge a recovery time that leaves time to start anew, in another zone of the region."""
    able = placement.platform.capability.regions.zone_redundant
    if able is None:
        fact = f"`regions.zone_redundant` is missing in platforms/{placement.platform.name}.yaml"
        reason = f"{asked} is asked for; whether it survives a lost zone is not known: {fact}"
        return unknown("H4.rto", reason)
    region, regions = placement.offer.region, placement.catalog.regions
    change = set_field(need, "requirements.rto", None)
    if not able:
        reason = f"{asked} is asked for; it stands in one zone, and is away until that is back"
        return not_ok("H4.rto", reason, change)
    if region not in regions:
        return ok("H4.rto", f"{asked}: it can go on in another zone")
    zones = regions.find(region).zones
    if zones is None:
        how = "`plinth catalog import` states it"
        return unknown("H4.rto", f"{asked}: how many zones `{region}` has is not known; {how}")
    if zones >= _ZONES_NEEDED:
        return ok("H4.rto", f"{asked}: it can go on in another of the {zones} zones of `{region}`")
    reason = f"{asked} is asked for; it needs several zones, and `{region}` has {zones}"
    return not_ok("H4.rto", reason, change)


PLACE: tuple[Rule, ...] = (
    Rule("R2.residency", Pillar.SECURITY, Scope.REGION, residency_kept),
    Rule("R2.processing", Pillar.SECURITY, Scope.OFFER, processing_kept),
    Rule("R2.standby", Pillar.SECURITY, Scope.OFFER, standby_resident),
    Rule("R2.standby-regions", Pillar.SECURITY, Scope.OFFER, standby_required),
    Rule("R2.standby-policy", Pillar.SECURITY, Scope.OFFER, standby_allowed),
    Rule("R5", Pillar.PERFORMANCE, Scope.REGION, near_data),
    Rule("H4", Pillar.RELIABILITY, Scope.WAY, zones_survived, _ANSWERING),
    Rule("H4.zones", Pillar.RELIABILITY, Scope.REGION, zones_there, _ANSWERING),
    Rule("H4.regions", Pillar.RELIABILITY, Scope.OFFER, region_survived, _ANSWERING),
    Rule("H4.rto", Pillar.RELIABILITY, Scope.OFFER, back_in_time, _BACK),
)
