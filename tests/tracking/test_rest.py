"""What goes wrong with MLflow comes back as one of our own errors."""

from __future__ import annotations

import gc
import tempfile
import warnings
from pathlib import Path

import pytest

from plinth.kit.errors import Invalid, Temporary
from plinth.tracking.mlflow import Tracking


def test_no_server_is_a_temporary_failure_with_a_hint() -> None:
    socket = Path(tempfile.mkdtemp(prefix="pl-")) / "absent.sock"
    # httpcore forgets to close the socket when connecting fails; it goes with the exception.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with Tracking(socket) as tracking, pytest.raises(Temporary, match="reached") as caught:
            tracking.ready()
        hint = caught.value.hint or ""
        del caught
        gc.collect()
    assert "plinth status" in hint


@pytest.mark.parametrize("run", ["", "a' or '1'='1", "a b"])
def test_a_run_id_cannot_change_the_search(run: str) -> None:
    with Tracking(Path("/absent.sock")) as tracking, pytest.raises(Invalid, match="id of a run"):
        tracking.ensure_run("research", "train", run, {})
