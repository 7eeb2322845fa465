from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from plinth.gateway import snapshot, xds
from plinth.gateway.bootstrap import bootstrap
from plinth.gateway.envoy_types import file_name
from plinth.gateway.snapshot import GatewayState
from plinth.kit.errors import Temporary
from tests.gateway.test_snapshot import BUSY, CHAT, DELAY

KINDS = ("gate", "cds", "ecds", "limits", "inner", "lds", "rds")
STATE = GatewayState(
    port=8470,
    sockets="/home/run",
    folder="/home/gateway",
    access_log="/home/gateway/access.log",
    jwks='{"keys":[]}',
    platform="p_platform",
)


def test_only_what_changed_is_written_and_clusters_come_first(tmp_path: Path) -> None:
    first = snapshot.render(STATE)
    assert xds.write(first, tmp_path) == KINDS
    assert xds.write(first, tmp_path) == ()
    assert xds.write(snapshot.render(replace(STATE, revoked=("k_1",))), tmp_path) == ("gate",)


def test_each_file_names_its_version_and_is_private(tmp_path: Path) -> None:
    rendered = snapshot.render(STATE)
    xds.write(rendered, tmp_path)
    for kind, content in rendered.by_kind().items():
        path = tmp_path / kind / file_name(kind)
        assert content.version.encode() in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600


def test_envoy_is_told_of_exactly_the_folders_that_are_written(tmp_path: Path) -> None:
    rendered = snapshot.render(replace(STATE, folder=str(tmp_path)))
    xds.write(rendered, tmp_path)
    boot = bootstrap(node="n", admin_socket=tmp_path / "admin.sock", folder=tmp_path)
    told = json.dumps([boot, rendered.listeners.items])
    assert all(str(path) in told for path in tmp_path.glob("*/*.*"))


def test_without_envoy_the_files_wait_for_its_start(tmp_path: Path) -> None:
    rendered = snapshot.render(STATE)
    with pytest.raises(Temporary, match="Envoy does not answer"):
        xds.apply(rendered, tmp_path / "gateway", tmp_path / "admin.sock")
    assert xds.write(rendered, tmp_path / "gateway") == ()


def test_clusters_that_are_no_longer_wanted_stay_until_the_routes_to_them_are_gone() -> None:
    before, after = (
        snapshot.render(replace(BUSY, endpoints=each)).clusters for each in ((DELAY, CHAT), (CHAT,))
    )
    both = xds._with_clusters(after, before.to_bytes())
    names = [{each["name"] for each in found.items} for found in (before, after, both)]
    assert names[2] == names[0] | names[1] != names[1]
    assert xds._with_clusters(after, after.to_bytes()) == after
    assert xds._with_clusters(after, None) == after
