"""What Envoy does to a request on its way to a provider: TLS, credential, addresses, path."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

import pytest

from tests.conformance.certificates import authority
from tests.conformance.stand import Json, config, eventually, running_envoy, typed
from tests.conformance.upstream_stand import (
    Server,
    cluster,
    composite,
    echo,
    http1,
    outer,
    records,
    refusal,
    says,
    serving,
    way,
)

HOST = "provider.test"
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_MUTATION = "extensions.filters.http.header_mutation.v3"


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return authority(tmp_path_factory.mktemp("tls"), HOST)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "sds").mkdir(mode=0o700)
    path = tmp_path / "sds" / "secret.json"
    put(path, "sk-first")
    return path


def put(path: Path, value: str | None) -> None:
    generic = {"secret": {"inline_string": value}}
    items = [{"@type": _SECRET, "name": "key", "generic_secret": generic}]
    draft = path.with_name(".draft")
    draft.write_text(json.dumps({"resources": items if value is not None else []}))
    os.replace(draft, path)


def injector(path: Path, header: str = "authorization", prefix: str = "Bearer ") -> Json:
    source = {
        "path_config_source": {
            "path": str(path),
            "watched_directory": {"path": str(path.parent)},
        },
        "resource_api_version": "V3",
    }
    return typed(
        "envoy.filters.http.credential_injector",
        "extensions.filters.http.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential=typed(
            "envoy.http.injected_credentials.generic",
            "extensions.http.injected_credentials.generic.v3.Generic",
            credential={"name": "key", "sds_config": source},
            header=header,
            header_value_prefix=prefix,
        ),
    )


def tls(trusted: Path | str, name: str) -> Json:
    context = {
        "validation_context": {
            "trusted_ca": {"filename": str(trusted)},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
        }
    }
    kind = "extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    socket = typed("envoy.transport_sockets.tls", kind, sni=name, common_tls_context=context)
    return {"transport_socket": socket}


def by_name(server: Server) -> Json:
    return {"socket_address": {"address": "localhost", "port_value": server.port}}


DNS = {"type": "LOGICAL_DNS", "dns_lookup_family": "V4_PREFERRED", "wait_for_warm_on_init": False}


def test_a_server_is_believed_only_by_its_name_and_a_trusted_authority(
    trust: tuple[Path, ssl.SSLContext],
) -> None:
    trusted, context = trust
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    with serving(tls=context) as server:
        clusters = [
            cluster("good", by_name(server), **DNS, **tls(trusted, HOST)),
            cluster("name", by_name(server), **DNS, **tls(trusted, "other.test")),
            cluster(
                "stranger",
                by_name(server),
                **DNS,
                **tls("/etc/ssl/certs/ca-certificates.crt", HOST),
            ),
        ]
        if not Path("/etc/ssl/certs/ca-certificates.crt").is_file():
            clusters.pop()
        names = [each["name"] for each in clusters]
        fields = {"why": "%UPSTREAM_TRANSPORT_FAILURE_REASON%"}
        front = outer([way(each, f"/{each}") for each in names], fields=fields)
        with running_envoy([front], clusters) as envoy:
            found = {each: envoy.ask(f"/{each}").status for each in names}
            assert found == {each: 200 if each == "good" else 503 for each in names}
            assert eventually(lambda: len(records(envoy.root)) == len(names))
            reasons = {each["route"]: each["why"] for each in records(envoy.root)}
            assert "SAN_matcher" in reasons["/name"]
        assert HOST in asked


@pytest.mark.parametrize(("header", "prefix"), [("authorization", "Bearer "), ("api-key", "")])
def test_the_credential_takes_the_place_of_the_callers_key(
    secret: Path, header: str, prefix: str
) -> None:
    with serving() as server:
        own = cluster("p", server.address, options=http1(injector(secret, header, prefix)))
        with running_envoy([outer([way("p")])], [own]) as envoy:
            answer = envoy.ask("/", headers={header: "of-the-caller"})
            assert answer.json["headers"][header] == f"{prefix}sk-first"
            put(secret, "sk-second")
            assert eventually(
                lambda: envoy.ask("/").json["headers"][header] == f"{prefix}sk-second"
            )
            shown = envoy.admin("/config_dump?include_eds").decode()
            shown += (envoy.root / "envoy.log").read_text()
            assert "sk-first" not in shown
            assert "sk-second" not in shown
            assert "redacted" in shown


def test_an_empty_credential_refuses_until_one_comes_and_the_last_one_stays(secret: Path) -> None:
    put(secret, None)
    with serving() as server:
        own = cluster("p", server.address, options=http1(injector(secret)))
        with running_envoy([outer([way("p")])], [own]) as envoy:
            assert envoy.ask("/").status == 401
            assert eventually(lambda: bool(records(envoy.root)))
            assert records(envoy.root)[0]["details"] == "failed_to_inject_credential"
            put(secret, "sk-now")
            assert eventually(lambda: envoy.ask("/").status == 200)
            secret.unlink()
            assert envoy.ask("/").json["headers"]["authorization"] == "Bearer sk-now"


def test_a_missing_file_of_a_credential_keeps_envoy_from_starting(tmp_path: Path) -> None:
    own = cluster("p", options=http1(injector(tmp_path / "nowhere" / "secret.json")))
    complaint = refusal([], [own], node={"id": "a", "cluster": "b"})
    assert complaint is not None
    assert "must refer to an existing path" in complaint


def deny(prefix: str, length: int) -> Json:
    matcher = typed(
        "ip",
        "extensions.rbac.matchers.upstream_ip_port.v3.UpstreamIpPortMatcher",
        upstream_ip={"address_prefix": prefix, "prefix_len": length},
    )
    policy = {"permissions": [{"matcher": matcher}], "principals": [{"any": True}]}
    return typed(
        "envoy.filters.http.upstream_rbac",
        "extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "DENY", "policies": {"private": policy}},
    )


def test_an_address_is_refused_by_what_the_name_means_when_it_connects() -> None:
    with serving() as server:
        clusters = [
            cluster("loopback", by_name(server), options=http1(deny("127.0.0.0", 8)), **DNS),
            cluster("other", by_name(server), options=http1(deny("10.0.0.0", 8)), **DNS),
        ]
        front = outer([way("loopback", "/loopback"), way("other", "/other")])
        with running_envoy([front], clusters) as envoy:
            assert eventually(lambda: envoy.ask("/other").status == 200)
            assert envoy.ask("/loopback").status == 403
        assert {each.path for each in server.seen} == {"/other"}


def test_what_a_cluster_does_to_requests_is_not_done_for_a_member_of_a_composite(
    secret: Path,
) -> None:
    with serving() as server:
        member = cluster("m", server.address, options=http1(injector(secret)))
        clusters = [member, composite("way", "m")]
        front = outer([way("m", "/direct"), way("way", "/way")])
        with running_envoy([front], clusters) as envoy:
            assert "authorization" in envoy.ask("/direct").json["headers"]
            assert "authorization" not in envoy.ask("/way").json["headers"]


def test_headers_are_taken_off_by_their_beginning_both_ways() -> None:
    gone = {"remove_on_match": {"key_matcher": {"prefix": "x-plinth-"}}}
    tidy = typed(
        "tidy",
        f"{_MUTATION}.HeaderMutation",
        mutations={"request_mutations": [gone], "response_mutations": [gone]},
    )
    with serving(says("a", x_plinth_lie="1")) as server:
        own = cluster("p", server.address, options=http1(tidy))
        with running_envoy([outer([way("p")])], [own]) as envoy:
            answer = envoy.ask("/", headers={"x-plinth-team": "ops", "x-mine": "1"})
            assert "x-plinth-lie" not in answer.headers
        assert "x-mine" in server.seen[0].headers
        assert "x-plinth-team" not in server.seen[0].headers


def test_a_path_is_written_anew_and_the_query_stays_but_for_one_parameter() -> None:
    record = {"key": "api-version", "value": "2024-10-21"}
    change = {"append": {"record": record, "action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    azure = way(
        "p",
        "/v1/",
        regex_rewrite={
            "pattern": {"regex": "^/v1(/.*)$"},
            "substitution": r"/openai/deployments/a%2Fb\1",
        },
        host_rewrite_literal="account.test",
    )
    azure["typed_per_filter_config"] = {
        "query": config(
            f"{_MUTATION}.HeaderMutationPerRoute",
            mutations={"query_parameter_mutations": [change]},
        )
    }
    query = typed("query", f"{_MUTATION}.HeaderMutation")
    with serving(echo) as server:
        front = outer([azure], filters=(query,))
        with running_envoy([front], [cluster("p", server.address)]) as envoy:
            found = envoy.ask("/v1/chat?api-version=old&x=1").json
            assert found["path"] == "/openai/deployments/a%2Fb/chat?api-version=2024-10-21&x=1"
            assert found["headers"]["host"] == "account.test"
            assert envoy.ask("/v1/chat").json["path"].endswith("/chat?api-version=2024-10-21")
