import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.inventory import Inventory, Owned
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.resources import LEAST_SERVER_MEMORY
from plinth.domain.workload import WORKLOAD, Workload
from plinth.planning.context import Context, Placement
from plinth.planning.rules import basic as rules
from plinth.planning.rules.rule import Ask
from tests.planning.rules.placed import need, place

REMEDY = re.compile(r"`([a-z_.]+): (.*)`")


def job(**fields: object) -> Workload:
    return WORKLOAD.validate_python(
        {"kind": "job", "name": "fraud-train", "command": ["python"], **fields}
    )


def endpoint(**fields: object) -> Workload:
    return WORKLOAD.validate_python(
        {"kind": "endpoint", "name": "fraud", "model": "models:/fraud/1", **fields}
    )


def placement(
    *, offer: dict[str, object] | None = None, context: Context | None = None, **capability: object
) -> Placement:
    facts = {"functions": ("train", "online"), **capability}
    size = {"sku": "machine", "region": "local", "cpu": 2.0, "memory": 4_000_000_000}
    given_offer = Offer.model_validate({**size, **(offer or {})})
    platform = Platform(
        name="local",
        description="a machine",
        capability=Capability.model_validate(facts),
        offers=(given_offer,),
        source="this test",
    )
    return Placement(platform, given_offer, context or Context())


def ask(rule: Ask, workload: Workload, where: Placement) -> Verdict:
    (need,) = needs_of(workload)
    verdict = rule(need, where)
    assert verdict is not None
    return verdict


def apply(workload: Workload, remedy: str | None) -> Workload:
    """Apply a remedy as a person would: write its value into the file's field."""
    match = REMEDY.fullmatch(remedy or "")
    assert match is not None, remedy
    fields = workload.model_dump(mode="json")
    *parents, last = match[1].split(".")
    target = fields
    for parent in parents:
        target = target[parent]
    target[last] = yaml.safe_load(match[2])
    return WORKLOAD.validate_python(fields)


def test_a_platform_without_the_function_is_rejected():
    verdict = ask(rules.function_supported, endpoint(), placement(functions=("train",)))
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.rule == "G2"
    assert verdict.reason == "needs the function `online`; it does `train`"
    assert verdict.remedy is None


def test_a_platform_with_the_function_is_accepted():
    verdict = ask(rules.function_supported, job(), placement())
    assert verdict.outcome is Outcome.OK


def test_another_platform_than_the_one_asked_for_is_rejected():
    workload = job(requirements={"platform": "azureml"})
    verdict = ask(rules.platform_chosen, workload, placement())
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.remedy == "`requirements.platform: local`"
    changed = apply(workload, verdict.remedy)
    assert ask(rules.platform_chosen, changed, placement()).outcome is Outcome.OK


def test_a_platform_that_is_known_without_an_engine_is_rejected_as_such():
    context = Context(known_platforms=("aks", "local"))
    workload = job(requirements={"platform": "aks"})
    verdict = ask(rules.platform_chosen, workload, placement(context=context))
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == (
        "`aks` was asked for; Plinth knows it and cannot run anything there yet"
    )
    assert verdict.remedy == "`requirements.platform: local`"


def test_a_platform_that_nobody_knows_is_rejected_with_the_nearest_name():
    context = Context(known_platforms=("databricks-jobs", "local"))
    workload = job(requirements={"platform": "databrick-jobs"})
    verdict = ask(rules.platform_chosen, workload, placement(context=context))
    assert verdict.reason.endswith("no platform has that name, the nearest is `databricks-jobs`")
    workload = job(requirements={"platform": "xyzzy"})
    verdict = ask(rules.platform_chosen, workload, placement(context=context))
    assert verdict.reason == "`xyzzy` was asked for; no platform has that name"


def test_too_few_cores_are_rejected_with_the_numbers():
    verdict = ask(rules.cpu_fits, job(resources={"cpu": 8}), placement())
    assert (verdict.outcome, verdict.reason) == (Outcome.NOT_OK, "needs 8 cores, has 2")
    assert verdict.remedy == "`resources.cpu: 2.0`"


def test_enough_cores_are_accepted():
    verdict = ask(rules.cpu_fits, job(resources={"cpu": 1}), placement())
    assert (verdict.outcome, verdict.reason) == (Outcome.OK, "needs 1 core, has 2")


def test_numbers_that_look_alike_are_written_out():
    verdict = ask(rules.cpu_fits, job(resources={"cpu": 2.0000001}), placement())
    assert verdict.reason == "needs 2.0000001 cores, has 2.0"
    needed = job(resources={"memory": 4_000_000_001})
    verdict = ask(rules.memory_fits, needed, placement())
    assert verdict.reason == "needs 4000000001 bytes, has 4000000000"


def test_too_little_memory_is_rejected_with_the_numbers():
    verdict = ask(rules.memory_fits, job(resources={"memory": "16GB"}), placement())
    assert (verdict.outcome, verdict.reason) == (Outcome.NOT_OK, "needs 16.0 GB, has 4.0 GB")
    assert verdict.remedy == "`resources.memory: 4000MB`"


def test_replicas_share_a_machine_as_far_as_they_fit():
    where = placement(offer={"count": 1})
    assert ask(rules.replicas_fit, endpoint(replicas=2), where).outcome is Outcome.OK
    verdict = ask(rules.replicas_fit, endpoint(replicas=3), where)
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "needs 3 replicas, has room for 2"
    assert verdict.remedy == "`replicas: 2`"


def test_three_tenths_of_a_core_hold_three_replicas_of_a_tenth():
    where = placement(offer={"count": 1, "cpu": 0.3})
    small = endpoint(replicas=3, resources={"cpu": 0.1})
    assert ask(rules.replicas_fit, small, where).outcome is Outcome.OK


def test_replicas_are_no_question_for_a_job_or_where_instances_are_not_counted():
    assert rules.replicas_fit(needs_of(job())[0], placement(offer={"count": 1})) is None
    assert rules.replicas_fit(needs_of(endpoint(replicas=16))[0], placement()) is None


def test_a_platform_without_accelerators_is_rejected_when_one_is_asked_for():
    workload = job(resources={"accelerator": "A100:2"})
    verdict = ask(rules.accelerator_present, workload, placement())
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "needs 2 x A100, has no accelerator"
    assert (
        rules.accelerator_present(needs_of(apply(workload, verdict.remedy))[0], placement()) is None
    )


def test_too_few_accelerators_are_rejected_with_how_many_there_are():
    where = placement(accelerators=({"kind": "A100", "count": 1},))
    workload = job(resources={"accelerator": "A100:2"})
    verdict = ask(rules.accelerator_present, workload, where)
    assert verdict.reason == "needs 2 x A100, has 1"
    changed = apply(workload, verdict.remedy)
    assert ask(rules.accelerator_present, changed, where).outcome is Outcome.OK


def test_another_kind_of_accelerator_is_rejected_by_name():
    where = placement(accelerators=({"kind": "T4", "count": 4},))
    verdict = ask(rules.accelerator_present, job(resources={"accelerator": "A100"}), where)
    assert verdict.reason == "needs 1 x A100, has `4 x T4`"


def test_no_accelerator_is_no_question():
    assert rules.accelerator_present(needs_of(job())[0], placement()) is None


def test_isolation_below_what_is_required_is_rejected():
    workload = job(requirements={"isolation": 3})
    verdict = ask(rules.isolation_reachable, workload, placement(isolation=2))
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "level 3 is required, it offers 2"
    assert verdict.remedy == "`requirements.isolation: 2`"


def test_isolation_that_was_not_probed_is_unknown():
    verdict = ask(rules.isolation_reachable, job(requirements={"isolation": 3}), placement())
    assert verdict.outcome is Outcome.UNKNOWN


def test_isolation_is_no_question_when_nothing_is_required():
    assert rules.isolation_reachable(needs_of(job())[0], placement(isolation=0)) is None


def test_a_region_that_the_file_does_not_allow_is_rejected():
    workload = job(requirements={"regions": ["westeurope"]})
    verdict = ask(rules.region_required, workload, placement())
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "it is in `local`; the file allows `westeurope`"
    assert verdict.remedy == '`requirements.regions: ["westeurope", "local"]`'


def test_a_region_that_the_team_may_not_use_is_rejected_and_the_file_cannot_change_that():
    where = placement(context=Context(allowed_regions=("westeurope",)))
    verdict = ask(rules.region_allowed, job(team="ops"), where)
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "it is in `local`; the team `ops` may use `westeurope`"
    assert verdict.remedy is None
    where = placement(context=Context(allowed_regions=("local",)))
    assert ask(rules.region_allowed, job(), where).outcome is Outcome.OK


def test_capacity_that_is_taken_back_is_rejected_for_work_that_may_not_be_interrupted():
    workload = job()
    where = placement(interruptible=True)
    verdict = ask(rules.interruption_bearable, workload, where)
    assert (verdict.rule, verdict.outcome) == ("T5b", Outcome.NOT_OK)
    changed = apply(workload, verdict.remedy)
    assert ask(rules.interruption_bearable, changed, where).outcome is Outcome.OK


def test_capacity_of_which_it_is_not_known_whether_it_is_taken_back_is_unknown():
    assert ask(rules.interruption_bearable, job(), placement()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("able", "outcome"),
    [(True, Outcome.OK), (False, Outcome.NOT_OK), (None, Outcome.UNKNOWN)],
)
def test_scale_to_zero_is_judged_where_an_endpoint_requires_it(able, outcome):
    workload = endpoint(requirements={"scale_to_zero": True})
    verdict = ask(rules.scale_to_zero_supported, workload, placement(scale_to_zero=able))
    assert (verdict.rule, verdict.outcome) == ("H1b", outcome)
    if outcome is Outcome.NOT_OK:
        assert (
            rules.scale_to_zero_supported(needs_of(apply(workload, verdict.remedy))[0], placement())
            is None
        )


def test_a_job_leaves_nothing_running_and_so_scales_to_zero_everywhere():
    workload = job(requirements={"scale_to_zero": True})
    verdict = ask(rules.scale_to_zero_supported, workload, placement(scale_to_zero=False))
    assert verdict.outcome is Outcome.OK


def test_a_network_that_cannot_be_held_is_rejected():
    where = placement(networks=("open",))
    verdict = ask(rules.network_held, job(), where)
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == "the network `gateway` is asked for; it offers `open`"
    assert ask(rules.network_held, apply(job(), verdict.remedy), where).outcome is Outcome.OK


def test_a_network_of_which_nothing_is_known_is_unknown_and_no_question_for_an_endpoint():
    assert ask(rules.network_held, job(), placement()).outcome is Outcome.UNKNOWN
    assert rules.network_held(needs_of(endpoint())[0], placement()) is None


def test_every_rule_is_asked():
    public = {
        value
        for name, value in vars(rules).items()
        if callable(value) and getattr(value, "__module__", "") == rules.__name__ and name[0] != "_"
    }
    assert public - {rules.taken_back_at_any_time} == {rule.ask for rule in rules.BASIC}


REGIONS = st.sampled_from(["local", "westeurope", "germany north", "ö"])
WORKLOADS = st.builds(
    lambda make, cpu, memory, isolation, regions: make(
        resources={"cpu": cpu, "memory": memory},
        requirements={"isolation": isolation, "regions": regions},
    ),
    st.sampled_from([job, endpoint]),
    st.floats(0.001, 10_000),
    st.integers(LEAST_SERVER_MEMORY, 2**50),
    st.none() | st.integers(0, 4),
    st.lists(REGIONS, max_size=3),
)
PLACEMENTS = st.builds(
    lambda cpu, memory, region, isolation: placement(
        offer={"cpu": cpu, "memory": memory, "region": region}, isolation=isolation
    ),
    st.floats(0.01, 512),
    st.integers(LEAST_SERVER_MEMORY, 2**42),
    REGIONS,
    st.none() | st.integers(0, 4),
)


@settings(max_examples=100, deadline=None)
@given(WORKLOADS, PLACEMENTS)
def test_a_stated_remedy_really_makes_its_rule_ok(workload, where):
    judged = (
        rules.cpu_fits,
        rules.memory_fits,
        rules.isolation_reachable,
        rules.region_required,
    )
    for rule in judged:
        (need,) = needs_of(workload)
        verdict = rule(need, where)
        if verdict is not None and verdict.outcome is Outcome.NOT_OK:
            changed = apply(workload, verdict.remedy)
            assert ask(rule, changed, where).outcome is Outcome.OK


def test_where_this_machine_stands_is_what_its_owner_says() -> None:
    owned = Inventory(owned=(Owned(name="local", platform="local", region="westeurope"),))
    here = placement(context=Context(inventory=owned))
    for regions in (["westeurope"], ["eu"]):
        workload = job(requirements={"regions": regions})
        assert ask(rules.region_required, workload, here).outcome is Outcome.OK
    elsewhere = ask(rules.region_required, job(requirements={"regions": ["eastus"]}), here)
    assert elsewhere.reason == "it is in `westeurope`; the file allows `eastus`"


@pytest.mark.parametrize(("rule", "field"), [("cpu", "--cpu"), ("memory", "--memory")])
def test_the_size_of_what_is_owned_is_unknown_where_nobody_states_it(rule: str, field: str):
    owned = Owned(name="ours", platform="kubernetes", region="westeurope")
    where = place(
        "kubernetes",
        sku="ours",
        tier="own-hardware",
        context=Context(inventory=Inventory(owned=(owned,))),
    )
    ask_size = rules.cpu_fits if rule == "cpu" else rules.memory_fits
    verdict = ask_size(need(part="train", train={"resources": {"cpu": 500}}), where)
    assert verdict is not None
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reason.endswith(
        f"what `ours` has is not stated; `plinth inventory add` says it with `{field}`"
    )
