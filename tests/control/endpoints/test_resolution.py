"""What a file names is looked for before anything changes."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from typing import Any

import pytest

from plinth.control.endpoints import addresses
from plinth.control.endpoints.resolution import check, resolve
from plinth.control.planning import PlanRefused
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Conflict, Invalid, NotFound
from plinth.store.secrets import uses_of
from tests.control.endpoints.keeping import keep_secret
from tests.control.plane import TEAM, Plane, endpoint_of

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai"}
OF_TEAM = {"team": TEAM, "requests_per_minute": 5}
OPEN = {"url": "https://1.1.1.1", "protocol": "open-inference"}


def several(*externals: dict[str, Any], **fields: Any) -> Endpoint:
    deployments = {f"e{number}": {"external": each} for number, each in enumerate(externals)}
    return endpoint_of(deployments=deployments, failover=list(deployments), **fields)


def test_every_alias_is_a_version_and_every_deployment_has_its_plan(plane: Plane) -> None:
    plane.tracking.add_model(TEAM, "m", ("champion",))
    plane.tracking.add_model(TEAM, "m", ("challenger",))
    file = endpoint_of(
        deployments={
            "blue": {"model": "models:/m@champion", "resources": {"cpu": 2}},
            "green": {"model": "models:/m@challenger"},
            "burst": {"external": OPEN},
        },
        traffic={"blue": 90, "green": 10, "burst": 0},
    )
    found = resolve(plane.context, file).hosted
    assert {name: one.model.version for name, one in found.items()} == {"blue": 1, "green": 2}
    assert all(one.plan.chosen is not None for one in found.values())
    assert found["green"].lineage is not None
    assert found["green"].lineage.reference == "models:/m@challenger"


def test_an_unknown_runtime_is_refused_with_those_there_are(plane: Plane) -> None:
    with pytest.raises(Invalid, match=r"`runtime` is `nope`; there are llmserver, v2server"):
        resolve(plane.context, endpoint_of(runtime="nope"))


def test_protocols_that_do_not_go_together_are_refused(plane: Plane) -> None:
    resolve(plane.context, several(CHAT, {**CHAT, "protocol": "azure-openai"}))
    with pytest.raises(Invalid, match="could not tell what to send") as caught:
        resolve(plane.context, several(CHAT, OPEN))
    assert caught.value.code == "mixed_protocols"
    mixed = endpoint_of(
        deployments={"own": {"model": "models:/m/1"}, "other": {"external": CHAT}},
        failover=["own", "other"],
    )
    with pytest.raises(Invalid, match="`own` speaks `open-inference`, `other` speaks `openai`"):
        resolve(plane.context, mixed)


def test_an_address_of_this_machine_is_refused_with_its_field(plane: Plane) -> None:
    with pytest.raises(Invalid, match=r"`deployments\.e0\.external\.url`: `127\.0\.0\.1`"):
        resolve(plane.context, several({**CHAT, "url": "http://127.0.0.1/v1"}))


def test_a_credential_must_be_kept_and_must_fit_into_a_header(plane: Plane) -> None:
    file = endpoint_of(external={**CHAT, "credential": "secret:provider"})
    with pytest.raises(NotFound, match=r"`external\.credential`") as caught:
        resolve(plane.context, file)
    assert f"plinth secrets set provider --team {TEAM}" in str(caught.value.hint)
    keep_secret(plane, "provider", b"two\nlines")
    with pytest.raises(Invalid, match="cannot be sent"):
        resolve(plane.context, file)
    keep_secret(plane, "provider", b"a" * 8193)
    with pytest.raises(Invalid, match="it has 8,193 bytes, and many servers take at most 8,192"):
        resolve(plane.context, file)
    keep_secret(plane, "provider", b"a" * 8192)
    assert resolve(plane.context, file).hosted == {}


@pytest.mark.parametrize(
    ("region", "requirements", "is_allowed"),
    [
        (None, {}, True),
        (None, {"regions": ["westeurope"]}, False),
        ("westeurope", {"regions": ["westeurope"]}, True),
        ("eastus", {"regions": ["westeurope"]}, False),
        ("westeurope", {"residency": "eu"}, True),
        ("eastus", {"residency": "eu"}, False),
        (None, {"residency": "eu"}, False),
    ],
)
def test_data_goes_only_where_the_file_allows(
    region: str | None, requirements: dict[str, Any], is_allowed: bool, plane: Plane
) -> None:
    file = endpoint_of(external={**CHAT, "region": region}, requirements=requirements)
    if is_allowed:
        assert resolve(plane.context, file).hosted == {}
        return
    with pytest.raises(PlanRefused, match="may not send requests") as caught:
        resolve(plane.context, file)
    assert "`external.region` says where it is processed" in str(caught.value.hint)


def test_a_limit_of_nobody_is_refused(plane: Plane) -> None:
    for limit, why in (
        ({"team": "nobody"}, "`limits.0.team`: there is no team `nobody`"),
        ({"key": "k_nobodys"}, "`limits.0.key`: there is no key `k_nobodys`"),
    ):
        file = endpoint_of(external=CHAT, limits=[{**limit, "requests_per_minute": 5}])
        with pytest.raises(Invalid, match=re.escape(why)):
            resolve(plane.context, file)
    assert resolve(plane.context, endpoint_of(external=CHAT, limits=[OF_TEAM])).hosted == {}


def test_a_secret_is_neither_opened_nor_noted_for_a_name_that_is_taken(plane: Plane) -> None:
    keep_secret(plane, "provider", b"sk-1")
    plane.apply()
    external = {**CHAT, "credential": "secret:provider"}
    taken = endpoint_of(external=external).model_copy(update={"team": "ops"})
    with pytest.raises(Conflict, match="is taken"):
        resolve(plane.context, taken)
    mine = endpoint_of(external=external)
    check(plane.context, mine)
    with plane.context.database.read() as connection:
        assert uses_of(connection, TEAM, "provider", 1) == ()
    resolve(plane.context, mine)
    with plane.context.database.read() as connection:
        assert uses_of(connection, TEAM, "provider", 1) == ("endpoint/delay",)


def test_a_region_is_read_as_the_catalog_spells_it_and_a_typo_is_named(plane: Plane) -> None:
    def file(region: str) -> Endpoint:
        allowed = {"regions": ["westeurope"]}
        return endpoint_of(external={**CHAT, "region": region}, requirements=allowed)

    check(plane.context, file("West Europe"))
    with pytest.raises(Invalid, match="did you mean `westeurope`"):
        check(plane.context, file("westeurop"))


def test_a_host_that_nobody_has_is_warned_of_where_private_addresses_are_allowed(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(addresses, "_ask_system", ask)
    file = endpoint_of(external={**CHAT, "url": "http://gpu.example.com/v1"})
    with pytest.raises(Invalid, match=r"no host has the name `gpu\.example\.com`"):
        check(plane.context, file)
    settings = replace(plane.context.settings, allow_private_upstreams=True)
    context = replace(plane.context, settings=settings)
    (warning,) = check(context, file)
    assert "`external.url`: no host has the name `gpu.example.com`" in warning
    assert resolve(context, file).warnings == [warning]
