"""The worked applications of examples/plans, each with what its company owns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from plinth.domain.application import Declaration
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.load import load_workload
from plinth.planning.context import Market
from tests.planning.applications import CONTEXT, MARKET

FOLDER = Path(__file__).parents[2] / "examples" / "plans"
NAMES = tuple(sorted(file.stem for file in FOLDER.glob("*.yaml")))
OWNED = {
    "nightly-scoring": Owned(name="databricks", platform="databricks-jobs", region="westeurope"),
    "support-bot": Owned(
        name="units",
        platform="azure-openai-provisioned",
        region="eastus2",
        model="gpt-4o",
        units=50,
    ),
}


def declared(name: str) -> Declaration:
    """Return what an example declares."""
    return load_workload((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def market_of(name: str) -> Market:
    """Return the market with what the example's company owns, and no machine of our own."""
    owned = Inventory(owned=(OWNED[name],) if name in OWNED else ())
    context = CONTEXT.model_copy(update={"inventory": owned})
    return replace(MARKET, context=context, local=())
