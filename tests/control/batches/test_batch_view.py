"""What a run finished is listed by name; what it wrote besides is not."""

from __future__ import annotations

from plinth.control.batches.batch_view import describe_batch, list_files
from tests.control.batches.batch_case import add_files, submit, write_output
from tests.control.plane import TEAM, Plane


def test_only_parts_and_the_manifest_are_listed(plane: Plane) -> None:
    plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(plane, a="x\n1\n")
    run = submit(plane)
    assert list_files(plane.context, run) == []
    work = write_output(plane, run, 1)
    (work / "output" / "other.txt").write_text("x")
    (work / "output" / "part-00000-000001.parquet").symlink_to("/etc/hostname")
    assert list_files(plane.context, run) == ["manifest.json", "output/part-00000-000000.parquet"]
    with plane.context.database.read() as connection:
        shown = describe_batch(connection, plane.context, run)
    assert shown["manifest"] == {"set_aside": 1}
    assert shown["output"] is None


def test_half_a_character_in_a_manifest_can_be_answered(plane: Plane) -> None:
    plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(plane, a="x\n1\n")
    run = submit(plane)
    work = write_output(plane, run, 1)
    (work / "manifest.json").write_text('{"form": {"why": "\\ud800"}, "rows": 2}')
    with plane.context.database.read() as connection:
        shown = describe_batch(connection, plane.context, run)
    assert shown["manifest"] == {"form": {"why": "?"}, "rows": 2}
