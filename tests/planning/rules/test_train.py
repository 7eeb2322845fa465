from hypothesis import given
from hypothesis import strategies as st

from plinth.catalog.platforms import platform_names
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.domain.workload import WORKLOAD
from plinth.planning.rules.train import TRAIN, data_handed_over
from tests.planning.rules.asked import changes_hold, keeps_its_scope
from tests.planning.rules.placed import application, need, place, with_facts

REQUIREMENTS = st.fixed_dictionaries(
    {},
    optional={
        "rto": st.sampled_from(["30m", "4h", "2d"]),
        "criticality": st.sampled_from(["dev", "test", "production", "critical"]),
        "freshness": st.integers(600, 366 * 86400),
        "checkpoint": st.sampled_from(["none", "declared", "verified"]),
        "interruptible": st.booleans(),
        "private_network": st.booleans(),
    },
)
DEMANDS = st.fixed_dictionaries(
    {"runs": st.floats(0.001, 44_640, allow_nan=False)},
    optional={
        "duration": st.integers(1, 366 * 86400),
        "measured": st.sampled_from([{}, {"D4s_v5": "10h", "D8s_v5": "4h"}, {"D2as_v5": "1h"}]),
    },
)
PARTS = st.fixed_dictionaries(
    {"requirements": REQUIREMENTS, "demand": DEMANDS},
    optional={
        "nodes": st.integers(1, 1000),
        "method": st.sampled_from(["full", "lora", "preference", "reinforcement"]),
        "base_model": st.sampled_from(["gpt-4o-mini", "o4-mini", "llama-3.1-8b", "grok-4"]),
        "data": st.sampled_from([[], ["sales"], ["sales", "more"]]),
    },
)
TIERS = st.sampled_from([None, "pay-as-you-go", "spot", "reserved", "own-hardware"])
NAMES = st.sampled_from(platform_names())


@given(part=PARTS, name=NAMES, kept=NAMES, tier=TIERS)
def test_every_change_that_is_named_changes_the_verdict(
    part: dict[str, object], name: str, kept: str, tier: str | None
) -> None:
    data = {"sales": {"size": "5GB", "platform": kept}, "more": {"size": "1GB"}}
    whole = application("train", train=part, data=data)
    placement = place(name, "eastus", tier=tier)
    for rule in TRAIN:
        changes_hold(rule.ask, whole, placement, "train")


@given(part=PARTS, name=NAMES, tier=TIERS)
def test_rules_read_no_more_than_their_scope_says(
    part: dict[str, object], name: str, tier: str | None
) -> None:
    data = {"sales": {"size": "5GB"}, "more": {"size": "1GB"}}
    asked = need(part="train", train=part, data=data)
    for rule in TRAIN:
        keeps_its_scope(rule, asked, place(name, tier=tier))


def test_a_plain_job_on_this_machine_is_asked_nothing_new() -> None:
    job = WORKLOAD.validate_python({"kind": "job", "name": "fit", "command": ["python"]})
    (plain,) = needs_of(job)
    local = place("local", "local", sku="machine", tier="own-hardware")
    assert [rule.ask(plain, local) for rule in TRAIN] == [None] * len(TRAIN)


def test_a_freshness_without_a_schedule_is_unknown() -> None:
    job = {"kind": "job", "name": "fit", "command": ["python"], "requirements": {"freshness": "1d"}}
    (plain,) = needs_of(WORKLOAD.validate_python(job))
    (ask,) = (each.ask for each in TRAIN if each.id == "T0b")
    said = ask(plain, place("local", "local"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_no_change_is_named_where_none_in_the_file_would_do() -> None:
    fresh = {"requirements": {"freshness": "1d"}, "demand": {"runs": 0.01, "duration": "2d"}}
    (ask,) = (each.ask for each in TRAIN if each.id == "T0b")
    said = ask(need(part="train", train=fresh), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.change is None


def test_data_on_two_other_machines_is_not_copied_by_one_change() -> None:
    data = {name: {"size": "1GB", "platform": "local"} for name in ("one", "two")}
    said = data_handed_over(
        need(part="train", train={"data": ["one", "two"]}, data=data), place("aks")
    )
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.change is None


def test_what_a_default_gives_up_may_be_nothing_or_unknown() -> None:
    (ask,) = (each.ask for each in TRAIN if each.id == "T7")
    asked = need(part="train", train={})
    for lost, words in (((), "nothing"), (None, "what is not known")):
        said = ask(asked, with_facts(place("azureml-compute-cluster"), control={"lost": lost}))
        assert said is not None
        assert said.reason.endswith(f"gives up {words}")


def test_whether_a_run_may_be_taken_back_is_asked_once() -> None:
    asked = need(part="train", train={"requirements": {"interruptible": True}})
    (ask,) = (each.ask for each in TRAIN if each.id == "T5b.checkpoint")
    unclear = with_facts(place("aks", tier=None), interruptible=None)
    # Unknown is what T5b says of it already.
    assert ask(asked, unclear) is None
