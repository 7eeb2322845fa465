import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.catalog.platforms import platform_names
from plinth.domain.plan import Outcome
from plinth.planning.rules.explore import EXPLORE, stays_where_it_is
from tests.planning.rules.asked import changes_hold, keeps_its_scope
from tests.planning.rules.placed import application, need, place

PARTS = st.fixed_dictionaries(
    {},
    optional={
        "resources": st.sampled_from([{"accelerator": "T4"}, {"accelerator": "A100:2"}, {}]),
        "demand": st.fixed_dictionaries(
            {"users": st.integers(1, 500), "hours": st.floats(0, 744, allow_nan=False)}
        ),
        "gpu_reason": st.sampled_from(["embeddings", "", " "]),
        "gpu_hours": st.floats(0, 744, allow_nan=False),
        "team_share": st.booleans(),
        "data": st.sampled_from([[], ["sales"]]),
    },
)


@given(part=PARTS, name=st.sampled_from(platform_names()), kept=st.sampled_from(platform_names()))
def test_every_change_that_is_named_changes_the_verdict(
    part: dict[str, object], name: str, kept: str
) -> None:
    data = {"sales": {"size": "5GB", "region": "westeurope", "platform": kept}}
    whole = application("explore", explore=part, data=data)
    for rule in EXPLORE:
        changes_hold(rule.ask, whole, place(name), "explore")


@pytest.mark.parametrize("name", ["azureml-compute-instance", "databricks-jobs", "foundry-hub"])
def test_rules_read_no_more_than_their_scope_says(name: str) -> None:
    asked = need(part="explore", explore={"resources": {"accelerator": "T4"}, "team_share": True})
    for rule in EXPLORE:
        keeps_its_scope(rule, asked, place(name))


def test_rules_of_exploration_are_asked_for_exploration_only() -> None:
    assert all(rule.functions == {"explore"} for rule in EXPLORE)
    assert all(rule.question.startswith("Tell whether") for rule in EXPLORE)


def test_the_inventory_change_names_no_region_where_the_data_has_none() -> None:
    said = stays_where_it_is(need(part="explore", explore={}), place("databricks-jobs"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert str(said.change) == "plinth inventory add databricks-jobs"


def test_more_hours_than_a_month_has_are_no_negative_idle_time() -> None:
    asked = need(part="explore", explore={"demand": {"hours": 744}})
    reasons = [rule.ask(asked, place("data-science-vm")) for rule in EXPLORE]
    assert any(
        each and each.reason.endswith(": 0 of 730 hours of a month idle") for each in reasons
    )
