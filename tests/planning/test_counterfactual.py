"""Every change that is named has been tried: with it, the platform is admitted."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.plan import Change, Outcome
from plinth.domain.platform import Capability, Platform
from plinth.domain.workload import WORKLOAD, Workload
from plinth.kit.errors import Invalid, NotFound
from plinth.planning.context import Context, Placement
from plinth.planning.counterfactual import (
    change_workload,
    differences,
    field_paths,
    read_change,
    why_not,
)
from plinth.planning.planner import judge, plan
from tests.planning.test_planner import ENDPOINT, PLATFORMS, offer, platform

REGIONS = st.sampled_from(["local", "westeurope", "germany north", "1e5"])
KINDS = st.sampled_from(
    [
        {"kind": "job", "command": ["python"]},
        {"kind": "job", "command": ["python"], "network": "open"},
        {"kind": "endpoint", "model": "models:/fraud/1", "replicas": 3},
    ]
)
WORKLOADS: st.SearchStrategy[Workload] = st.builds(
    lambda kind, resources, requirements: WORKLOAD.validate_python(
        {"name": "fraud", **kind, "resources": resources, "requirements": requirements}
    ),
    KINDS,
    st.fixed_dictionaries(
        {"cpu": st.floats(0.1, 100), "memory": st.integers(1, 2**42)},
        optional={"accelerator": st.sampled_from(["A100", "A100:4", "T4"])},
    ),
    st.fixed_dictionaries(
        {
            "platform": st.sampled_from([None, None, "local", "azureml"]),
            "regions": st.lists(REGIONS, max_size=2),
            "isolation": st.none() | st.integers(0, 4),
            "interruptible": st.booleans(),
            "scale_to_zero": st.booleans(),
        }
    ),
)


def listed(changes: tuple[Change, ...] | None) -> list[str] | None:
    return None if changes is None else [str(change) for change in changes]


@settings(max_examples=1000, deadline=None)
@given(WORKLOADS, PLATFORMS)
def test_the_changes_that_are_named_admit_the_platform_and_fewer_do_not(
    workload: Workload, places: list[Platform]
) -> None:
    for place in places:
        found = why_not(workload, places, Context(), place.name)
        if found.changes is None:
            continue
        assert found.candidate is not None
        size = Placement(place, found.candidate.offer, Context())
        assert judge(change_workload(workload, found.changes), size).is_feasible
        for fewer in itertools.combinations(found.changes, max(0, len(found.changes) - 1)):
            if fewer != found.changes:
                assert not judge(change_workload(workload, fewer), size).is_feasible
        then = plan(change_workload(workload, found.changes), places, Context()).chosen
        assert then is not None
        assert found.would_be_chosen == (then.platform == place.name)


@settings(max_examples=200, deadline=None)
@given(WORKLOADS, PLATFORMS)
def test_no_change_admits_it_only_where_a_rule_has_none(
    workload: Workload, places: list[Platform]
) -> None:
    for place in places:
        found = why_not(workload, places, Context(), place.name)
        if found.changes is None and found.candidate is not None:
            assert any(verdict.change is None for verdict in found.failing)


def test_of_several_sizes_the_one_that_needs_fewest_changes_is_shown() -> None:
    places = [platform("a", offer("tiny", cpu=1, memory=1), offer("narrow", cpu=1))]
    found = why_not(ENDPOINT, places, Context(), "a")
    assert found.candidate is not None
    assert found.candidate.offer.sku == "narrow"
    assert listed(found.changes) == ["resources.cpu: 1.0"]
    assert found.would_be_chosen


def test_a_dearer_one_is_admitted_and_not_chosen() -> None:
    places = [platform("a", offer(price_per_hour="1")), platform("b", offer(price_per_hour="2"))]
    found = why_not(ENDPOINT, places, Context(), "b")
    assert (found.failing, found.changes, found.would_be_chosen) == ((), (), False)


def test_what_no_change_to_the_file_admits_says_so() -> None:
    places = [platform("a", offer(), capability=Capability(functions=("train",)))]
    found = why_not(ENDPOINT, places, Context(), "a")
    assert found.changes is None
    assert [verdict.rule for verdict in found.failing] == ["G2"]


def test_a_platform_without_sizes_has_no_candidate() -> None:
    found = why_not(ENDPOINT, [platform("a")], Context(), "a")
    assert (found.candidate, found.changes) == (None, None)


def test_a_platform_that_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean `azureml`"):
        why_not(ENDPOINT, [platform("azureml", offer())], Context(), "azurml")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("cpu=2", "resources.cpu", 2),
        ("resources.memory=16GB", "resources.memory", "16GB"),
        ("regions=westeurope, local", "requirements.regions", ["westeurope", "local"]),
        ("regions=[a]", "requirements.regions", ["a"]),
        ("regions=", "requirements.regions", None),
        ("scale_to_zero=false", "requirements.scale_to_zero", False),
        ("replicas=3", "replicas", 3),
        ("accelerator=A100:2", "resources.accelerator", "A100:2"),
        ("resources.accelerator.count=2", "resources.accelerator.count", 2),
    ],
)
def test_a_change_is_read_as_it_stands_in_a_file(text: str, field: str, value: object) -> None:
    assert read_change(ENDPOINT, text) == Change(field=field, value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cpu", "`cpu` is no change"),
        ("cpus=2", "`cpus`: kind `endpoint` has no such field; did you mean `cpu`"),
        ("command=[a]", "`command`: kind `endpoint` has no such field"),
        ("cpu=[1", "`\\[1` cannot be read"),
        ("cpu=1\nkind: job", "cannot be read"),
    ],
)
def test_what_is_no_change_is_refused(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_change(ENDPOINT, text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(field="resources.cpu", value=-1), "resources.cpu: `-1` is not accepted"),
        (Change(field="resources.cpu", value="NaN"), "resources.cpu: `NaN` "),
        (Change(field="resources.memory", value="1ZB"), "resources.memory: `1ZB` is not a size"),
        (Change(field="resources.none.at.all", value=1), "has no such field"),
        (Change(field="resources.accelerator.count", value=2), "has no such field"),
        (Change(field="replicas", value=10**30), "replicas: "),
    ],
)
def test_a_value_that_is_not_accepted_there_is_refused(change: Change, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        change_workload(ENDPOINT, [change])


def test_every_path_leads_to_a_field() -> None:
    paths = field_paths(type(ENDPOINT))
    assert {"replicas", "resources.cpu", "requirements.regions"} <= set(paths)
    assert "kind" not in paths
    assert len(paths) == len(set(paths))


def test_differences_name_what_is_answered_otherwise_and_why() -> None:
    places = [
        platform("a", offer(price_per_hour="1", cpu=4)),
        platform("b", offer(price_per_hour="2", cpu=16)),
    ]
    before = plan(ENDPOINT, places, Context())
    change = Change(field="resources.cpu", value=8)
    after = plan(change_workload(ENDPOINT, [change]), places, Context())
    first, second = differences(before, after)
    assert (first.platform, first.before, first.after, first.rules) == (
        *("b", "possible", "chosen"),
        (),
    )
    assert (second.platform, second.before, second.after) == ("a", "chosen", "rejected")
    assert [(rule.rule, rule.outcome) for rule in second.rules] == [("cpu", Outcome.NOT_OK)]
    assert differences(before, before) == ()


def test_a_candidate_of_one_plan_only_is_named() -> None:
    before = plan(ENDPOINT, [platform("a", offer())], Context())
    after = plan(ENDPOINT, [platform("b", offer())], Context())
    found = {(each.platform, each.before, each.after) for each in differences(before, after)}
    assert found == {("a", "chosen", None), ("b", None, "chosen")}
