from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from plinth.gateway.addresses import PRIVATE_POLICY
from plinth.gateway.external import provider, provider_route
from tests.gateway.upstreams import chat, external, state

NOWHERE = Path("/nowhere")


def cluster_of(url: str, **more: Any) -> dict[str, Any]:
    deployment = external("a", url=url)
    return provider("c", deployment, chat(deployment, **more), state(NOWHERE))


def filters_of(cluster: dict[str, Any]) -> list[str]:
    (options,) = cluster["typed_extension_protocol_options"].values()
    return [each["name"].rpartition(".")[2] for each in options["http_filters"]]


def policies_of(cluster: dict[str, Any]) -> dict[str, Any]:
    (options,) = cluster["typed_extension_protocol_options"].values()
    (check,) = (each for each in options["http_filters"] if each["name"].endswith("upstream_rbac"))
    found: dict[str, Any] = check["typed_config"]["rules"]["policies"]
    return found


def sent_path(asked: str, **more: Any) -> str:
    deployment = external("a", **more)
    action = provider_route("n", deployment, chat(deployment), "c")["route"]
    rewrite = action["regex_rewrite"]
    return re.sub(rewrite["pattern"]["regex"], rewrite["substitution"], asked)


def test_tls_is_spoken_with_the_host_of_the_address_and_nobody_else() -> None:
    context = cluster_of("https://api.openai.com/v1")["transport_socket"]["typed_config"]
    assert context["sni"] == "api.openai.com"
    validation = context["common_tls_context"]["validation_context"]
    (name,) = validation["match_typed_subject_alt_names"]
    assert name == {"san_type": "DNS", "matcher": {"exact": "api.openai.com"}}
    assert "transport_socket" not in cluster_of("http://10.0.0.1:8000")


@pytest.mark.parametrize(
    ("url", "address", "port", "kind"),
    [
        ("https://api.openai.com/v1", "api.openai.com", 443, "LOGICAL_DNS"),
        ("http://models.test:8000", "models.test", 8000, "LOGICAL_DNS"),
        ("https://192.0.2.7", "192.0.2.7", 443, "STATIC"),
        ("https://[2001:db8::7]:8443/v1", "2001:db8::7", 8443, "STATIC"),
    ],
)
def test_names_are_looked_up_and_addresses_are_not(
    url: str, address: str, port: int, kind: str
) -> None:
    cluster = cluster_of(url)
    (place,) = cluster["load_assignment"]["endpoints"]
    found = place["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert (found["address"], found["port_value"], cluster["type"]) == (address, port, kind)


def test_an_address_of_the_own_network_is_refused_unless_it_is_allowed() -> None:
    deployment = external("a")
    strict, open_ = (
        provider("c", deployment, chat(deployment), state(NOWHERE, allow_private_upstreams=each))
        for each in (False, True)
    )
    for each, refused in ((strict, 2), (open_, 1)):
        names = ["tidy", "upstream_rbac", "credential_injector", "upstream_codec"]
        assert filters_of(each) == names
        assert len(policies_of(each)) == refused
    assert set(policies_of(strict)) - set(policies_of(open_)) == {PRIVATE_POLICY}


def test_without_a_credential_none_is_waited_for() -> None:
    deployment = external("a", credential=None)
    cluster = provider("c", deployment, chat(deployment), state(NOWHERE))
    assert "credential_injector" not in filters_of(cluster)


@pytest.mark.parametrize(
    ("more", "asked", "sent"),
    [
        ({}, "/v1/chat/completions", "/v1/chat/completions"),
        ({"url": "https://h/openai/v1"}, "/v1/embeddings", "/openai/v1/embeddings"),
        ({"url": "https://h"}, "/v1/models", "/models"),
        (
            {"protocol": "azure-openai", "url": "https://h", "model": r"a b/c\1?&"},
            "/v1/chat/completions",
            "/openai/deployments/a%20b%2Fc%5C1%3F%26/chat/completions",
        ),
        (
            {"protocol": "open-inference", "url": "https://h/base", "model": "delay"},
            "/v2/models/chat/infer",
            "/base/v2/models/delay/infer",
        ),
        (
            {"protocol": "open-inference", "url": "https://h"},
            "/v2/models/chat",
            "/v2/models/chat",
        ),
    ],
)
def test_paths_are_said_in_the_providers_words(more: dict[str, Any], asked: str, sent: str) -> None:
    assert sent_path(asked, **more) == sent


def test_a_model_is_renamed_only_where_it_has_another_name() -> None:
    same, other = (
        provider_route("n", deployment, chat(deployment), "c")
        for deployment in (external("a"), external("a", model="gpt-4o"))
    )
    assert "metadata" not in same
    assert "gpt-4o" in str(other["metadata"])
    assert len(other["typed_per_filter_config"]) == len(same["typed_per_filter_config"]) + 2


def test_a_path_of_health_is_asked_and_who_is_ill_is_passed_over() -> None:
    cluster = cluster_of("https://h.test", health={"path": "/healthz", "interval": 2})
    (check,) = cluster["health_checks"]
    assert check["http_health_check"] == {"path": "/healthz", "host": "h.test"}
    assert check["interval"] == check["timeout"] == "2s"
    assert cluster["common_lb_config"]["healthy_panic_threshold"]["value"] == 0
