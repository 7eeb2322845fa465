"""Envoy's files in binary form: it reads them as it reads JSON, and refuses what is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plinth.domain.serving import Capacity, Limit
from plinth.gateway import snapshot, xds
from plinth.gateway.envoy_types import CLUSTER, ROUTES
from plinth.gateway.resources import Resources, resources
from tests.conformance.stand import Envoy, Json, cluster, eventually, listener, running_envoy
from tests.gateway.test_snapshot import DELAY, PRICE
from tests.gateway.upstreams import chat, external, hosted, state
from tools.envoy_fields import TABLE, descriptions, table, text_of

RDS = "http.main.rds.plinth"
CDS = "cluster_manager.cds"


def put(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name("draft")
    draft.write_bytes(content)
    os.replace(draft, path)


def source(path: Path) -> Json:
    """Return where Envoy reads it."""
    own = {"path": str(path), "watched_directory": {"path": str(path.parent)}}
    return {"path_config_source": own, "resource_api_version": "V3"}


def written_as_json(found: Resources) -> bytes:
    """Return the resources as Envoy's own documentation writes them."""
    return json.dumps({"resources": found.items, "version_info": found.version}).encode()


@contextmanager
def reading(clusters: Path, routes: Path) -> Iterator[Envoy]:
    """Run an Envoy that reads clusters and routes from these files."""
    rds = {"route_config_name": "plinth", "config_source": source(routes)}
    main = listener([], {}, rds=rds)
    del main["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]
    with running_envoy([main], [], dynamic_resources={"cds_config": source(clusters)}) as envoy:
        yield envoy


def used(envoy: Envoy) -> list[Any]:
    """Return the clusters and routes that Envoy uses, as it shows them itself."""
    found = []
    for dump in json.loads(envoy.admin("/config_dump"))["configs"]:
        found += [each["cluster"] for each in dump.get("dynamic_active_clusters", [])]
        found += [each["route_config"] for each in dump.get("dynamic_route_configs", [])]
    return sorted(found, key=lambda each: (each["@type"], each["name"]))


def test_envoy_reads_binary_files_as_the_same_configuration_as_json(tmp_path: Path) -> None:
    tried = chat(
        hosted("base"),
        external("burst", url="https://1.1.1.1/v1", protocol="azure-openai", model="m"),
        capacity=Capacity(base="base", burst="burst", concurrency=2, requests_per_minute=60),
        limits=(Limit(each="team", requests_per_minute=60),),
    )
    rendered = snapshot.render(state(tmp_path, DELAY, PRICE, tried, revoked=("k_1", "k_2")))
    xds.write(rendered, tmp_path)
    kinds = {"cds": rendered.clusters, "rds": rendered.routes}
    for kind, found in kinds.items():
        put(tmp_path / "text" / f"{kind}.json", written_as_json(found))
    forms = [[tmp_path / kind / f"{kind}.pb" for kind in kinds]]
    forms.append([tmp_path / "text" / f"{kind}.json" for kind in kinds])
    shown = []
    for paths in forms:
        with reading(*paths) as envoy:
            assert eventually(lambda envoy=envoy: len(used(envoy)) == len(kinds["cds"].items) + 1)
            shown.append(used(envoy))
    assert shown[0] == shown[1]


def test_a_resource_that_was_cut_off_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    """A file that is no message at all counts as one that holds nothing: so each is whole."""
    clusters = resources([{"@type": CLUSTER, **cluster("one", 1)}]).to_bytes()
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 204}}
    host: Json = {"name": "all", "domains": ["*"], "routes": [answer]}
    routes = {"@type": ROUTES, "name": "plinth", "virtual_hosts": [host]}
    paths = tmp_path / "cds" / "cds.pb", tmp_path / "rds" / "rds.pb"
    put(paths[0], clusters)
    put(paths[1], resources([routes]).to_bytes())
    with reading(*paths) as envoy:
        assert eventually(lambda: envoy.ask("/").status == 204)
        put(paths[0], clusters[:-5])
        put(paths[1], resources([routes]).to_bytes()[:-5])

        def is_refused() -> bool:
            found = envoy.stats("update_(rejected|failure)")
            return all(
                found.get(f"{each}.update_rejected", 0) + found.get(f"{each}.update_failure", 0)
                for each in (CDS, RDS)
            )

        assert eventually(is_refused)
        assert envoy.ask("/").status == 204
        put(paths[1], b"no message at all")
        assert eventually(lambda: envoy.stats("update_empty").get(f"{RDS}.update_empty") == 1)
        assert envoy.ask("/").status == 204
        assert len(used(envoy)) == 2
        answer["direct_response"]["status"] = 202
        put(paths[1], resources([routes]).to_bytes())
        assert eventually(lambda: envoy.ask("/").status == 202)


def test_the_table_of_fields_is_that_of_the_envoy_that_runs() -> None:
    """When this fails after an upgrade: `python -m tools.envoy_fields`."""
    assert text_of(table(descriptions())) == TABLE.read_text()
