"""A finished batch's output becomes a data version, whole, once, and with who made it."""

from __future__ import annotations

import json

import pytest

from plinth.control.batches.batch_view import describe_batch, list_files
from plinth.control.batches.publication import add_output, publish
from plinth.control.data_folder import files_of
from plinth.control.lineage import lineage_of_data
from plinth.kit.errors import Permanent
from plinth.store.data_versions import find_data_version
from tests.control.batches.batch_case import add_files, batch_of, submit, write_output
from tests.control.plane import TEAM, Plane


@pytest.fixture
def ready(plane: Plane) -> Plane:
    plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(plane, a="x\n1\n2\n")
    return plane


def test_the_output_is_a_version_made_by_the_run(ready: Plane) -> None:
    run = submit(ready)
    write_output(ready, run, 2, 3)
    for _ in range(2):
        published = publish(ready.context, run, batch_of())
        assert published is not None
        with ready.write() as connection:
            version = add_output(connection, ready.context, run, published)
        assert (version.name, version.version, version.rows) == ("nightly", 1, 5)
    assert [each.rows for each in files_of(ready.context, version)] == [2, 3]
    found = lineage_of_data(ready.context, version, lambda _: True)
    assert found.made_by is not None
    assert (found.made_by.run, found.made_by.model) == (run.id, "scale")
    assert found.made_by.data == {"input": "rows@1"}
    with ready.context.database.read() as connection:
        shown = describe_batch(connection, ready.context, run)
    assert shown["output"] == "nightly@1"
    assert list_files(ready.context, run)[:2] == [
        "manifest.json",
        "output/part-00000-000000.parquet",
    ]
    read = lineage_of_data(ready.context, run.data["input"], lambda _: True)
    assert [reader.kind for reader in read.runs] == ["batch"]


def test_a_part_that_is_damaged_or_gone_is_never_published(ready: Plane) -> None:
    run = submit(ready)
    work = write_output(ready, run, 2)
    part = work / "output" / "part-00000-000000.parquet"
    part.write_bytes(b"0 3")
    with pytest.raises(Permanent, match="is damaged"):
        publish(ready.context, run, batch_of())
    part.unlink()
    with pytest.raises(Permanent, match="is gone"):
        publish(ready.context, run, batch_of())
    with ready.context.database.read() as connection:
        assert find_data_version(connection, TEAM, "nightly", None) is None


@pytest.mark.parametrize(
    "manifest",
    [
        "[]",
        '{"parts": 3}',
        '{"parts": [{"name": "../x", "digest": "d", "rows": 1, "size_bytes": 1}]}',
        # What no database holds, and what is less than nothing.
        *(
            f'{{"parts": [{{"name": "part-00000-000000.parquet", "digest": "d", {counts}}}]}}'
            for counts in (
                f'"rows": {10**30}, "size_bytes": 1',
                '"rows": -1, "size_bytes": 1',
                f'"rows": 1, "size_bytes": {2**63}',
            )
        ),
    ],
)
def test_a_manifest_that_no_run_writes_is_refused(ready: Plane, manifest: str) -> None:
    run = submit(ready)
    work = write_output(ready, run, 1)
    (work / "manifest.json").write_text(manifest)
    with pytest.raises(Permanent, match="manifest"):
        publish(ready.context, run, batch_of())


def test_no_row_that_was_answered_is_no_version(ready: Plane) -> None:
    run = submit(ready)
    work = write_output(ready, run)
    assert json.loads((work / "manifest.json").read_text())["parts"] == []
    assert publish(ready.context, run, batch_of()) is None
