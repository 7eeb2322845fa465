"""R1: reuse tools the organisation has when they meet the needs; else the requirement is named."""

from __future__ import annotations

from plinth.domain.inventory import Inventory
from plinth.domain.plan import Candidate, Outcome
from plinth.planning.advice import make_advice
from plinth.planning.change import change_context
from plinth.planning.context import Market
from plinth.planning.rules.general import already_owned
from tests.planning.applications import CATALOG, CONTEXT, MACHINE, application, every_platform
from tests.planning.rules.placed import admitted, need, owning, place
from tests.planning.rules.placed import application as with_part

BATCH = application(
    requirements={"regions": ["westeurope"]},
    batch={"format": "mlflow-pyfunc", "demand": {"rows": 1_000_000, "duration": "1h"}},
)


def candidates(inventory: Inventory, *, region: str = "westeurope") -> dict[str, Candidate]:
    whole = BATCH.model_copy(
        update={"requirements": BATCH.requirements.model_copy(update={"regions": (region,)})}
    )
    context = CONTEXT.model_copy(update={"inventory": inventory})
    advice = make_advice(whole, Market(every_platform(), CATALOG, context, (MACHINE,)))
    (part,) = advice.parts
    found = {each.platform: each for each in reversed(part.rejected)}
    assert part.chosen is not None
    return found | {"chosen": part.chosen, part.chosen.platform: part.chosen}


def test_what_is_owned_and_meets_the_needs_is_preferred() -> None:
    owned = owning(place("azureml-compute-cluster"), "azureml-compute-cluster", region="westeurope")
    said = already_owned(need(part="batch"), owned)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "you own `our-azureml-compute-cluster` in westeurope: preferred"
    before = candidates(Inventory())
    after = candidates(owned.context.inventory)
    assert before["chosen"].platform != "azureml-compute-cluster"
    assert after["chosen"].platform == "azureml-compute-cluster"
    assert after["chosen"].owned


def test_what_is_owned_and_fails_a_requirement_is_rejected_with_that_requirement() -> None:
    # The cluster stands in one region, and the file asks for another.
    fields = {"region": "eastus", "cpu": 16, "memory": "64GB", "count": 3}
    inventory = owning(place("kubernetes"), "kubernetes", **fields).context.inventory
    cluster = candidates(inventory)["kubernetes"]
    assert not cluster.is_feasible
    failing = [each for each in cluster.verdicts if each.outcome is Outcome.NOT_OK]
    assert "R1" not in {each.rule for each in failing}
    assert candidates(inventory, region="eastus")["kubernetes"].is_feasible


def test_a_cluster_that_nobody_owns_is_rejected_and_the_change_owns_one() -> None:
    whole = with_part(batch={}, requirements={"regions": ["westeurope"]})
    said = already_owned(need(part="batch", requirements={"regions": ["eu"]}), place("kubernetes"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "it runs on machines that you own, and the inventory has none for it"
    assert str(said.change).startswith("plinth inventory add kubernetes --region northeurope --cpu")
    assert admitted(already_owned, whole, place("kubernetes"), "batch")
    assert said.change is not None
    then = candidates(change_context(CONTEXT, [said.change]).inventory, region="northeurope")
    assert then["kubernetes"].is_feasible
