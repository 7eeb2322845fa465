"""What a change of the configuration does to requests that are under way, and a refused one."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from plinth.gateway.envoy_types import CLUSTER, LISTENER, ROUTES
from tests.conformance.stand import Envoy, Json, eventually, running_envoy
from tests.conformance.upstream_stand import SPILL, Server, cluster, outer, says, serving, way

PIECES = 40


@dataclass
class Files:
    """The configuration of a running Envoy, a folder for each kind."""

    folder: Path

    def put(self, kind: str, *items: Json) -> None:
        """Replace a file as a whole."""
        place = self.folder / kind
        place.mkdir(exist_ok=True)
        (place / "draft").write_text(json.dumps({"resources": list(items)}))
        os.replace(place / "draft", place / f"{kind}.json")

    def source(self, kind: str) -> Json:
        """Return where Envoy reads it."""
        path = str(self.folder / kind)
        own = {"path": f"{path}/{kind}.json", "watched_directory": {"path": path}}
        return {"path_config_source": own, "resource_api_version": "V3"}

    def clusters(self, *items: Json) -> None:
        """Have these clusters."""
        self.put("cds", *({"@type": CLUSTER, **each} for each in items))

    def routes(self, *items: Json) -> None:
        """Have these routes."""
        host = {"name": "all", "domains": ["*"], "routes": list(items)}
        self.put("rds", {"@type": ROUTES, "name": "main", "virtual_hosts": [host]})

    def listener(self, port: int = 0, **more: str) -> None:
        """Have a listener; `more` is only there to change it."""
        found = outer([])
        manager = found["filter_chains"][0]["filters"][0]["typed_config"]
        manager.pop("route_config")
        manager["rds"] = {"route_config_name": "main", "config_source": self.source("rds")}
        manager.update(more)
        found["address"]["socket_address"]["port_value"] = port
        self.put("lds", {"@type": LISTENER, **found})


@contextmanager
def changing(folder: Path, server: Server) -> Iterator[tuple[Envoy, Files]]:
    """Run an Envoy that reads everything from files, with one server behind it."""
    files = Files(folder)
    files.clusters(cluster("one", server.address))
    files.routes(way("one"))
    files.listener()
    dynamic = {"lds_config": files.source("lds"), "cds_config": files.source("cds")}
    with running_envoy([], [], dynamic_resources=dynamic) as envoy:
        yield envoy, files


def stream(envoy: Envoy, found: list[int]) -> threading.Thread:
    """Read a stream in a thread; `found` gets the number of its pieces."""

    def read() -> None:
        port = envoy.ports["main"]
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", "/")
            try:
                found.append(connection.getresponse().read().count(b"data:"))
            except http.client.IncompleteRead as err:
                found.append(err.partial.count(b"data:"))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_a_stream_outlives_its_route_and_its_cluster(tmp_path: Path) -> None:
    with (
        serving(lambda request: request.stream(PIECES, 0.05)) as one,
        serving(says("b")) as two,
        changing(tmp_path, one) as (envoy, files),
    ):
        found: list[int] = []
        reader = stream(envoy, found)
        assert eventually(lambda: len(one.seen) == 1)
        files.clusters(cluster("two", two.address))
        files.routes(way("two"))
        assert eventually(lambda: envoy.ask("/").headers.get("x-name") == "b")
        assert envoy.stats("cluster_removed") == {"cluster_manager.cluster_removed": 1}
        reader.join()
        assert found == [PIECES]


def test_a_stream_outlives_its_listener_for_the_time_of_draining(tmp_path: Path) -> None:
    """It ends after `--drain-time-s`: what changes often must not stand in a listener."""
    pieces = 15
    with (
        serving(lambda request: request.stream(pieces, 0.1)) as one,
        changing(tmp_path, one) as (envoy, files),
    ):
        found: list[int] = []
        reader = stream(envoy, found)
        assert eventually(lambda: len(one.seen) == 1)
        files.listener(envoy.ports["main"], server_name="other")
        changed = "listener_manager.listener_modified"
        assert eventually(lambda: envoy.stats(changed).get(changed) == 1)
        reader.join()
        assert found == [pieces]


def test_a_refused_file_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    with serving(says("a")) as one, changing(tmp_path, one) as (envoy, files):
        broken = way("one")
        broken["match"] = {"safe_regex": {"regex": "("}}
        files.routes(broken)
        counter = "http.main.rds.main.update_rejected"
        assert eventually(lambda: envoy.stats(counter).get(counter) == 1)
        assert envoy.ask("/").headers["x-name"] == "a"


def test_of_refused_clusters_the_good_ones_are_taken(tmp_path: Path) -> None:
    """So what is refused must be put back whole: a part of it is in use."""
    with serving(says("a")) as one, changing(tmp_path, one) as (envoy, files):
        bad = cluster("bad", one.address, lb_policy="CLUSTER_PROVIDED")
        files.clusters(cluster("one", one.address), cluster("new", one.address), bad)
        counter = "cluster_manager.cds.update_rejected"
        assert eventually(lambda: envoy.stats(counter).get(counter) == 1)
        files.routes(way("new"))
        assert eventually(lambda: envoy.ask("/").status == 200)
        assert envoy.stats("^cluster.new.upstream_cx_total$")


def test_the_time_of_an_attempt_ends_with_the_head_of_the_answer() -> None:
    with serving(lambda request: request.stream(3, 0.6)) as one:
        front = outer([way("one", retry_policy={**SPILL, "per_try_timeout": "0.3s"})])
        with running_envoy([front], [cluster("one", one.address)]) as envoy:
            assert envoy.ask("/").body.count(b"data:") == 3


def test_the_idle_time_of_an_attempt_cuts_a_stream_between_two_pieces() -> None:
    with serving(lambda request: request.stream(3, 0.6)) as one:
        policy = {**SPILL, "per_try_idle_timeout": "0.3s"}
        front = outer([way("one", retry_policy=policy)])
        with (
            running_envoy([front], [cluster("one", one.address)]) as envoy,
            pytest.raises(http.client.IncompleteRead),
        ):
            envoy.ask("/")
