import pytest
from pydantic import ValidationError

from plinth.domain.base import STORED
from plinth.domain.workload import KINDS, WORKLOAD, granted_as


@pytest.mark.parametrize(
    "variable", ["PLINTH_KEY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID", "LISTEN_FDS", "1A", "A-B"]
)
def test_a_variable_that_plinth_sets_or_that_is_no_name_is_refused(variable):
    with pytest.raises(ValidationError, match=variable):
        WORKLOAD.validate_python(
            {"kind": "job", "name": "a", "command": ["a"], "variables": {variable: "x"}}
        )


def test_every_kind_is_told_apart_by_its_name():
    for kind, model in KINDS.items():
        assert model.model_fields["kind"].annotation.__args__ == (kind,)  # type: ignore[union-attr]


def test_every_field_has_a_description_for_the_reference():
    for model in KINDS.values():
        for name, field in model.model_fields.items():
            assert name == "kind" or field.description


SEVERAL = {
    "kind": "endpoint",
    "name": "churn",
    "resources": {"cpu": 2},
    "deployments": {
        "blue": {"model": "models:/churn@champion"},
        "green": {"model": "models:/churn/7", "resources": {"cpu": 4}, "replicas": 2},
    },
    "traffic": {"blue": 90, "green": 10},
}


def test_an_endpoint_has_one_deployment_or_several_by_name():
    short = WORKLOAD.validate_python({"kind": "endpoint", "name": "a", "model": "models:/a@b"})
    assert list(short.by_name()) == ["main"]
    several = WORKLOAD.validate_python(SEVERAL)
    assert list(several.by_name()) == ["blue", "green"]
    assert several.policy.traffic == {"blue": 90, "green": 10}


def test_a_deployment_alone_is_an_endpoint_without_the_traffic():
    several = WORKLOAD.validate_python(SEVERAL)
    blue, green = several.only("blue"), several.only("green")
    assert (blue.model, blue.resources.cpu, blue.replicas) == ("models:/churn@champion", 2, 1)
    assert (green.model, green.resources.cpu, green.replicas) == ("models:/churn/7", 4, 2)
    assert (blue.traffic, blue.deployments) == ({}, {})
    assert blue.only("main") == blue
    # What serves does not begin anew because its share changed.
    changed = WORKLOAD.validate_python({**SEVERAL, "traffic": {"blue": 10, "green": 90}})
    assert changed.only("green") == green


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "give one of `model`, `external` and `deployments`"),
        (
            {"model": "models:/a@b", "deployments": SEVERAL["deployments"]},
            "there are `model` and `deployments`",
        ),
        ({"deployments": SEVERAL["deployments"]}, "several deployments need `traffic`"),
        ({"deployments": {"blue": {}}}, "give `model` or `external`, one of the two"),
        ({"model": "models:/a@b", "traffic": {"blue": 100}}, "names `blue`; there are `main`"),
    ],
)
def test_an_endpoint_that_serves_nothing_clear_is_refused(fields, why):
    with pytest.raises(ValidationError, match=why):
        WORKLOAD.validate_python({"kind": "endpoint", "name": "a", **fields})


@pytest.mark.parametrize(
    ("kind", "granted"), [("flow", "endpoint"), ("endpoint", "endpoint"), ("job", "job")]
)
def test_a_flow_is_granted_as_the_endpoint_that_it_is(kind, granted):
    assert granted_as(kind) == granted


def test_an_endpoint_that_an_earlier_plinth_accepted_is_read_and_its_policy_too():
    external = {"url": "http://h:0/v1", "protocol": "openai"}
    match = {"host": "x", "x-a": " a "}
    old = {
        "kind": "endpoint",
        "name": "chat",
        "deployments": {"blue": {"external": external}, "green": {"external": external}},
        "traffic": {"blue": 100},
        "match": {"blue": match, "green": match},
    }
    with pytest.raises(ValidationError):
        WORKLOAD.validate_python(old)
    read = WORKLOAD.validate_python(old, context=STORED)
    assert read.policy.match["green"] == match
    assert read.only("blue").external.url == "http://h:0/v1"
    with pytest.raises(ValidationError, match="`match` of `green` has the headers and values"):
        WORKLOAD.validate_python(
            {
                **old,
                "deployments": {name: {"model": "models:/m/1"} for name in ("blue", "green")},
                "match": {name: {"x-a": "a"} for name in ("blue", "green")},
            }
        )
