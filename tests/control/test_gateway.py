"""What the rows say is rendered whole, and written only when it is new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plinth.control import gateway, gateway_state
from plinth.control.duties import Duty
from plinth.control.endpoints import resolution
from plinth.control.gateway import GatewayReconciler
from plinth.domain.run import Phase
from plinth.gateway.xds import is_on_disk, write
from plinth.kit.errors import Permanent, PlinthError, Temporary
from plinth.kit.files import write_json
from plinth.store.leases import Holder
from tests.control.endpoints.keeping import keep_secret
from tests.control.plane import Plane


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    snapshots: list[Any] = []

    def apply(snapshot: Any, folder: Path, _socket: Path, *, fence: Callable[[], None]) -> None:
        write(snapshot, folder, fence=fence)
        snapshots.append(snapshot)

    # Envoy itself belongs to the journeys.
    monkeypatch.setattr(gateway, "apply", apply)
    return snapshots


def test_a_candidate_is_routed_for_the_platform_before_it_serves(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    assert reconciler.deployments() == frozenset()
    plane.not_ready = "the model is loading"
    run = plane.apply().deployment
    plane.until(lambda: plane.run(run).phase is Phase.STARTING)
    reconciler.publish()
    assert reconciler.published is not None
    assert reconciler.published.serving == {"delay": {}}
    assert reconciler.deployments() == {run}
    plane.not_ready = None
    plane.until(lambda: plane.serves(run))
    reconciler.publish()
    assert reconciler.published.serving == {"delay": {"main": run}}
    assert len(written) == 2


def test_the_same_rows_are_written_once(plane: Plane, written: list[Any]) -> None:
    reconciler = GatewayReconciler(plane.context)
    for _ in range(3):
        reconciler.publish()
    assert len(written) == 1
    assert plane.hints == 1


def test_every_control_plane_that_was_started_is_routed_to(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    reconciler.publish()
    # `plinth up` starts a second one beside this one, which runs on.
    write_json(plane.home.node_file, {"port": 1, "control_planes": 2})
    reconciler.publish()
    assert len(written) == 2
    assert b"control-2.sock" in written[1].clusters.to_bytes()
    assert b"control-2.sock" not in written[0].clusters.to_bytes()


def test_what_envoy_did_not_take_is_not_published(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **_more: Any) -> None:
        raise Temporary("Envoy is away")

    monkeypatch.setattr(gateway, "apply", refuse)
    reconciler = GatewayReconciler(plane.context)
    with pytest.raises(Temporary):
        reconciler.publish()
    assert reconciler.published is None


def test_while_a_version_is_handed_over_nobody_relies_on_the_one_before(
    plane: Plane, written: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = GatewayReconciler(plane.context)
    reconciler.publish()
    before = reconciler.settled
    assert before is not None
    errors: list[PlinthError] = [Temporary("Envoy is away"), Permanent("Envoy refuses it")]

    def fail(*_: Any, **_more: Any) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(gateway, "apply", fail)
    plane.apply()
    with pytest.raises(Temporary):
        reconciler.publish()
    assert reconciler.settled is None
    assert reconciler.published == replace(before, is_settled=False)
    with pytest.raises(Permanent):
        reconciler.publish()
    # What was refused was put back.
    assert reconciler.published == replace(before, is_settled=False)


def test_what_one_control_plane_published_the_others_know(plane: Plane, written: list[Any]) -> None:
    GatewayReconciler(plane.context).publish()
    other = GatewayReconciler(plane.context)
    assert other.settled is not None
    assert other.settled.version == written[0].version


def test_a_file_that_is_not_what_was_published_is_put_right(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    reconciler.publish()
    reconciler.publish()
    assert len(written) == 1
    (plane.home.gateway / "rds" / "rds.pb").write_text("{}")
    reconciler.publish()
    assert len(written) == 2
    assert is_on_disk(written[0], plane.home.gateway)


def test_who_lost_the_duty_replaces_no_file(plane: Plane, written: list[Any]) -> None:
    duty = Duty("gateway", plane.database, plane.clock, Holder.begin("control@x"), 10.0)
    reconciler = GatewayReconciler(plane.context, duty)
    assert duty.hold()
    reconciler.publish()
    plane.apply()
    plane.clock.advance(10.0)
    with pytest.raises(Temporary) as caught:
        reconciler.publish()
    assert caught.value.code == "stale_order"
    assert len(written) == 1
    assert is_on_disk(written[0], plane.home.gateway)
    assert duty.hold()
    reconciler.publish()
    assert len(written) == 2


def test_who_takes_the_duty_asks_envoy_anew(plane: Plane, written: list[Any]) -> None:
    holders = [Holder.begin(name) for name in ("control@x", "control-2@x")]
    duties = [Duty("gateway", plane.database, plane.clock, each, 10.0) for each in holders]
    first, second = (GatewayReconciler(plane.context, duty) for duty in duties)
    assert duties[0].hold()
    first.publish()
    plane.clock.advance(11.0)
    assert duties[1].hold()
    second.publish()
    second.publish()
    assert len(written) == 2
    assert written[0] == written[1]


# -- what Envoy refuses --------------------------------------------------------------------------

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai"}


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """An Envoy that refuses every configuration in which `bad.example.com` stands."""
    taken: list[Any] = []

    def complaint(snapshot: Any) -> str | None:
        return "no such host" if b"bad.example.com" in snapshot.clusters.to_bytes() else None

    def apply(snapshot: Any, folder: Path, _socket: Path, *, fence: Callable[[], None]) -> None:
        if complaint(snapshot) is not None:
            raise Permanent("Envoy refuses the cds version")
        write(snapshot, folder, fence=fence)
        taken.append(snapshot)

    monkeypatch.setattr(gateway, "apply", apply)
    monkeypatch.setattr(gateway, "complaint", complaint)
    return taken


def bad(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(resolution, "check_address", lambda *_, **_more: None)
    return {**CHAT, "url": "https://bad.example.com/v1"}


def test_a_refused_endpoint_keeps_its_routes_and_holds_up_no_other(
    plane: Plane, picky: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = GatewayReconciler(plane.context)
    plane.apply(name="chat", external=CHAT)
    plane.apply(name="other", external=CHAT)
    reconciler.publish()
    before = reconciler.published
    assert before is not None
    plane.apply(name="chat", external=bad(monkeypatch))
    plane.apply(name="new", external=bad(monkeypatch))
    plane.apply(name="other", external={**CHAT, "url": "https://1.0.0.1/v1"})
    reconciler.publish()
    after = reconciler.published
    assert after is not None
    assert set(after.refused) == {"chat", "new"}
    assert after.refused["chat"].reason == "no such host"
    assert set(after.files) == {"other"}
    assert after.serving["chat"] == before.serving["chat"]
    assert after.serving["new"] == {}
    whole = picky[-1].clusters.to_bytes()
    assert b"1.1.1.1" in whole
    assert b"1.0.0.1" in whole
    # The next round asks nobody again, and what the same file says stays refused.
    reconciler.publish()
    assert len(picky) == 2
    assert reconciler.published == after


def test_a_mended_file_is_taken(
    plane: Plane, picky: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = GatewayReconciler(plane.context)
    plane.apply(name="chat", external=bad(monkeypatch))
    reconciler.publish()
    plane.apply(name="chat", external=CHAT)
    reconciler.publish()
    assert reconciler.published is not None
    assert reconciler.published.refused == {}
    assert reconciler.published.serving == {"chat": {"main": "chat.main"}}


def test_what_ran_before_is_known_after_a_restart(
    plane: Plane, picky: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane.apply(name="chat", external=CHAT)
    GatewayReconciler(plane.context).publish()
    plane.apply(name="chat", external=bad(monkeypatch))
    again = GatewayReconciler(plane.context)
    again.publish()
    assert again.published is not None
    assert set(again.published.refused) == {"chat"}
    assert again.published.serving["chat"] == {"main": "chat.main"}
    assert b"1.1.1.1" in picky[-1].clusters.to_bytes()


def test_when_no_endpoint_is_to_blame_all_stays_as_it_is(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **_more: Any) -> None:
        raise Permanent("Envoy refuses the lds version")

    plane.apply(name="chat", external=CHAT)
    monkeypatch.setattr(gateway, "apply", refuse)
    monkeypatch.setattr(gateway, "complaint", lambda _snapshot: "a defect of Plinth")
    reconciler = GatewayReconciler(plane.context)
    with pytest.raises(Permanent, match="lds"):
        reconciler.publish()
    assert reconciler.published is None


def test_a_file_that_changes_nothing_of_the_routes_is_noted(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    plane.apply(name="chat", external=CHAT)
    reconciler.publish()
    before = reconciler.published
    plane.apply(name="chat", external=CHAT, requirements={"criticality": "test"})
    reconciler.publish()
    assert len(written) == 1
    assert before is not None
    assert reconciler.published is not None
    assert reconciler.published.files != before.files


def test_a_credential_that_cannot_be_sent_is_no_trouble_of_the_others(
    plane: Plane, written: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_state, "credentials_folder", lambda _gateway: tmp_path)
    chat = {"url": "https://1.1.1.1/v1", "protocol": "openai", "credential": "secret:provider"}
    keep_secret(plane, "provider", b"sk-1")
    plane.apply(name="chat", external=chat)
    plane.gateway.publish()
    keep_secret(plane, "provider", b"two\nlines")
    plane.apply(name="other", external={**chat, "credential": None})
    # It would be told as an error of the whole gateway.
    plane.gateway.publish()
    published = plane.gateway.published
    assert published is not None
    assert published.serving.keys() == {"chat", "other"}
    assert published.credentials.keys() == {"chat.main"}
    keep_secret(plane, "provider", b"sk-2")
    plane.gateway.publish()
    mended = plane.gateway.published
    assert mended is not None
    assert mended.credentials == {}
