import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.platform import Capability, Offer, Platform
from plinth.domain.resources import LEAST_SERVER_MEMORY
from plinth.domain.workload import WORKLOAD, Workload
from plinth.planning.context import Context
from plinth.planning.explain import (
    nearest_change,
    no_platform_fits,
    summary,
)
from plinth.planning.planner import plan


def job(**fields: object) -> Workload:
    return WORKLOAD.validate_python(
        {"kind": "job", "name": "fraud-train", "command": ["python"], **fields}
    )


def machine(name: str, *, cpu: float = 2, **facts: object) -> Platform:
    known = {"functions": ("train",), "interruptible": False, "networks": ("gateway", "open")}
    return Platform(
        name=name,
        description="a machine",
        capability=Capability.model_validate({**known, **facts}),
        offers=(Offer(sku="machine", region="local", cpu=cpu, memory=4_000_000_000),),
        source="this test",
    )


def test_a_plan_that_fits_is_one_sentence():
    found = plan(job(), [machine("local")], Context())
    assert summary(found) == (
        "`fraud-train` fits `local` (machine: 2 cores, 4.0 GB), price unknown; 1 considered"
    )


def test_a_plan_that_fits_nowhere_names_every_rejection_in_columns():
    workload = job(resources={"cpu": 8, "memory": "16GB"})
    found = plan(workload, [machine("local"), machine("ray-head", functions=())], Context())
    assert (
        no_platform_fits(found)
        == """\
no platform fits `fraud-train`: 2 considered, 0 feasible
  local     cpu     needs 8 cores, has 2
  local     memory  needs 16.0 GB, has 4.0 GB
  ray-head  G2      needs the function `train`; it does nothing yet
  ray-head  cpu     needs 8 cores, has 2
  ray-head  memory  needs 16.0 GB, has 4.0 GB"""
    )
    assert nearest_change(found) == (
        "to run it on `local`, set `resources.cpu: 2.0` and `resources.memory: 4000MB`"
    )


def test_the_hint_is_honest_when_no_change_to_the_file_helps():
    found = plan(job(), [machine("local", functions=())], Context())
    assert nearest_change(found).startswith("no change to the file admits a platform")


def test_without_platforms_the_hint_says_how_to_get_one():
    found = plan(job(), [], Context())
    assert summary(found) == "no platform fits `fraud-train`: 0 considered, 0 feasible"
    assert "plinth up" in nearest_change(found)


def test_a_long_list_of_rejections_is_cut_with_how_to_see_the_rest():
    places = [machine(f"m{number:02}", cpu=0.5) for number in range(25)]
    lines = no_platform_fits(plan(job(), places, Context())).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 5 more; `plinth plan FILE --json` lists all"


def with_changes(workload: Workload, hint: str) -> Workload:
    fields = workload.model_dump(mode="json")
    for path, value in re.findall(r"`([a-z_.]+): ([^`]*)`", hint):
        *parents, last = path.split(".")
        target = fields
        for parent in parents:
            target = target[parent]
        target[last] = yaml.safe_load(value)
    return WORKLOAD.validate_python(fields)


ENDPOINTS = st.builds(
    lambda replicas, cpu, memory, isolation, zero, accelerator, region: WORKLOAD.validate_python(
        {
            "kind": "endpoint",
            "name": "fraud",
            "model": "models:/fraud/1",
            "replicas": replicas,
            "resources": {"cpu": cpu, "memory": memory, "accelerator": accelerator},
            "requirements": {"isolation": isolation, "scale_to_zero": zero, "regions": region},
        }
    ),
    st.integers(1, 16),
    st.floats(0.1, 64),
    st.integers(LEAST_SERVER_MEMORY, 10**11),
    st.none() | st.integers(0, 4),
    st.booleans(),
    st.sampled_from([None, "A100:2", "T4:4"]),
    st.sampled_from([(), ("westeurope",)]),
)
MACHINES = st.builds(
    lambda cpu, memory, count, isolation, interruptible: Platform(
        name="local",
        description="a machine",
        capability=Capability.model_validate(
            {
                "functions": ("online",),
                "isolation": isolation,
                "interruptible": interruptible,
                "scale_to_zero": False,
                "accelerators": ({"kind": "T4", "count": 1},),
            }
        ),
        offers=(Offer(sku="m", region="local", cpu=cpu, memory=memory, count=count),),
        source="this test",
    ),
    st.floats(0.1, 64),
    st.integers(LEAST_SERVER_MEMORY, 10**11),
    st.none() | st.integers(1, 3),
    st.integers(0, 4),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(ENDPOINTS, MACHINES)
def test_the_changes_of_the_hint_together_really_admit_the_platform(workload, place):
    found = plan(workload, [place], Context())
    if found.chosen is None:
        changed = with_changes(workload, nearest_change(found))
        assert plan(changed, [place], Context()).chosen is not None
