"""Judge a model that somebody else serves: it needs no platform of ours, and data goes there.

Only the questions that read nothing but a region arise.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Declaration
from plinth.domain.need import need_of
from plinth.domain.plan import Verdict
from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.workload import Endpoint
from plinth.planning.context import Context, Placement
from plinth.planning.rules.basic import region_allowed, region_required
from plinth.planning.rules.place import ANYWHERE, residency_kept
from plinth.planning.rules.rule import ok

_RULES = (region_required, region_allowed, residency_kept)


def external_verdicts(
    declaration: Declaration, context: Context, catalog: Catalog
) -> tuple[Verdict, ...]:
    """Return what is to be said of each model elsewhere that a file names, named by deployment."""
    if not isinstance(declaration, Endpoint):
        return ()
    found: list[Verdict] = []
    for name, one in declaration.by_name().items():
        if one.external is None:
            continue
        host = urlsplit(one.external.url).hostname
        found.append(ok("external", f"`{name}` is served at `{host}`: it needs no platform here"))
        found += (
            each.model_copy(update={"reason": f"`{name}`: {each.reason}"})
            for each in judge_external(declaration, name, context, catalog)
        )
    return tuple(found)


def judge_external(
    endpoint: Endpoint, name: str, context: Context, catalog: Catalog | None = None
) -> tuple[Verdict, ...]:
    """Return what the file's regions and residency say of one of its external deployments."""
    external = endpoint.by_name()[name].external
    if external is None:
        raise ValueError(f"deployment `{name}` is not external")
    offer = Offer(sku=name, region=external.region or ANYWHERE, cpu=0, memory=0)
    platform = Platform(
        name="external",
        description="Served by somebody else",
        capability=Capability(functions=("online",)),
        offers=(offer,),
        source="the workload's file",
    )
    placement = Placement(platform, offer, context, catalog or Catalog())
    need = need_of(endpoint, name)
    answers = (ask(need, placement) for ask in _RULES)
    return tuple(answer for answer in answers if answer is not None)
