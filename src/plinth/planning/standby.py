"""Which second region takes over, where a part has to survive the loss of a region.

The planner asks for each place before rules judge it, so that they judge the second region too.
"""

from __future__ import annotations

from collections.abc import Collection

from plinth.catalog.catalog import Catalog
from plinth.domain.need import Need

# An hour is too short to build a service anew in another region, so it has to stand there already.
STANDBY_RTO_S = 3600.0


def needs_standby(need: Need) -> bool:
    """Tell whether a second region has to stand by: H4 for what answers requests, T0a for the rest.

    `critical` always has one; a recovery time of an hour or less asks for one.
    """
    wanted = need.requirements
    if need.function not in ("online", "flow"):
        return False
    return wanted.criticality == "critical" or (
        wanted.rto is not None and wanted.rto <= STANDBY_RTO_S
    )


def choose_standby(catalog: Catalog, region: str, allowed: Collection[str]) -> str | None:
    """Return the region that takes over: Azure's pair if it is allowed, else the nearest allowed.

    None where no other region is allowed. Of equally near ones the first by name.
    """
    regions = catalog.regions
    if region not in regions:
        return None
    pair = regions.find(region).pair
    if pair is not None and pair in allowed:
        return pair
    near = [
        (distance, name)
        for name in allowed
        if name != region
        and name in regions
        and (distance := regions.distance_km(region, name)) is not None
    ]
    return min(near)[1] if near else None
