"""With the settings that everybody has, no endpoint of ours leads into this machine's network."""

from __future__ import annotations

import pytest

from plinth.kit.errors import Invalid
from tests.journeys.one_node import with_teams
from tests.journeys.plinth_node import Plinth

TEAM = "research"


@pytest.fixture(scope="module")
def strict(one_node: Plinth) -> Plinth:
    return with_teams(one_node, TEAM)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "a.localhost", "2130706433", "0x7f.1", "[::ffff:10.0.0.1]",
     "169.254.169.254", "metadata.google.internal"],
)  # fmt: skip
def test_by_default_this_machine_and_its_network_are_out_of_reach(
    host: str, strict: Plinth
) -> None:
    declared = strict.endpoint_of(
        "inside", TEAM, external={"url": f"http://{host}/v1", "protocol": "openai"}
    )
    with pytest.raises(Invalid) as caught:
        strict.client.apply(declared)
    assert caught.value.code == "private_address"
    is_metadata = host in ("169.254.169.254", "metadata.google.internal")
    assert ("allow_private_upstreams" in str(caught.value.hint)) is not is_metadata
    assert ("never allowed" in str(caught.value.hint)) is is_metadata
