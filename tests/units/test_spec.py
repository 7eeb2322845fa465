"""What the agent is asked for survives its way through JSON, and nonsense is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from plinth.kit.errors import Invalid
from plinth.units.spec import Confinement, Elastic, NodeInfo, UnitSpec, UnitState, attempt_of

FULL = UnitSpec(
    id="r_abc.0.1",
    argv=("python", "train.py"),
    env={"A": "1"},
    cwd="/work",
    socket="/run/x.sock",
    restart="always",
    grace_s=3.5,
    memory_bytes=10**9,
    confinement=Confinement(minimum_level=2, read=("/a",), write=("/b",), connect_ports=(8470,)),
)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value.to_json()))


def test_a_spec_comes_back_as_it_was_written() -> None:
    assert UnitSpec.from_json(through_json(FULL)) == FULL


def test_no_ports_and_any_port_stay_different() -> None:
    for ports in (None, ()):
        confinement = Confinement(connect_ports=ports)
        assert Confinement.from_json(through_json(confinement)) == confinement


def test_states_and_nodes_come_back_as_they_were_written() -> None:
    state = UnitState(id="a", phase="lost", exit_code=1, stopped=True, reason="why", restarts=2)
    node = NodeInfo(1, "boot", "node", 3, "2026-01-01T00:00:00.000000Z")
    assert UnitState.from_json(through_json(state)) == state
    assert NodeInfo.from_json(through_json(node)) == node


def test_fields_of_a_newer_release_are_passed_over() -> None:
    assert UnitSpec.from_json({**FULL.to_json(), "colour": "blue"}) == FULL


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../secrets"},
        {"id": ".hidden"},
        {"id": ""},
        {"argv": []},
        {"argv": None},
        {"cwd": "here"},
        {"restart": "sometimes"},
        {"socket": "/" + "x" * 120},
        {"env": ["A=1"]},
        {"confinement": {"connect_ports": ["http"]}},
        {"grace_s": "long"},
        {"grace_s": -1},
        {"grace_s": 1e12},
        {"grace_s": float("nan")},
    ],
)
def test_what_could_never_start_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        UnitSpec.from_json({**FULL.to_json(), **change})


def test_an_attempt_is_the_number_behind_the_last_dot() -> None:
    assert attempt_of("r_abc.0.12") == ("r_abc.0", 12)
    assert attempt_of("control") is None
    assert attempt_of("envoy.blue") is None


def test_an_elastic_unit_comes_back_as_it_was_written() -> None:
    spec = replace(FULL, restart="never", elastic=Elastic(0, 4, 20.0))
    assert UnitSpec.from_json(through_json(spec)) == spec


@pytest.mark.parametrize("given", [(-1, 2), (3, 2), (0, 0), (0, 65)])
def test_workers_that_cannot_be_are_refused(given: tuple[int, int]) -> None:
    with pytest.raises(Invalid, match=f"{given[0]} to {given[1]} workers cannot be"):
        Elastic(*given)
    with pytest.raises(Invalid, match="cannot start in"):
        Elastic(0, 1, 0.0)


def test_an_elastic_unit_needs_a_socket_and_ends_for_good() -> None:
    for wrong in ({"socket": None, "restart": "never"}, {"restart": "always"}):
        with pytest.raises(Invalid, match="is elastic"):
            replace(FULL, elastic=Elastic(0, 1), **wrong)
