"""Jobs that print too much, leave daemons, eat memory or files hurt nobody but themselves."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

from plinth.units.logs import CAP_BYTES, KEEP_BYTES
from tests.journeys.plinth_node import Plinth, is_alive, wait_for

MANY_FILES = 10_000


@pytest.fixture(scope="module")
def plinth(one_node: Plinth) -> Plinth:
    return one_node


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_200_mb_of_output_leave_the_last_part_and_everybody_else_served(plinth: Plinth) -> None:
    run = plinth.submit("shouts", "python", "rude.py", "shout", "200")
    slowest = 0.0
    while plinth.client.run(run)["phase"] not in ("succeeded", "failed"):
        began = time.monotonic()
        plinth.client.status()
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.05)
    assert plinth.ended(run)["phase"] == "succeeded"
    # No limit of ours, but a sign that the control plane does not swallow what is printed.
    assert slowest < 10
    log = plinth.home.units / f"{run}.0.1" / "log"
    assert log.stat().st_size > 200_000_000
    wait_for(lambda: on_disk(log) <= CAP_BYTES, "the old part given back to the disk")
    content, offset = b"", log.stat().st_size - 1000
    while True:
        more, offset = plinth.client.logs(run, offset=offset)[:2]
        if not more:
            break
        content += more
    assert content.endswith(b"the last line\n")
    shown = plinth.cli("logs", "shouts").out
    assert shown.endswith("the last line\n")
    assert KEEP_BYTES // 2 < len(shown) <= CAP_BYTES + 4096


def test_daemons_that_a_job_leaves_end_with_it(plinth: Plinth) -> None:
    run = plinth.run("forks", "python", "rude.py", "leave_daemons")
    assert run["phase"] == "succeeded"
    pids = [int(line.split()[2]) for line in plinth.log(run["id"]).splitlines() if "daemon" in line]
    assert len(pids) == 3
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_job_over_its_memory_limit_fails_alone_and_says_so(plinth: Plinth) -> None:
    run = plinth.run("eats", "python", "rude.py", "eat_memory", resources={"memory": "256MB"})
    assert run["phase"] == "failed"
    assert "MemoryError" in plinth.log(run["id"])
    eaten = [int(line.split()[0]) for line in plinth.log(run["id"]).splitlines() if "MiB" in line]
    assert max(eaten) <= 256
    assert plinth.is_up()


def test_ten_thousand_files_go_in_come_out_and_are_deleted(plinth: Plinth) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    script = "import os; print(sum(len(f) for _, _, f in os.walk('in')), 'files came')"
    (folder / "count.py").write_text(script)
    for number in range(MANY_FILES):
        place = folder / "in" / str(number % 100)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.txt").write_text("x")
    file = plinth.write(kind="job", name="carries", command="python count.py", code=str(folder))
    assert f"{MANY_FILES} files came" in plinth.cli("run", file).out
    run = plinth.run("litters", "python", "rude.py", "write_files")
    assert f"{MANY_FILES} files" in plinth.log(run["id"])
    wait_for(lambda: plinth.cli("delete", run["id"], check=False).code == 0, "the deletion")
    assert not (plinth.home.runs / run["id"]).exists()
