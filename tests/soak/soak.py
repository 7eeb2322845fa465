"""`make soak`: a long storm of kills. SEED, KILLS, JOBS and ENDPOINTS may be given.

Not part of `make test`: pytest finds it only when it is named.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.kill_stage import serving_gates
from tests.soak.storm import Size, Storm

SEED = int(os.environ.get("SEED") or secrets.randbelow(10**6))
SIZE = Size(
    kills=int(os.environ.get("KILLS") or 200),
    jobs=int(os.environ.get("JOBS") or 50),
    endpoints=int(os.environ.get("ENDPOINTS") or 5),
)


@pytest.mark.journey(timeout_s=7200)
def test_jobs_and_endpoints_come_through_a_storm(
    managed_environments: Path,
    free_port: Callable[[], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def say(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    say(f"\nSEED={SEED} KILLS={SIZE.kills} JOBS={SIZE.jobs} ENDPOINTS={SIZE.endpoints}")
    with serving_gates(managed_environments, free_port) as served:
        Storm(served, SIZE, SEED, say).rage()
