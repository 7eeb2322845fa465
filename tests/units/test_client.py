"""A client without an agent says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.kit.errors import Temporary
from plinth.units.client import AgentClient, _error


def test_an_agent_that_is_not_there_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="does not answer") as caught:
        AgentClient(tmp_path / "agent.sock").ping()
    assert caught.value.hint == "start it with `plinth up`"


def test_the_code_of_an_error_is_the_agents() -> None:
    late = Temporary("the order came too late", hint="who holds it goes on", code="stale_order")
    again = _error(late.to_json()["error"])
    assert isinstance(again, Temporary)
    assert (again.code, again.message, again.hint) == (late.code, late.message, late.hint)
