"""Changes are read as they stand in a file, and checked before they are made."""

from __future__ import annotations

import pytest

from plinth.domain.application import Application
from plinth.domain.inventory import Owned
from plinth.domain.plan import Change
from plinth.kit.errors import Invalid
from plinth.planning.change import (
    change_context,
    change_declaration,
    field_paths,
    find_field,
    kept_by_parts,
    read_change,
)
from plinth.planning.context import Context
from tests.planning.test_planner import ENDPOINT

APPLICATION = Application.model_validate(
    {
        "kind": "application",
        "name": "churn",
        "requirements": {"rto": "4h", "regions": ["eu"]},
        "data": {"customers": {"size": "1GB"}},
        "train": {"data": ["customers"]},
        "online": {"format": "onnx", "requirements": {"latency": "200ms"}},
    }
)


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
        change_declaration(ENDPOINT, [change])


def test_every_path_leads_to_a_field() -> None:
    paths = field_paths(ENDPOINT)
    assert {"replicas", "resources.cpu", "requirements.regions"} <= set(paths)
    assert "kind" not in paths
    assert len(paths) == len(set(paths))


def test_what_all_parts_share_comes_before_what_one_part_says() -> None:
    assert find_field(APPLICATION, "rto") == "requirements.rto"
    assert find_field(APPLICATION, "online.requirements.rto") == "online.requirements.rto"
    assert find_field(APPLICATION, "mirror_percent") == "online.mirror_percent"
    assert find_field(APPLICATION, "data.customers.region") == "data.customers.region"
    with pytest.raises(Invalid, match="may be"):
        find_field(APPLICATION, "demand")
    with pytest.raises(Invalid, match="no such field"):
        find_field(APPLICATION, "flow.tool")


def test_a_part_inherits_what_it_does_not_say_also_after_a_change() -> None:
    change = Change(field="online.requirements.latency", value="1s")
    changed = change_declaration(APPLICATION, [change])
    assert isinstance(changed, Application)
    assert changed.online is not None
    assert changed.online.requirements.model_fields_set == {"latency"}
    assert changed.online.requirements.latency == 1.0
    assert changed.requirements == APPLICATION.requirements


def test_a_change_of_data_names_it() -> None:
    change = read_change(APPLICATION, "data.customers.region=westeurope")
    changed = change_declaration(APPLICATION, [change])
    assert isinstance(changed, Application)
    assert changed.data["customers"].region == "westeurope"


def test_a_change_that_contradicts_another_field_is_refused() -> None:
    with pytest.raises(Invalid, match="give `model`, or the others"):
        change_declaration(APPLICATION, [Change(field="online.model", value="gpt-4o")])


def test_a_change_of_the_inventory_is_made_to_the_context() -> None:
    change = Change(field="aks", value={"region": "westeurope", "cpu": 8}, of_inventory=True)
    assert change_declaration(APPLICATION, [change]) == APPLICATION
    context = change_context(Context(), [change])
    assert context.inventory.owned == (
        Owned(name="aks", platform="aks", region="westeurope", cpu=8.0),
    )
    assert change_context(Context(), []) == Context()
    wrong = Change(field="aks", value={"count": -1}, of_inventory=True)
    with pytest.raises(Invalid, match="cannot be owned"):
        change_context(Context(), [wrong])


def test_what_a_part_says_itself_is_not_reached_by_what_is_changed_for_all() -> None:
    shared = Change(field="requirements.latency", value="1s")
    assert kept_by_parts(APPLICATION, [shared]) == ("online.requirements.latency",)
    own = Change(field="online.requirements.latency", value="1s")
    assert kept_by_parts(APPLICATION, [own]) == ()
    assert kept_by_parts(ENDPOINT, [shared]) == ()
