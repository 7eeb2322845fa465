"""A short storm of random kills; `make soak` runs a long one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from tests.journeys.kill_stage import serving_gates
from tests.soak.storm import Size, Storm

SIZE = Size(kills=12, jobs=6, endpoints=1, job_s=(1.0, 6.0))
# Other tests run on the same processors; the long one demands ten seconds.
CONVERGED_S = 40.0


def test_jobs_and_an_endpoint_come_through_a_dozen_kills(
    managed_environments: Path, free_port: Callable[[], int]
) -> None:
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    with serving_gates(managed_environments, free_port) as served:
        Storm(served, SIZE, seed, converged_s=CONVERGED_S).rage()
