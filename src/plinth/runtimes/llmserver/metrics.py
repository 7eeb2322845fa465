"""Count requests, times and tokens, and write them as Prometheus text.

Standard library only. Called from the event loop alone, so it needs no lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from .engine import Counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FIRST_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WHOLE_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Histogram:
    """Counts of observed values up to each bound, their sum and their number."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> list[str]:
        """Return the lines of this histogram; the bounds count upwards, as the format wants."""
        lines: list[str] = []
        count = 0
        for bound, here in zip((*self.bounds, "+Inf"), self.counts):  # noqa: B905
            count += here
            lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {count}')
        return [
            *lines,
            f"{name}_sum{{{labels}}} {self.total!r}",
            f"{name}_count{{{labels}}} {count}",
        ]


class Metrics:
    """Everything the server tells about itself."""

    def __init__(self, model: str, version: str) -> None:
        self._labels = f'model="{_escaped(model)}",version="{_escaped(version)}"'
        self.requests: dict[int, int] = {}
        self.first_token = Histogram(_FIRST_S)
        self.seconds = Histogram(_WHOLE_S)

    def finish(self, status: int, seconds: float) -> None:
        """Count one request that ended with `status`; 499 where the caller went away."""
        self.requests[status] = self.requests.get(status, 0) + 1
        self.seconds.observe(seconds)

    def render(self, counts: Counts, *, ready: bool) -> bytes:
        """Return the Prometheus text."""
        labels = self._labels
        lines = [
            *_head("plinth_llm_requests_total", "counter", "Requests by HTTP code"),
            *(
                f'plinth_llm_requests_total{{{labels},code="{code}"}} {count}'
                for code, count in sorted(self.requests.items())
            ),
            *_head("plinth_llm_first_token_seconds", "histogram", "To the first piece of text"),
            *self.first_token.lines("plinth_llm_first_token_seconds", labels),
            *_head("plinth_llm_duration_seconds", "histogram", "From request to the last byte"),
            *self.seconds.lines("plinth_llm_duration_seconds", labels),
        ]
        single = (
            ("plinth_llm_prompt_tokens_total", "counter", "Tokens read", counts.prompt_tokens),
            (
                "plinth_llm_completion_tokens_total",
                "counter",
                "Tokens generated",
                counts.completion_tokens,
            ),
            ("plinth_llm_cancelled_total", "counter", "Callers that left", counts.cancelled),
            ("plinth_llm_running", "gauge", "Requests that are computed", counts.running),
            ("plinth_llm_waiting", "gauge", "Requests that wait", counts.waiting),
            ("plinth_llm_resident_bytes", "gauge", "Memory of the process", resident_bytes()),
            ("plinth_model_ready", "gauge", "1 when the model is loaded", int(ready)),
        )
        for name, kind, text, value in single:
            lines += [*_head(name, kind, text), f"{name}{{{labels}}} {value}"]
        return ("\n".join(lines) + "\n").encode()


def resident_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return the process's memory in RAM; 0 where the system does not say it there."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(sizes[0]) * 1024 if sizes else 0


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
