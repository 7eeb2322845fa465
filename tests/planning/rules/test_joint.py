from decimal import Decimal

import pytest

from plinth.domain.inventory import Inventory, Owned
from plinth.domain.plan import Candidate, CostLine, Headroom, MonthCost, Outcome
from plinth.domain.requirements import Budget
from plinth.planning.context import Context
from plinth.planning.rules.joint import within_budget
from tests.planning.rules.joined import Fields, candidate, joined, outcomes, part, rejected, said
from tests.planning.rules.placed import GIB

DATA = {"sales": {"size": "100GB", "region": "northeurope"}}
SERVED = {"tune": {"base_model": "gpt-4o-mini"}, "online": {"model": "gpt-4o-mini"}}
OPENAI = candidate("azure-openai-standard", sku="gpt-4o-mini", model="gpt-4o-mini")
CLUSTER = candidate("azureml-compute-cluster")


def test_of_one_part_alone_nothing_is_said() -> None:
    assert joined({"train": {}}, train=part("train", CLUSTER)) == ()


def test_a_part_without_a_place_is_left_out() -> None:
    fields: Fields = {"train": {}, "tune": {}}
    found = joined(fields, train=part("train", None), tune=part("tune", CLUSTER))
    assert found == ()


def test_parts_in_one_region_say_so_with_their_data() -> None:
    fields = {
        "train": {"data": ["sales"]},
        "batch": {"format": "onnx"},
        "data": {"sales": {"size": "100GB", "region": "westeurope"}},
    }
    batch = part("batch", candidate("azureml-batch-endpoint"))
    found = joined(fields, train=part("train", CLUSTER), batch=batch)
    assert said(found, "R5").outcome is Outcome.OK
    assert said(found, "R5").reason == "all 2 parts stand in `westeurope`, with `sales`"


def test_data_elsewhere_names_kilometres_gigabytes_and_what_they_cost() -> None:
    fields = {"train": {"data": ["sales"], "demand": {"runs": 4}}, "data": DATA}
    found = joined(fields, train=part("train", CLUSTER))
    assert said(found, "R5").outcome is Outcome.NOT_OK
    # Dublin to Amsterdam; 4 x 100 GB at 0.02 USD.
    assert said(found, "R5").reason == (
        "`train` in `westeurope` reads `sales` in `northeurope`, 756 km apart: "
        "400 GB a month, 8.00 USD"
    )


def test_parts_in_two_regions_name_the_pair() -> None:
    fields = {"train": {}, "online": {"format": "onnx"}}
    online = part("online", candidate("aks", "northeurope"))
    found = joined(fields, train=part("train", CLUSTER), online=online)
    assert said(found, "R5").reason == (
        "`train` in `westeurope` and `online` in `northeurope`, 756 km apart: "
        "each GB between them 0.02 USD"
    )


def test_where_this_machine_stands_is_not_known() -> None:
    fields = {"train": {"data": ["sales"]}, "data": DATA}
    found = joined(fields, train=part("train", candidate("local", "local")))
    reason = said(found, "R5").reason
    assert "at a distance that is not known" in reason
    assert reason.endswith("at a price that is not known")


def test_what_is_owned_is_named_first_for_both_trainings() -> None:
    both = (candidate("aks"), candidate("databricks-jobs"))
    train, tune = part("train", CLUSTER, *both), part("tune", candidate("ray"), *both)
    owned = Inventory(owned=(Owned(name="dbx", platform="databricks-jobs"),))
    found = joined({"train": {}, "tune": {}}, Context(inventory=owned), train=train, tune=tune)
    assert said(found, "T0c").reason.endswith("`databricks-jobs` would take both")
    # It would take two changes, and one change is what a verdict may name.
    assert said(found, "T0c").change is None


def test_a_platform_that_was_not_looked_at_is_said_to_be_so() -> None:
    fields: Fields = {"train": {}, "tune": {}}
    train, tune = part("train", CLUSTER), part("tune", candidate("ray"), rejected("aks", "T6"))
    assert "(it was not looked at)" in said(joined(fields, train=train, tune=tune), "T0c").reason


def shared(**requirements: object) -> dict[str, object]:
    return {
        "data": {"sales": {"size": "1GB"}},
        "train": {"data": ["sales"], "requirements": requirements},
        "batch": {"data": ["sales"], "spark": True},
    }


def test_steps_on_two_platforms_hand_their_data_over_by_version() -> None:
    spark = part("batch", candidate("databricks-jobs"))
    found = joined(shared(), train=part("train", CLUSTER), batch=spark)
    assert (said(found, "T3").outcome, said(found, "T3").reason) == (
        Outcome.OK,
        "`train` on `azureml-compute-cluster` and `batch` on `databricks-jobs` share `sales`: "
        "hand it over by version",
    )
    same = part("train", candidate("databricks-jobs"))
    assert outcomes(joined(shared(), train=same, batch=spark), "T3") == []


@pytest.mark.parametrize(
    ("platform", "outcome", "words"),
    [
        ("databricks-jobs", Outcome.OK, "asks for private addresses, which both have"),
        ("foundry-hub", Outcome.UNKNOWN, "whether `foundry-hub` has them is not known"),
    ],
)
def test_a_private_step_asks_for_private_addresses_on_both_sides(
    platform: str, outcome: Outcome, words: str
) -> None:
    fields = shared(private_network=True)
    other = part("batch", candidate(platform))
    found = joined(fields, train=part("train", CLUSTER), batch=other)
    assert said(found, "T3").outcome is outcome
    assert words in said(found, "T3").reason


def test_a_model_tuned_where_it_is_hosted_is_served_there() -> None:
    found = joined(SERVED, tune=part("tune", OPENAI), online=part("online", OPENAI))
    assert (said(found, "T6").outcome, said(found, "T6").reason) == (
        Outcome.OK,
        "`gpt-4o-mini` is tuned where it is hosted, for `online`: by `lora`, `preference`, "
        "`reinforcement`; `full` would need a model whose weights you have",
    )


def test_tuning_another_model_than_the_one_that_is_served_names_the_change() -> None:
    fields = {"tune": {"base_model": "gpt-4.1-mini"}, "online": {"model": "gpt-4o-mini"}}
    tune, online = part("tune", OPENAI), part("online", OPENAI)
    verdict = said(joined(fields, tune=tune, online=online), "T6")
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "`gpt-4.1-mini` is tuned, and `online` serves `gpt-4o-mini`"
    assert str(verdict.change) == "tune.base_model: gpt-4o-mini"
    assert said(joined(SERVED, tune=tune, online=online), "T6").outcome is Outcome.OK


def test_weights_that_the_provider_keeps_cannot_be_served_elsewhere() -> None:
    fields = {"tune": {"base_model": "gpt-4o-mini"}, "online": {"format": "hugging-face"}}
    found = joined(fields, tune=part("tune", OPENAI), online=part("online", candidate("aks")))
    assert said(found, "T6").outcome is Outcome.NOT_OK
    assert "keeps the weights of the tuned `gpt-4o-mini`" in said(found, "T6").reason


def test_a_program_is_not_what_was_tuned() -> None:
    fields = {"tune": {"base_model": "gpt-4o-mini"}, "batch": {"spark": True}}
    spark = part("batch", candidate("databricks-jobs"))
    assert outcomes(joined(fields, tune=part("tune", OPENAI), batch=spark), "T6") == []


def test_weights_of_ones_own_are_served_by_their_format() -> None:
    tune, online = part("tune", CLUSTER), part("online", candidate("aks"))
    own = {"tune": {"base_model": "llama-3.1-8b"}, "online": {"format": "hugging-face"}}
    assert said(joined(own, tune=tune, online=online), "T6").outcome is Outcome.OK
    hosted = {"tune": {"base_model": "llama-3.3-70b"}, "online": {"model": "llama-3.3-70b"}}
    verdict = said(joined(hosted, tune=tune, online=part("online", OPENAI)), "T6")
    assert verdict.outcome is Outcome.NOT_OK
    assert "state `online.format`, or tune where it is hosted" in verdict.reason


APART = {"batch": {"format": "onnx", "requirements": {"isolate_from": ["online"]}}, "online": {}}


@pytest.mark.parametrize(
    ("batch", "online", "outcome", "words"),
    [
        (candidate("azureml-batch-endpoint"), candidate("aks"), Outcome.OK, "and on `aks`"),
        (candidate("aks"), candidate("aks", "northeurope"), Outcome.OK, "in `northeurope`"),
        (candidate("aks"), candidate("aks", sku="E4s_v5"), Outcome.OK, "pools of different sizes"),
        (candidate("aks"), candidate("aks"), Outcome.NOT_OK, "give each a pool of its own"),
        (
            candidate("local", "local"),
            candidate("local", "local"),
            Outcome.NOT_OK,
            "both are on `local` in `local`, one machine",
        ),
        (OPENAI, OPENAI, Outcome.NOT_OK, "with the same `gpt-4o-mini`"),
    ],
)
def test_parts_that_must_not_share_compute_have_their_own(
    batch: Candidate, online: Candidate, outcome: Outcome, words: str
) -> None:
    found = joined(APART, batch=part("batch", batch), online=part("online", online))
    assert said(found, "H0c").outcome is outcome
    assert words in said(found, "H0c").reason


def test_serverless_jobs_have_machines_of_their_own() -> None:
    fields = {"train": {"requirements": {"isolate_from": ["tune"]}}, "tune": {}}
    one = candidate("azureml-serverless-compute")
    found = joined(fields, train=part("train", one), tune=part("tune", one))
    assert said(found, "H0c").outcome is Outcome.OK
    assert "each job has machines of its own" in said(found, "H0c").reason


def cost(amount: str | None) -> MonthCost:
    known = CostLine(what="a", amount=Decimal(400), how="known")
    other = CostLine(what="b", amount=None if amount is None else Decimal(amount), how="maybe")
    return MonthCost(currency="USD", lines=(known, other))


def test_the_budget_of_the_whole_holds_for_the_sum() -> None:
    budget = Budget(amount=Decimal(1000), currency="USD")
    assert within_budget(cost("600"), budget).outcome is Outcome.OK
    assert within_budget(cost(None), budget).outcome is Outcome.UNKNOWN
    over = within_budget(cost("600.01"), budget)
    assert over.reason == "all parts cost 1,000.01 a month, the budget is 1,000 USD"
    assert str(over.change) == 'requirements.budget: "1001 USD"'


def test_parts_on_machines_that_are_owned_say_what_they_need_together() -> None:
    own = candidate("kubernetes", cpu=8, memory=32 * GIB, count=2, tier="own-hardware")
    fields: Fields = {
        "train": {"resources": {"cpu": 10}},
        "online": {"format": "onnx", "resources": {"cpu": 6}},
    }
    fits = joined(fields, train=part("train", own), online=part("online", own))
    assert said(fits, "R4").outcome is Outcome.OK
    assert said(fits, "R4").reason == (
        "`train`, `online` need 16 cores of your `kubernetes` at once, it has 16"
    )


def test_parts_that_share_a_quota_need_their_sum() -> None:
    def limited(needed: float) -> Candidate:
        limit = Headroom(what="processors of Dsv5", needed=needed, reachable=20, unit="processors")
        return CLUSTER.model_copy(update={"headroom": (limit,)})

    fields: Fields = {"train": {}, "online": {"format": "onnx"}}
    over = joined(fields, train=part("train", limited(16)), online=part("online", limited(12)))
    assert said(over, "R4").outcome is Outcome.NOT_OK
    assert said(over, "R4").reason == (
        "`train`, `online` need 28 processors (processors of Dsv5) in `westeurope` together, "
        "20 are reachable"
    )
    below = joined(fields, train=part("train", limited(8)), online=part("online", limited(12)))
    assert outcomes(below, "R4") == []
