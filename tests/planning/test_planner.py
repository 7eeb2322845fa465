import json
import random
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.plan import Outcome, Plan
from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.workload import WORKLOAD, Workload
from plinth.planning.context import Context, Placement
from plinth.planning.planner import canonical_inputs, judge, plan
from plinth.planning.rules import RULES_OF

ENDPOINT = WORKLOAD.validate_python(
    {
        "kind": "endpoint",
        "name": "fraud",
        "model": "models:/fraud/1",
        "replicas": 2,
        "resources": {"cpu": 2, "memory": "4GB"},
        "requirements": {"isolation": 2, "scale_to_zero": True},
    }
)
KNOWN = Capability(
    functions=("train", "online"), isolation=3, scale_to_zero=True, interruptible=False
)


def offer(sku: str = "small", **facts: object) -> Offer:
    size = {"sku": sku, "region": "westeurope", "cpu": 4, "memory": 16_000_000_000}
    return Offer.model_validate({**size, **facts})


def platform(name: str, *offers: Offer, capability: Capability = KNOWN) -> Platform:
    return Platform(
        name=name, description="", capability=capability, offers=offers, source="this test"
    )


def order(found: Plan) -> list[tuple[str, str]]:
    chosen = [found.chosen] if found.chosen else []
    return [(item.platform, item.offer.sku) for item in (*chosen, *found.rejected)]


def test_the_cheapest_known_price_is_chosen_before_an_unknown_one():
    places = [
        platform("a", offer(price_per_hour=None)),
        platform("b", offer(price_per_hour="2.50")),
        platform("c", offer(price_per_hour="1.10")),
    ]
    found = plan(ENDPOINT, places, Context())
    assert [name for name, _ in order(found)] == ["c", "b", "a"]
    assert found.chosen is not None
    assert found.chosen.cost_per_hour == Decimal("2.20")


def test_a_price_in_another_currency_is_not_compared():
    places = [
        platform("a", offer(price_per_hour="0.01", currency="USD")),
        platform("b", offer(price_per_hour="9.00")),
    ]
    assert order(plan(ENDPOINT, places, Context()))[0][0] == "b"
    assert order(plan(ENDPOINT, places, Context(currency="USD")))[0][0] == "a"


def test_of_equal_prices_the_one_with_fewer_unknowns_is_chosen():
    vague = Capability(functions=("online",))
    places = [platform("a", offer(), capability=vague), platform("b", offer())]
    assert order(plan(ENDPOINT, places, Context()))[0][0] == "b"


def test_of_equal_answers_the_one_with_more_room_is_chosen():
    places = [platform("a", offer("small"), offer("large", cpu=16, memory=64_000_000_000))]
    assert order(plan(ENDPOINT, places, Context()))[0] == ("a", "large")


def test_nothing_is_chosen_when_every_offer_is_rejected():
    found = plan(ENDPOINT, [platform("a", offer(cpu=1), offer(memory=1))], Context())
    assert found.chosen is None
    assert len(found.rejected) == 2


def test_what_fewest_rules_reject_comes_first_among_the_rejected():
    places = [platform("a", offer("both", cpu=1, memory=1), offer("one", cpu=1))]
    assert [sku for _, sku in order(plan(ENDPOINT, places, Context()))] == ["one", "both"]


def test_all_rules_are_asked_also_after_one_rejected():
    capability = Capability(functions=(), isolation=0, scale_to_zero=False, interruptible=True)
    candidate = judge(
        ENDPOINT,
        Placement(platform("a", capability=capability), offer(cpu=1, memory=1), Context()),
    )
    failed = [item.rule for item in candidate.verdicts if item.outcome is Outcome.NOT_OK]
    assert failed == ["G2", "R2.isolation", "cpu", "memory", "T5b", "H1b"]


def test_no_platforms_give_an_empty_plan():
    found = plan(ENDPOINT, [], Context())
    assert (found.chosen, found.rejected) == (None, ())


def test_a_plan_survives_the_round_trip_through_json():
    found = plan(ENDPOINT, [platform("a", offer(price_per_hour="1.10"))], Context())
    assert Plan.model_validate_json(found.model_dump_json()) == found


def test_the_digest_changes_with_every_kind_of_input():
    places = [platform("a", offer())]
    other = ENDPOINT.model_copy(update={"replicas": 1})
    digests = {
        plan(ENDPOINT, places, Context()).inputs_digest,
        plan(other, places, Context()).inputs_digest,
        plan(ENDPOINT, [platform("b", offer())], Context()).inputs_digest,
        plan(ENDPOINT, places, Context(currency="USD")).inputs_digest,
    }
    assert len(digests) == 4


def test_the_digested_inputs_are_json_without_spaces_and_with_sorted_keys():
    content = canonical_inputs(ENDPOINT, [platform("a", offer())], Context())
    assert list(json.loads(content)) == ["context", "platforms", "workload"]
    assert b'":"' in content
    assert b'": ' not in content


MAYBE = st.none() | st.booleans()
LEVEL = st.none() | st.integers(0, 4)
PLATFORMS = st.lists(
    st.builds(
        lambda name, capability, offers: platform(name, *offers, capability=capability),
        st.sampled_from(["local", "azureml", "ray"]),
        st.builds(
            Capability,
            functions=st.sampled_from([("train", "online"), ("train",), ()]),
            isolation=LEVEL,
            scale_to_zero=MAYBE,
            interruptible=MAYBE,
            networks=st.sampled_from([None, ("open",), ("gateway", "open")]),
        ),
        st.lists(
            st.builds(
                Offer,
                sku=st.sampled_from(["small", "large"]),
                region=st.sampled_from(["local", "westeurope"]),
                cpu=st.floats(0.5, 64),
                memory=st.integers(10**8, 10**12),
                price_per_hour=st.none() | st.decimals(0, 100, places=4),
                count=st.none() | st.integers(1, 4),
            ),
            max_size=3,
        ),
    ),
    max_size=3,
    unique_by=lambda place: place.name,
)
WORKLOADS: st.SearchStrategy[Workload] = st.builds(
    lambda kind, cpu, isolation, zero: WORKLOAD.validate_python(
        {
            "name": "fraud",
            **kind,
            "resources": {"cpu": cpu},
            "requirements": {"isolation": isolation, "scale_to_zero": zero},
        }
    ),
    st.sampled_from(
        [
            {"kind": "job", "command": ["python"]},
            {"kind": "endpoint", "model": "models:/fraud/1", "replicas": 3},
        ]
    ),
    st.floats(0.1, 64),
    LEVEL,
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(WORKLOADS, PLATFORMS, st.randoms(use_true_random=False))
def test_the_same_inputs_give_the_same_bytes_in_any_order(
    workload: Workload, places: list[Platform], chance: random.Random
):
    first = plan(workload, places, Context())
    chance.shuffle(places)
    again = plan(WORKLOAD.validate_python(workload.model_dump(mode="json")), places, Context())
    assert again.model_dump_json() == first.model_dump_json()


@settings(max_examples=60, deadline=None)
@given(WORKLOADS, PLATFORMS)
def test_a_fact_that_is_not_known_never_rejects(workload: Workload, places: list[Platform]):
    for place in places:
        known = place.capability
        vague = known.model_copy(
            update={
                "isolation": None,
                "scale_to_zero": None,
                "interruptible": None,
                "networks": None,
            }
        )
        hidden = place.model_copy(update={"capability": vague})
        about_facts = {"R2.isolation", "H1b", "T5b", "network"}
        for candidate in (
            judge(workload, Placement(hidden, size, Context())) for size in hidden.offers
        ):
            for verdict in candidate.verdicts:
                if verdict.rule in about_facts:
                    assert verdict.outcome is not Outcome.NOT_OK


@settings(max_examples=60, deadline=None)
@given(WORKLOADS, PLATFORMS)
def test_what_is_chosen_is_feasible_and_no_feasible_one_is_cheaper(
    workload: Workload, places: list[Platform]
):
    found = plan(workload, places, Context())
    assert len(order(found)) == sum(len(place.offers) for place in places)
    feasible = [item for item in found.rejected if item.is_feasible]
    if found.chosen is None:
        assert not feasible
        return
    assert found.chosen.is_feasible
    prices = [item.cost_per_hour for item in feasible if item.cost_per_hour is not None]
    if prices:
        assert found.chosen.cost_per_hour is not None
        assert found.chosen.cost_per_hour <= min(prices)


def test_no_rule_answers_twice():
    candidate = judge(ENDPOINT, Placement(platform("a"), offer(count=1), Context()))
    names = [verdict.rule for verdict in candidate.verdicts]
    assert len(names) == len(set(names)) <= len(RULES_OF["online"])
