"""A client without an agent says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.kit.errors import Temporary
from plinth.units.client import AgentClient


def test_an_agent_that_is_not_there_is_temporary(tmp_path: Path) -> None:
    with pytest.raises(Temporary, match="does not answer") as caught:
        AgentClient(tmp_path / "agent.sock").ping()
    assert caught.value.hint == "start it with `plinth up`"
