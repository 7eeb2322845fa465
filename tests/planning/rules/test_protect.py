"""Controls on real data, private networks, identity, compute apart."""

from __future__ import annotations

import pytest

from plinth.domain.application import Application
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.protect import (
    callers_proven,
    compute_apart,
    private_network_kept,
    real_data_guarded,
)
from plinth.planning.rules.rule import Ask
from tests.planning.rules.placed import admitted, application, need, place, with_facts


def asked(ask: Ask, whole: Application, placement: Placement, part: str = "online") -> Verdict:
    said = ask(next(each for each in needs_of(whole) if each.name == part), placement)
    assert said is not None
    return said


def on_real_data(*names: str, **requirements: object) -> Application:
    return application(
        data={name: {"size": "1GB", "production": True} for name in names},
        requirements=requirements,
        online={"data": list(names)},
    )


def test_without_a_requirement_nothing_is_asked() -> None:
    asks = (real_data_guarded, private_network_kept, callers_proven, compute_apart)
    assert [ask for ask in asks if ask(need(), place("aks")) is not None] == []


@pytest.mark.parametrize("criticality", ["dev", "test", "production"])
def test_real_data_is_guarded_also_in_development(criticality: str) -> None:
    whole = on_real_data("orders", criticality=criticality)
    said = asked(real_data_guarded, whole, place("aks"))
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "`orders` is real data of production; it has private access, roles, egress control",
    )
    ray = asked(real_data_guarded, whole, place("ray"))
    assert ray.outcome is Outcome.NOT_OK
    assert ray.reason == "`orders` is real data of production; it has no roles of its own"
    # That the data is real is no wish that could be changed.
    assert ray.change is None


def test_of_several_real_data_no_one_change_suffices() -> None:
    said = asked(real_data_guarded, on_real_data("orders", "people"), place("ray"))
    assert said.reason.startswith("`orders`, `people` are real data")
    assert said.change is None


def test_a_control_that_nobody_knows_is_named() -> None:
    said = asked(real_data_guarded, on_real_data("orders"), place("azureml-serverless-api"))
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.endswith("not known of it: private access, egress control")


PRIVATE = application(requirements={"private_network": True})


@pytest.mark.parametrize("name", ["aks", "local", "azureml-online-endpoint"])
def test_a_private_network_is_an_own_address_and_control_of_the_way_out(name: str) -> None:
    assert asked(private_network_kept, PRIVATE, place(name)).outcome is Outcome.OK


def test_a_network_of_ones_own_is_private_too() -> None:
    # A virtual machine has no private endpoint: it stands in the customer's network.
    assert asked(private_network_kept, PRIVATE, place("data-science-vm")).outcome is Outcome.OK


def test_a_public_address_is_rejected_where_a_private_network_is_required() -> None:
    at = with_facts(
        place("azure-openai-standard"), network={"private_endpoint": False, "egress_control": False}
    )
    said = asked(private_network_kept, PRIVATE, at)
    assert said.reason == (
        "a private network is required; it can be reached by public addresses only, and what it "
        "connects to cannot be limited"
    )
    assert said.remedy == "`online.requirements.private_network: false`"
    assert admitted(private_network_kept, PRIVATE, at)
    unknown = asked(private_network_kept, PRIVATE, place("azureml-serverless-api"))
    assert unknown.outcome is Outcome.UNKNOWN


BY_ENTRA = application(requirements={"identity": "entra-id"})


def test_callers_prove_who_they_are_in_the_required_way() -> None:
    said = asked(callers_proven, BY_ENTRA, place("aks"))
    assert said.reason == "callers can prove who they are by `entra-id`"
    local = asked(callers_proven, BY_ENTRA, place("local"))
    assert local.reason == "callers have to prove who they are by `entra-id`; it takes `key`"
    assert local.remedy == "`online.requirements.identity: key`"
    assert admitted(callers_proven, BY_ENTRA, place("local"))


def test_a_platform_that_asks_nobody_or_of_which_nobody_knows() -> None:
    open_to_all = with_facts(place("aks"), identity={"methods": ()})
    assert asked(callers_proven, BY_ENTRA, open_to_all).reason.endswith("it asks nobody")
    assert admitted(callers_proven, BY_ENTRA, open_to_all)
    unknown = asked(callers_proven, BY_ENTRA, with_facts(place("aks"), identity={"methods": None}))
    assert unknown.outcome is Outcome.UNKNOWN


APART = application(flow={}, requirements={}, online={"requirements": {"isolate_from": ["flow"]}})


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("aks", "a pool of nodes of its own keeps it apart from `flow`"),
        ("data-science-vm", "machines of its own keep it apart from `flow`"),
        ("azureml-online-endpoint", "instances of its own keep it apart from `flow`"),
        ("azure-openai-provisioned", "units of its own keep it apart from `flow`"),
    ],
)
def test_compute_of_ones_own_keeps_parts_apart(name: str, how: str) -> None:
    said = asked(compute_apart, APART, place(name))
    assert (said.outcome, said.reason) == (Outcome.OK, how)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("azure-openai-standard", "its provider shares the compute between all that use it"),
        ("external-model-api", "its provider shares the compute between all that use it"),
        ("local", "it is one machine, whose processors all parts share"),
    ],
)
def test_shared_compute_is_rejected(name: str, why: str) -> None:
    said = asked(compute_apart, APART, place(name))
    assert (said.outcome, said.reason) == (Outcome.NOT_OK, f"apart from `flow`: {why}")
    assert said.remedy == "`online.requirements.isolate_from: []`"
    assert admitted(compute_apart, APART, place(name))


def test_a_machine_for_each_workload_keeps_them_apart() -> None:
    said = asked(compute_apart, APART, with_facts(place("local"), isolation=4))
    assert said.outcome is Outcome.OK


def test_who_shares_it_may_be_unknown() -> None:
    without = with_facts(place("aks"), compute={"rung": None})
    serving = asked(compute_apart, APART, place("databricks-model-serving"))
    assert asked(compute_apart, APART, without).outcome is Outcome.UNKNOWN
    assert serving.outcome is Outcome.UNKNOWN
