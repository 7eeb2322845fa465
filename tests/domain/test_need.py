from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.application import Application
from plinth.domain.load import load_workload
from plinth.domain.need import FUNCTIONS, Need, needs_of
from plinth.domain.workload import Endpoint


def parts(**fields: Any) -> dict[str, Need]:
    whole = {"kind": "application", "name": "churn", "team": "bank", **fields}
    return {each.name: each for each in needs_of(Application.model_validate(whole))}


def one(part: str, **fields: Any) -> Need:
    return parts(**{part: fields})[part]


def test_a_job_is_a_need_to_train_without_a_demand() -> None:
    text = b"kind: job\nname: a\nteam: bank\ncommand: python a.py\nresources: {cpu: 3}\n"
    (need,) = needs_of(load_workload(text, "a.yaml"))
    assert (need.name, need.kind, need.function, need.team) == ("a", "job", "train", "bank")
    assert (need.resources.cpu, need.instances, need.demand) == (3, 1, None)
    assert need.at("resources.cpu") == "resources.cpu"
    assert (need.run_hours, need.busy_hours, need.requests) == (None, None, None)


def test_an_endpoint_is_a_need_to_serve_a_model_of_mlflow() -> None:
    text = b"kind: endpoint\nname: a\nmodel: models:/m@champion\nreplicas: 3\n"
    (need,) = needs_of(load_workload(text, "a.yaml"))
    assert (need.function, need.instances, need.format) == ("online", 3, "mlflow-pyfunc")
    assert need.instances_field == "replicas"


def test_the_format_of_an_endpoints_model_is_what_its_server_loads() -> None:
    text = b"kind: endpoint\nname: a\nmodel: models:/m@champion\nruntime: llmserver\n"
    (need,) = needs_of(load_workload(text, "a.yaml"))
    assert need.format == "gguf"
    (unknown,) = needs_of(load_workload(text.replace(b"llmserver", b"other"), "a.yaml"))
    assert unknown.format is None


def test_an_application_is_a_need_for_each_part_in_the_order_of_the_guidance() -> None:
    found = parts(flow={}, online={}, batch={}, tune={}, train={}, explore={})
    assert tuple(found) == tuple(FUNCTIONS)
    assert [each.function for each in found.values()] == list(FUNCTIONS.values())
    assert found["tune"].at("resources.cpu") == "tune.resources.cpu"
    assert found["online"].others == ("explore", "train", "tune", "batch", "flow")
    assert {each.team for each in found.values()} == {"bank"}


def test_what_a_part_says_replaces_what_the_application_says_and_the_rest_stays() -> None:
    found = parts(
        requirements={"residency": "eu", "criticality": "production"},
        online={"requirements": {"criticality": "critical"}},
        train={},
    )
    assert found["online"].requirements.criticality == "critical"
    assert found["online"].requirements.residency == "eu"
    assert found["train"].requirements.criticality == "production"


def test_a_part_can_take_back_what_the_application_says() -> None:
    found = parts(
        requirements={"private_network": True}, online={"requirements": {"private_network": False}}
    )
    assert not found["online"].requirements.private_network


@pytest.mark.parametrize(
    ("part", "fields", "instances", "field"),
    [
        ("explore", {"demand": {"users": 7}}, 7, "explore.demand.users"),
        ("train", {"nodes": 4}, 4, "train.nodes"),
        ("batch", {"nodes": 5}, 5, "batch.nodes"),
        ("online", {"replicas": 3}, 3, "online.replicas"),
        ("flow", {"replicas": 2}, 2, "flow.replicas"),
    ],
)
def test_how_many_instances_a_part_asks_for(
    part: str, fields: dict[str, Any], instances: int, field: str
) -> None:
    need = one(part, **fields)
    assert (need.instances, need.instances_field) == (instances, field)


def test_the_hours_of_training_are_its_runs_times_their_length() -> None:
    need = one("train", demand={"runs": 8, "duration": "90m"})
    assert (need.run_hours, need.busy_hours) == (1.5, 12)


def test_the_hours_of_a_batch_follow_from_its_rows_where_no_duration_is_stated() -> None:
    need = one("batch", nodes=2, demand={"runs": 30, "rows": 720_000, "rows_per_second": 50})
    assert (need.run_hours, need.busy_hours) == (2, 60)
    assert need.requests == 21_600_000
    unknown = one("batch", demand={"rows": 720_000})
    assert (unknown.run_hours, unknown.busy_hours) == (None, None)


def test_the_hours_and_requests_of_what_people_ask() -> None:
    online = one("online", demand={"requests_per_second": 2, "active_hours": 200.0})
    assert (online.busy_hours, online.requests) == (200, 1_440_000)
    assert one("explore", demand={"hours": 80.0}).busy_hours == 80
    assert one("explore").requests is None


def test_no_month_has_more_hours_than_it_is_reckoned_with() -> None:
    assert one("online", demand={"active_hours": 744.0}).busy_hours == 730
    assert one("explore", demand={"hours": 744.0}).busy_hours == 730


def test_data_is_read_for_each_run_and_known_as_productions() -> None:
    data = {
        "orders": {"size": "10GB", "region": "westeurope", "production": True},
        "tests": {"size": "1GB"},
    }
    found = parts(
        data=data,
        train={"data": ["orders", "tests"], "demand": {"runs": 4}},
        online={"data": ["tests"]},
        explore={},
    )
    assert found["train"].moved_bytes == 44 * 10**9
    assert found["train"].moved_bytes_of(found["train"].data["orders"]) == 40 * 10**9
    assert found["train"].reads_production_data
    assert found["online"].moved_bytes == 10**9
    assert not found["online"].reads_production_data
    assert found["explore"].moved_bytes == 0


def test_only_what_names_a_model_uses_a_hosted_one() -> None:
    assert one("online", model="gpt-4o").uses_hosted_model
    assert not one("online", format="onnx").uses_hosted_model
    assert not one("tune", base_model="gpt-4o").uses_hosted_model


def test_each_part_keeps_what_only_it_has() -> None:
    found = parts(
        explore={"gpu_reason": "images", "gpu_hours": 10.0, "team_share": True},
        tune={"method": "lora", "base_model": "gpt-4o"},
        batch={"window": "4h", "target": "pipeline", "spark": True},
        online={"format": "onnx", "server": "triton", "split": True, "mirror_percent": 20},
        flow={"tool": "langgraph"},
    )
    explore, tune, batch = found["explore"], found["tune"], found["batch"]
    assert (explore.gpu_reason, explore.gpu_hours, explore.team_share) == ("images", 10, True)
    assert (tune.method, tune.base_model) == ("lora", "gpt-4o")
    assert (batch.window, batch.target, batch.spark) == (14_400, "pipeline", True)
    online = found["online"]
    assert (online.format, online.server, online.split) == ("onnx", "triton", True)
    assert online.mirror_percent == 20
    assert (found["flow"].tool, online.tool, found["flow"].split) == ("langgraph", None, False)


def test_what_answers_with_a_model_that_is_tuned_knows_it() -> None:
    serving = {"batch": {"model": "gpt-4o"}, "online": {"model": "GPT-4o"}}
    found = parts(tune={"base_model": "gpt-4o"}, **serving)
    assert found["online"].tuned
    assert found["batch"].tuned
    assert not found["tune"].tuned
    other = parts(tune={"base_model": "gpt-4.1"}, **serving)
    assert not other["online"].tuned
    assert not parts(**serving)["online"].tuned
    of_its_own = parts(tune={}, online={"format": "onnx"})
    assert not of_its_own["online"].tuned


def test_a_gpu_is_used_for_no_more_hours_than_it_may_be_held() -> None:
    fields = {"gpu_hours": 10.0, "demand": {"hours": 80.0}}
    assert one("explore", resources={"accelerator": "A100"}, **fields).busy_hours == 10
    assert one("explore", **fields).busy_hours == 80
    assert one("explore", resources={"accelerator": "A100"}).busy_hours == 80


def test_the_peak_needs_as_many_instances_as_were_measured() -> None:
    demand = {"requests_per_second": 0.5, "replica_requests_per_second": 0.5}
    assert one("online", demand=demand).instances_at_peak == 3
    assert one("online", replicas=5, demand=demand).instances_at_peak == 5
    assert one("flow", replicas=2).instances_at_peak == 2
    assert one("train", nodes=4).instances_at_peak == 4


def test_each_deployment_of_our_own_is_a_need_with_the_fields_of_the_file() -> None:
    endpoint = Endpoint.model_validate(
        {
            "kind": "endpoint",
            "name": "delay",
            "resources": {"cpu": 3},
            "deployments": {
                "blue": {"model": "models:/m/1", "resources": {"cpu": 2}},
                "green": {"model": "models:/m/2", "replicas": 2},
                "burst": {"external": {"url": "https://x.example.com", "protocol": "openai"}},
            },
            "traffic": {"blue": 90, "green": 10},
        }
    )
    blue, green = needs_of(endpoint)
    assert (blue.name, blue.resources.cpu, blue.at("resources.cpu")) == (
        "blue",
        2,
        "deployments.blue.resources.cpu",
    )
    assert (green.resources.cpu, green.at("resources.cpu"), green.instances) == (
        3,
        "resources.cpu",
        2,
    )
    assert green.instances_field == "deployments.green.replicas"
    assert green.at("requirements.regions") == "requirements.regions"
