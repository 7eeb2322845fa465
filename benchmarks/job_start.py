"""Measure how long a job takes from its accepted submission to the first line it prints.

`python -m benchmarks.job_start [--json]`. Starts a Plinth of its own and submits one job after the
other; the job's first line is the time at which it was printed, so nothing waits for a reader. The
peer starts the same script with the same interpreter by a bare `subprocess`, in turns with ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from benchmarks.machine import cpu_s, free_port, processor
from plinth.client.client import Client
from plinth.domain.workload import WORKLOAD, Job
from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.kit.archive import pack
from plinth.kit.home import Home

_SCRIPT = "import time\nprint(time.time(), flush=True)\n"
_WARM_UP = 3
_IDLE_S = 5.0
# The control plane looks at what just ended within a second.
_SETTLING_S = 2.0
_PATIENCE_S = 60.0


@dataclass
class Measured:
    """Seconds of each round: from the answer to our submission, of the call itself, of the peer."""

    ours: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(os.environ.get("PLINTH_TEST_CACHE") or Path.home() / ".cache" / "plinth-tests")
        / "environments",
        help="managed environments to use again; the first time, MLflow's is built in it",
    )
    chosen = parser.parse_args(arguments)
    result = run(chosen.runs, chosen.environments)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


def run(runs: int, environments: Path) -> dict[str, Any]:
    """Measure and return the figures."""
    environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    built = Environments(environments, find_uv_bin()).build(EnvironmentSpec((), this_python()))
    with _node(environments) as (home, client), tempfile.TemporaryDirectory() as code:
        script = Path(code) / "first_line.py"
        script.write_text(_SCRIPT)
        digest = _upload(client, Path(code))
        for _ in range(_WARM_UP):
            _start(client, home, digest, Measured())
        watched = [_pid(home, "control"), client.status()["node"]["pid"]]
        idle_share = _idle_share(watched)
        measured, began, used = Measured(), time.monotonic(), cpu_s(*watched)
        for _ in range(runs):
            _start(client, home, digest, measured)
            measured.peer.append(_bare(built.python, script))
        time.sleep(_SETTLING_S)
        took, used = time.monotonic() - began, cpu_s(*watched) - used
        phases = {each["phase"] for each in client.runs(kind="job", limit=1000)}
    if phases != {"succeeded"}:
        raise RuntimeError(f"some jobs did not succeed: {phases}")
    ratios = [ours / peer for ours, peer in zip(measured.ours, measured.peer, strict=True)]
    return {
        **_spread("submit_to_first_line_s", measured.ours),
        **_spread("submit_call_s", measured.calls),
        **_spread("bare_subprocess_s", measured.peer),
        **_spread("ratio_to_bare_subprocess", ratios),
        "control_and_agent_cpu_s_per_job": round((used - idle_share * took) / runs, 4),
        "control_and_agent_idle_cpu_share": round(idle_share, 4),
        "runs": runs,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} x {processor()}, Linux {platform.release()}",
        "load_1_minute": round(os.getloadavg()[0], 2),
    }


@contextmanager
def _node(environments: Path) -> Iterator[tuple[Home, Client]]:
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
    home.environments.symlink_to(environments)
    port = free_port()
    try:
        _plinth(home, "up", "--detach", "--port", str(port))
        with Client(f"http://127.0.0.1:{port}", home.admin_token.read_text()) as client:
            yield home, client
    finally:
        _plinth(home, "down", "--force")
        shutil.rmtree(home.root)


def _plinth(home: Home, *arguments: str) -> None:
    command = [sys.executable, "-m", "plinth.cli.main", *arguments, "--home", str(home.root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _upload(client: Client, folder: Path) -> str:
    code = pack(folder)
    client.put_code(code.digest, code.content, team="default")
    return code.digest


def _start(client: Client, home: Home, digest: str, measured: Measured) -> None:
    """Run the job to its end without asking the control plane, which would cost it work."""
    declared = {"kind": "job", "name": "first-line", "team": "default"}
    job = WORKLOAD.validate_python({**declared, "command": ["python", "first_line.py"]})
    assert isinstance(job, Job)
    asked = time.time()
    run_id = client.submit(job, code_digest=digest)["id"]
    accepted = time.time()
    unit = home.units / f"{run_id}.0.1"
    deadline = time.monotonic() + _PATIENCE_S
    while not (unit / "exit.json").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"run {run_id} did not end in {_PATIENCE_S:.0f} s")
        time.sleep(0.02)
    measured.ours.append(float((unit / "log").read_text()) - accepted)
    measured.calls.append(accepted - asked)


def _bare(python: Path, script: Path) -> float:
    asked = time.time()
    done = subprocess.run([python, script], check=True, capture_output=True, text=True)
    return float(done.stdout) - asked


def _idle_share(pids: Sequence[int]) -> float:
    """Return the CPU-seconds a second that they use when there is nothing to do."""
    time.sleep(1.5)
    before = cpu_s(*pids)
    time.sleep(_IDLE_S)
    return (cpu_s(*pids) - before) / _IDLE_S


def _pid(home: Home, unit: str) -> int:
    identity = json.loads((home.units / unit / "identity.json").read_text())
    return int(identity["child"]["pid"])


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_median": round(statistics.median(values), 4),
        f"{name}_min": round(min(values), 4),
        f"{name}_max": round(max(values), 4),
    }


if __name__ == "__main__":
    main()
