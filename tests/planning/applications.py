"""Applications and platforms for the tests of whole plans: small, real, and at random."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

from plinth.catalog.catalog import Catalog
from plinth.catalog.platforms import load_platforms, platform_names
from plinth.domain.application import Application
from plinth.domain.platform import Offer, Platform
from plinth.planning.context import Context, Market

CATALOG = Catalog()
TODAY = date(2026, 11, 22)
CONTEXT = Context(currency="USD", today=TODAY)
# A fixed machine, so that no answer depends on the one that the tests run on.
MACHINE = Offer(sku="machine", region="local", cpu=8, memory=32_000_000_000, count=1)


def every_platform() -> tuple[Platform, ...]:
    """Return every platform that Plinth knows, the local one with the fixed machine."""
    others: dict[str, tuple[()]] = dict.fromkeys(platform_names(), ())
    return load_platforms([MACHINE], 2, local_networks=("gateway", "open"), others=others)


PLATFORMS = every_platform()
MARKET = Market(PLATFORMS, CATALOG, CONTEXT, (MACHINE,))


def application(**fields: Any) -> Application:
    """Return an application with these parts."""
    return Application.model_validate({"kind": "application", "name": "app", **fields})


class Dice:
    """What a seed decides."""

    def __init__(self, seed: int) -> None:
        self.one_of = random.Random(seed).choice
        self._chance = random.Random(seed + 1).random

    def maybe(self, chance: float, value: Any) -> Any:
        """Return the value, or None."""
        return value if self._chance() < chance else None


def stated(**options: Any) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def at_random(seed: int) -> Application:
    """Return an application with one or two parts, whose requirements often contradict."""
    dice = Dice(seed)
    parts = {**_offline_parts(dice), **_serving_parts(dice)}
    first = dice.one_of(sorted(parts))
    names = [first, *(name for name in sorted(parts) if name != first and dice.maybe(0.1, name))]
    data = {
        "rows": stated(
            size=dice.one_of(["1GB", "3TB"]),
            region=dice.maybe(0.6, dice.one_of(["westeurope", "eastus"])),
            platform=dice.maybe(0.3, dice.one_of(["databricks-jobs", "synapse-spark"])),
            production=dice.maybe(0.5, True),
        )
    }
    reads = {name: {**parts[name], "data": dice.maybe(0.5, ["rows"]) or []} for name in names[:2]}
    return application(requirements=_requirements(dice), data=data, **reads)


def _requirements(dice: Dice) -> dict[str, Any]:
    maybe, one_of = dice.maybe, dice.one_of
    return stated(
        regions=[one_of(["westeurope", "northeurope", "eastus"])],
        residency=maybe(0.3, one_of(["eu", "united-states", "germany"])),
        criticality=maybe(0.5, one_of(["dev", "test", "production", "critical"])),
        rto=maybe(0.3, one_of(["30m", "4h", "2d"])),
        freshness=maybe(0.2, one_of(["1d", "30d"])),
        latency=maybe(0.3, one_of(["20ms", "2s"])),
        guaranteed_throughput=maybe(0.2, True),
        private_network=maybe(0.3, True),
        same_region=maybe(0.2, True),
        interruptible=maybe(0.4, True),
        checkpoint=maybe(0.4, one_of(["declared", "verified"])),
        scale_to_zero=maybe(0.2, True),
        identity=maybe(0.3, one_of(["entra-id", "key"])),
        isolation=maybe(0.2, one_of([0, 1, 2, 3, 4])),
        budget=maybe(0.3, one_of(["1 USD", "50 USD", "5000 USD"])),
        day2_hours=maybe(0.3, one_of([1, 6, 20])),
        platform=maybe(0.1, one_of(["aks", "databricks-jobs", "local"])),
    )


def _resources(dice: Dice) -> dict[str, Any]:
    return stated(
        cpu=dice.one_of([0.5, 4, 40, 500]),
        memory=dice.one_of(["1GB", "30GB", "2TB"]),
        accelerator=dice.maybe(0.25, dice.one_of(["T4", "A100", "A100:4", "H100"])),
    )


def _offline_parts(dice: Dice) -> dict[str, Any]:
    maybe, one_of = dice.maybe, dice.one_of
    resources = _resources(dice)
    return {
        "explore": {"resources": resources} | stated(team_share=maybe(0.5, True)),
        "train": {
            "resources": resources,
            "nodes": one_of([1, 4]),
            "demand": {"runs": one_of([1, 30, 700])}
            | stated(duration=maybe(0.7, one_of(["20m", "30h"]))),
        },
        "tune": {
            "method": one_of(["full", "lora", "preference", "reinforcement"]),
            "base_model": one_of(["gpt-4o", "llama-3.1-8b"]),
            "resources": resources,
        },
        "batch": {
            "nodes": one_of([1, 4]),
            "target": one_of(["model", "pipeline"]),
            "demand": {"rows": one_of([1000, 10**9]), "rows_per_second": 100},
        }
        | stated(
            format=maybe(0.5, one_of(["onnx", "mlflow-pyfunc"])),
            spark=maybe(0.2, True),
            window=maybe(0.4, one_of(["10m", "30h"])),
        ),
    }


def _serving_parts(dice: Dice) -> dict[str, Any]:
    maybe, one_of = dice.maybe, dice.one_of
    demand = {"requests_per_second": one_of([0.1, 5, 900])} | stated(
        replica_requests_per_second=maybe(0.4, one_of([1, 50])),
        measured_latency=maybe(0.3, one_of(["5ms", "700ms"])),
    )
    served = one_of(
        [{"model": "gpt-4o"}, {"format": "onnx"}, {"format": "python", "server": "torchserve"}]
    )
    return {
        "online": {"replicas": one_of([1, 20]), "demand": demand}
        | served
        | stated(mirror_percent=maybe(0.3, one_of([20, 90])), split=maybe(0.3, True)),
        "flow": {
            "tool": one_of(["prompt-flow", "langchain", "semantic-kernel"]),
            "demand": demand,
            "resources": _resources(dice),
        },
    }
