"""Names of a file become those of the catalog; what nobody knows is refused with the nearest."""

from __future__ import annotations

import pytest

from plinth.domain.application import Application
from plinth.domain.workload import Endpoint, Job
from plinth.kit.errors import Invalid
from plinth.planning.named import region_warnings, with_known_names
from tests.planning.applications import CATALOG, MARKET, application

NAMES = {platform.name for platform in MARKET.platforms}


def named(**fields: object) -> Application:
    found = with_known_names(application(**fields), CATALOG, NAMES)
    assert isinstance(found, Application)
    return found


def test_regions_and_groups_are_spelled_as_the_catalog_does() -> None:
    found = named(
        requirements={"regions": ["West Europe", "EU", "local"], "residency": "United States"},
        data={"rows": {"size": 1, "region": "North Europe"}},
        train={"requirements": {"regions": ["SwedenCentral"]}},
    )
    assert found.requirements.regions == ("westeurope", "eu", "local")
    assert found.requirements.residency == "united-states"
    assert found.data["rows"].region == "northeurope"
    assert found.train is not None
    assert found.train.requirements.regions == ("swedencentral",)
    # What the part did not say is still the application's.
    assert found.train.requirements.model_fields_set == {"regions"}


def test_accelerators_are_spelled_as_the_catalog_does() -> None:
    found = named(tune={"resources": {"accelerator": "h100:2"}})
    assert found.tune is not None
    assert found.tune.resources.accelerator is not None
    assert (found.tune.resources.accelerator.kind, found.tune.resources.accelerator.count) == (
        *("H100", 2),
    )
    with pytest.raises(Invalid, match="did you mean"):
        named(tune={"resources": {"accelerator": "A1000"}})


def test_what_is_spelled_right_is_left_as_it_is() -> None:
    whole = application(requirements={"regions": ["westeurope"]}, train={})
    assert with_known_names(whole, CATALOG, NAMES) is whole
    job = Job(kind="job", name="train", command=("python",))
    assert with_known_names(job, CATALOG, NAMES) is job


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"requirements": {"regions": ["westeurop"]}}, "did you mean `westeurope`"),
        ({"requirements": {"residency": "mars"}}, "neither a region nor a group"),
        ({"requirements": {"platform": "databrick-jobs"}}, "did you mean `databricks-jobs`"),
        ({"data": {"rows": {"size": 1, "region": "eu"}}}, "`eu` is not a region"),
        ({"data": {"rows": {"size": 1, "platform": "oracle"}}}, "there is no platform `oracle`"),
    ],
)
def test_a_name_that_nobody_knows_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        named(**fields, train={})


def test_the_region_of_a_model_elsewhere_is_spelled_as_the_catalog_does() -> None:
    def endpoint(region: str, **fields: object) -> Endpoint:
        one = {"external": {"url": "https://1.1.1.1", "protocol": "openai", "region": region}}
        file = {"kind": "endpoint", "name": "chat", "deployments": {"a": one}, **fields}
        named = with_known_names(Endpoint.model_validate(file), CATALOG, NAMES)
        assert isinstance(named, Endpoint)
        return named

    def region(found: Endpoint) -> str | None:
        external = found.by_name()["a"].external
        return None if external is None else external.region

    within = {"requirements": {"residency": "eu"}}
    assert region(endpoint("West Europe")) == "westeurope"
    assert region(endpoint("West Europe", **within)) == "westeurope"
    # A provider may have names of its own, as long as nothing depends on them.
    assert region(endpoint("our cellar")) == "our cellar"
    with pytest.raises(Invalid, match="did you mean `swedencentral`"):
        endpoint("swedencentrall", **within)


def test_one_model_elsewhere_is_spelled_so_too() -> None:
    external = {"url": "https://1.1.1.1", "protocol": "openai", "region": "West Europe"}
    file = {"kind": "endpoint", "name": "chat", "external": external}
    named = with_known_names(Endpoint.model_validate(file), CATALOG, NAMES)
    assert isinstance(named, Endpoint)
    assert named.external is not None
    assert named.external.region == "westeurope"


def elsewhere(region: str | None, **fields: object) -> Endpoint:
    external = {"url": "https://1.1.1.1/v1", "protocol": "openai", "region": region}
    return Endpoint.model_validate(
        {"kind": "endpoint", "name": "chat", "external": external, **fields}
    )


def test_a_misspelt_region_of_a_model_elsewhere_is_named_with_the_nearest() -> None:
    (said,) = region_warnings(elsewhere("swedncentral"), CATALOG.regions)
    assert said.startswith("`external.region`: `swedncentral` is not a region that the catalog")
    assert said.endswith("did you mean `swedencentral`?")
    # It is refused where regions are asked for.
    asked = elsewhere("swedncentral", requirements={"regions": ["eu"]})
    assert region_warnings(asked, CATALOG.regions) == []


@pytest.mark.parametrize("region", [None, "swedencentral", "Sweden Central", "eu-west-1", "our-dc"])
def test_a_region_of_a_provider_s_own_is_let_pass(region: str | None) -> None:
    assert region_warnings(elsewhere(region), CATALOG.regions) == []
