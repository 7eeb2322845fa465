"""A workspace's file: its size comes from a profile, and a GPU needs a reason and a time."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.load import LoadError, load_workload
from plinth.domain.need import needs_of
from plinth.domain.workload import WORKLOAD
from plinth.domain.workspace import PROFILES, GpuUse, Workspace

GPU = {"reason": "tune a model", "max_time": "4h"}


def workspace(**fields: Any) -> Workspace:
    return Workspace.model_validate({"kind": "workspace", "name": "lab", **fields})


def test_a_profile_is_its_size_and_what_the_file_says_counts_before_it() -> None:
    for name, size in PROFILES.items():
        made = workspace(profile=name, **({"gpu": GPU} if "accelerator" in size else {}))
        assert (made.resources.cpu, made.resources.memory) == (size["cpu"], size["memory"])
    own = workspace(profile="large", resources={"memory": "3GB"})
    assert (own.resources.cpu, own.resources.memory) == (8.0, 3_000_000_000)
    assert workspace().resources == workspace(profile="small").resources


def test_it_is_the_same_after_it_was_kept_as_json() -> None:
    made = workspace(profile="gpu", gpu=GPU, schedule={"stop_at": "19:00"})
    kept = {"kind": "workspace", **made.model_dump(mode="json", exclude_unset=True)}
    assert WORKLOAD.validate_python(kept) == made


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"profile": "gpu"}, "for a reason and a time"),
        ({"profile": "small", "gpu": GPU}, "profile `small` has none"),
        ({"profile": "gpu", "gpu": {"reason": "", "max_time": "4h"}}, "needed for, in 1 to 500"),
        ({"profile": "gpu", "gpu": {"reason": "x"}}, "Field required"),
        ({"idle_stop": "2s"}, "at least 5 s"),
        ({"schedule": {"stop_at": "7pm"}}, "is not a time of day"),
        ({"schedule": {"stop_at": 1140}}, "valid string"),
        ({"schedule": {"stop_at": "19:00", "timezone": "Mars/Base"}}, "is not a time zone"),
        ({"schedule": {"stop_at": "19:00", "timezone": "../etc"}}, "is not a time zone"),
        ({"max_time": "60d"}, "at most 30 days"),
        ({"max_time": "1s"}, "at least 5 s, so that it can be opened before it ends"),
        ({"profile": "gpu", "gpu": {"reason": "x", "max_time": "1s"}}, "at least 5 s"),
        ({"resources": {"memory": "1kB"}}, "a server does not start with less than 64.0 MB"),
        ({"profile": "huge"}, "Input should be"),
        ({"resources": 7}, "resources"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        workspace(**fields)


def test_a_file_is_read_with_its_mistakes_by_line() -> None:
    text = "kind: workspace\nname: lab\nprofile: gpux\nidle_stop: 1s\n"
    with pytest.raises(LoadError) as caught:
        load_workload(text, "lab.yaml")
    said = str(caught.value)
    assert "lab.yaml:3: profile: `gpux`" in said
    assert "lab.yaml:4: idle_stop: at least 5 s" in said


def test_another_size_keeps_all_but_the_size() -> None:
    made = workspace(data={"f": "f@1"}, shared=True, resources={"memory": "1GB"})
    larger = made.resized("large")
    assert larger.resources.memory == PROFILES["large"]["memory"]
    assert (larger.data, larger.shared, larger.profile) == (made.data, True, "large")
    with pytest.raises(ValidationError, match="for a reason"):
        made.resized("gpu")
    asked = made.resized("gpu", GpuUse.model_validate(GPU))
    assert asked.resources.accelerator is not None
    assert asked.resized("small").gpu is None


def test_what_a_file_says_otherwise_than_its_profile_is_its_own() -> None:
    assert workspace(profile="large").own_resources == {}
    own = workspace(profile="small", resources={"cpu": 1.0, "memory": "1GB"})
    assert own.own_resources == {"memory": 1_000_000_000}
    kept = Workspace.model_validate(own.model_dump(mode="json"))
    assert kept.own_resources == own.own_resources
    assert workspace(profile="gpu", gpu=GPU).own_resources == {}


def test_a_session_and_its_key_last_no_longer_than_the_gpu_may() -> None:
    assert workspace(profile="gpu", gpu=GPU).longest_s == 4 * 3600
    assert workspace(max_time="2h").key_s == 2 * 3600
    assert workspace(profile="gpu", gpu=GPU, max_time="1h").longest_s == 3600


def test_the_planner_is_asked_for_exploration() -> None:
    (need,) = needs_of(workspace(profile="gpu", gpu=GPU, team="red"))
    assert (need.function, need.gpu_reason, need.gpu_hours) == ("explore", "tune a model", 4.0)
    assert (need.team, need.team_share, need.network) == ("red", True, "gateway")
    (plain,) = needs_of(workspace(network="open"))
    assert (plain.gpu_reason, plain.network) == (None, "open")
