"""What goes wrong with MLflow comes back as one of our own errors."""

from __future__ import annotations

import gc
import socket
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from plinth.kit.errors import Invalid, Temporary
from plinth.tracking.mlflow import Tracking
from plinth.tracking.rest import Rest


def test_no_server_is_a_temporary_failure_with_a_hint() -> None:
    absent = Path(tempfile.mkdtemp(prefix="pl-")) / "absent.sock"
    # httpcore forgets to close the socket when connecting fails; it goes with the exception.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with Tracking(absent) as tracking, pytest.raises(Temporary, match="reached") as caught:
            tracking.ready()
        hint = caught.value.hint or ""
        del caught
        gc.collect()
    assert "plinth status" in hint


def test_a_server_that_hangs_is_waited_for_by_few_and_the_others_are_told() -> None:
    path = Path(tempfile.mkdtemp(prefix="pl-")) / "hangs.sock"
    with socket.socket(socket.AF_UNIX) as server, ThreadPoolExecutor(4) as pool:
        server.bind(str(path))
        server.listen()
        rest = Rest(path)
        waiting = [pool.submit(rest.get, "/slow") for _ in range(4)]
        # Each has sent its question.
        callers = [server.accept()[0] for _ in waiting]
        with pytest.raises(Temporary, match="4 calls wait for its answer"):
            rest.get("/slow")
        for caller in callers:
            caller.recv(10_000)
            caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            caller.close()
        assert [each.result() for each in waiting] == [{}] * 4
        rest.close()


@pytest.mark.parametrize("run", ["", "a' or '1'='1", "a b"])
def test_a_run_id_cannot_change_the_search(run: str) -> None:
    with Tracking(Path("/absent.sock")) as tracking, pytest.raises(Invalid, match="id of a run"):
        tracking.ensure_run("research", "train", run, {})
