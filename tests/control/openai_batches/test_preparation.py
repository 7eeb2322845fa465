"""What sends a batch reads its input and writes its folder, and is told who it is."""

from __future__ import annotations

import pytest

from plinth.control.openai_batches.preparation import file_key, prepare_requests
from plinth.domain.request_batch import RequestBatch
from plinth.kit.errors import Permanent
from tests.control.openai_batches.batches import EXTERNAL, lines, make, stored, until_sent
from tests.control.plane import TEAM, Plane


def test_it_may_read_its_input_and_write_nothing_but_its_folder(plane: Plane) -> None:
    plane.apply(name="chat", external=EXTERNAL)
    batch = make(plane, lines(1))
    until_sent(plane, batch)
    run = plane.run(stored(plane, batch).run or "")
    assert isinstance(run.workload, RequestBatch)
    prepared = prepare_requests(plane.context, run, run.workload)
    written = [mount.path for mount in prepared.mounts if mount.writable]
    assert written == [str(plane.home.runs / run.id)]
    assert prepared.command[1:3] == ("-m", "requestrunner")
    assert prepared.variables["PLINTH_SENDER"] == run.principal
    plane.context.storage.delete(file_key(TEAM, run.workload.input_file))
    with pytest.raises(Permanent, match="not in the storage"):
        prepare_requests(plane.context, run, run.workload)
