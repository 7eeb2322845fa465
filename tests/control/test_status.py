"""The state of the node never fails because a part of it is down."""

from __future__ import annotations

import json

import pytest

from plinth.control.loop import Periodic
from plinth.control.status import Parts, node_status, unit_log
from plinth.kit.errors import NotFound, Temporary
from tests.control.plane import Plane


def test_what_is_down_is_shown_as_data(plane: Plane) -> None:
    broken = Periodic("gateway", lambda: None, 1.0)
    broken.last_error = "Envoy is away"
    parts = Parts(
        gateway=plane.gateway,
        tracking=plane.parts.tracking,
        metering=plane.parts.metering,
        refusals=plane.parts.refusals,
        periodic=(broken,),
    )
    seen = node_status(plane.context, parts, with_memory=False)
    assert seen["errors"] == {"gateway": "Envoy is away"}
    assert seen["node"] is None
    json.dumps(seen)


def test_the_log_of_a_unit_that_is_none_is_not_found(plane: Plane) -> None:
    with pytest.raises(NotFound, match="no unit `absent`"):
        unit_log(plane.context, "absent", 0, 10)


def test_a_ledger_that_cannot_be_read_now_hides_nothing_else(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: object) -> int:
        raise Temporary("the ledger cannot be used now")

    monkeypatch.setattr(type(plane.context.ledger), "count_gaps", busy)
    seen = node_status(plane.context, plane.parts, with_memory=False)
    assert seen["usage"] == {"gaps": None, "latest_gaps": [], "unreadable_lines": None}
    assert seen["address"]
