"""What is said of the model servers is what their runtimes say."""

from __future__ import annotations

from plinth.domain.model_server import MODEL_SERVERS
from plinth.runtimes.runtime import load_runtimes


def test_the_table_says_what_the_runtimes_say() -> None:
    runtimes = load_runtimes()
    served = {name for name, runtime in runtimes.items() if runtime.protocol != "flow"}
    assert MODEL_SERVERS.keys() == served
    for name, server in MODEL_SERVERS.items():
        assert (server.format,) == runtimes[name].formats
        assert (server.protocol == "openai") == (runtimes[name].protocol == "openai")
