"""The names in a file, as the catalog spells them; what nobody knows is refused.

`advice.py` asks before it plans, so that `West Europe`, `EU` and `westeurope` mean what they mean
everywhere else.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import LOCAL
from plinth.catalog.names import spelling
from plinth.catalog.regions import Regions
from plinth.domain.application import Application, Declaration, Part
from plinth.domain.endpoint_check import field_of
from plinth.domain.mistake import nearest_name
from plinth.domain.requirements import Requirements
from plinth.domain.resources import ResourceRequest
from plinth.domain.serving import External
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Invalid
from plinth.planning.offers.month_tokens import ANYWHERE

# How alike a region's name is to another that is probably meant; providers elsewhere have names of
# their own, like `eu-west-1`, which are none of ours.
_ALIKE = 0.85


def with_known_names(
    declaration: Declaration, catalog: Catalog, platforms: Collection[str]
) -> Declaration:
    """Return the declaration with regions, their groups and accelerators as the catalog has them.

    Raises Invalid for the first of them, or platform, that nobody knows, with the nearest.
    """
    changed: dict[str, Any] = {
        **_changed(declaration.requirements, catalog, platforms),
        **_with_accelerator(declaration, catalog),
    }
    if isinstance(declaration, Application):
        for name, part in declaration.parts.items():
            found = {
                **_changed(part.requirements, catalog, platforms),
                **_with_accelerator(part, catalog),
            }
            if found:
                changed[name] = part.model_copy(update=found)
        data = {}
        for name, each in declaration.data.items():
            if each.platform is not None:
                _check_platform(each.platform, platforms)
            region = None if each.region is None else _region(each.region, catalog.regions)
            data[name] = each if region == each.region else _copy(each, region=region)
        if data != declaration.data:
            changed["data"] = data
    if isinstance(declaration, Endpoint):
        changed |= _with_external_regions(declaration, catalog.regions)
    return declaration.model_copy(update=changed) if changed else declaration


def _with_external_regions(endpoint: Endpoint, regions: Regions) -> dict[str, Any]:
    """Return its models elsewhere with their regions as the catalog spells them.

    Raises Invalid for one that nobody knows, where the file says which regions are allowed: else it
    may be a name of the provider's own.
    """
    is_asked = _asks_for_regions(endpoint)

    def known(external: External | None) -> External | None:
        if external is None or external.region is None:
            return external
        name = external.region
        found = _region(name, regions) if is_asked else regions.named(name) or name
        return external if found == name else _copy(external, region=found)

    deployments = {
        name: _copy(one, external=known(one.external))
        for name, one in endpoint.deployments.items()
        if known(one.external) != one.external
    }
    changed: dict[str, Any] = {}
    if deployments:
        changed["deployments"] = {**endpoint.deployments, **deployments}
    if known(endpoint.external) != endpoint.external:
        changed["external"] = known(endpoint.external)
    return changed


def _asks_for_regions(endpoint: Endpoint) -> bool:
    return bool(endpoint.requirements.regions or endpoint.requirements.residency)


def region_warnings(endpoint: Endpoint, regions: Regions) -> list[str]:
    """Name the regions of models elsewhere that are probably misspelt, with the nearest.

    Where the file says which regions are allowed, `with_known_names` refuses them.
    """
    if _asks_for_regions(endpoint):
        return []
    found = []
    spelled = {spelling(each.name): each.name for each in regions}
    for name, one in endpoint.by_name().items():
        region = None if one.external is None else one.external.region
        if region is None or regions.named(region) is not None:
            continue
        near = difflib.get_close_matches(spelling(region), spelled, n=1, cutoff=_ALIKE)
        if near:
            found.append(
                f"`{field_of(endpoint, name, 'external.region')}`: `{region}` is not a region that "
                f"the catalog knows; did you mean `{spelled[near[0]]}`?"
            )
    return found


def _changed(
    wanted: Requirements, catalog: Catalog, platforms: Collection[str]
) -> dict[str, Requirements]:
    if wanted.platform is not None:
        _check_platform(wanted.platform, platforms)
    update: dict[str, Any] = {}
    if wanted.regions:
        names = tuple(_region_or_group(name, catalog.regions) for name in wanted.regions)
        update |= {"regions": names} if names != wanted.regions else {}
    if wanted.residency is not None:
        name = _region_or_group(wanted.residency, catalog.regions)
        update |= {"residency": name} if name != wanted.residency else {}
    return {"requirements": _copy(wanted, **update)} if update else {}


def _with_accelerator(asking: Declaration | Part, catalog: Catalog) -> dict[str, ResourceRequest]:
    """Return the resources with the accelerator's kind as the catalog spells it."""
    if isinstance(asking, Application):
        return {}
    wanted = asking.resources.accelerator
    if wanted is None:
        return {}
    kind = catalog.accelerators.find(wanted.kind)[0].kind
    if kind == wanted.kind:
        return {}
    return {"resources": _copy(asking.resources, accelerator=_copy(wanted, kind=kind))}


def _copy(value: Any, **update: Any) -> Any:
    return value.model_copy(update=update)


def _region_or_group(name: str, regions: Regions) -> str:
    """Return a region's or a group's own name. Raises Invalid with the nearest of either."""
    if name in (LOCAL, ANYWHERE) or name in regions.groups or name in regions:
        return name
    regions.expand(name)
    return regions.group_named(name) or regions.named(name) or name


def _region(name: str, regions: Regions) -> str:
    if name in (LOCAL, ANYWHERE) or name in regions:
        return name
    return regions.find(name).name


def _check_platform(name: str, platforms: Collection[str]) -> None:
    if name in platforms:
        return
    near = nearest_name(name, tuple(platforms))
    raise Invalid(
        f"there is no platform `{name}`" + (f"; did you mean `{near}`?" if near else ""),
        hint="`plinth catalog platforms` lists those that Plinth knows",
    )
