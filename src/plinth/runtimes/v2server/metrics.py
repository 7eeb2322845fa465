"""Count requests, time and rows, and write them as Prometheus text.

Standard library only. Called from the event loop alone, so it needs no lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


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
        self.seconds = Histogram(_SECONDS)
        self.batch_rows = Histogram(_ROWS)
        self.rows = 0
        self.in_flight = 0

    def finish(self, status: int, seconds: float, rows: int) -> None:
        """Count one inference request that was answered with `status`."""
        self.requests[status] = self.requests.get(status, 0) + 1
        self.seconds.observe(seconds)
        self.rows += rows

    def render(self, *, ready: bool, queued: int) -> bytes:
        """Return the Prometheus text."""
        labels = self._labels
        codes = [
            f'plinth_infer_requests_total{{{labels},code="{code}"}} {count}'
            for code, count in sorted(self.requests.items())
        ]
        lines = [
            *_head("plinth_infer_requests_total", "counter", "Inference requests by HTTP code"),
            *codes,
            *_head("plinth_infer_duration_seconds", "histogram", "From request to answer"),
            *self.seconds.lines("plinth_infer_duration_seconds", labels),
            *_head("plinth_infer_batch_rows", "histogram", "Rows in one call of the model"),
            *self.batch_rows.lines("plinth_infer_batch_rows", labels),
            *_head("plinth_infer_rows_total", "counter", "Rows answered"),
            f"plinth_infer_rows_total{{{labels}}} {self.rows}",
            *_head("plinth_infer_in_flight", "gauge", "Inference requests not yet answered"),
            f"plinth_infer_in_flight{{{labels}}} {self.in_flight}",
            *_head("plinth_infer_queued", "gauge", "Requests that wait for the model"),
            f"plinth_infer_queued{{{labels}}} {queued}",
            *_head("plinth_model_ready", "gauge", "1 when the model is loaded"),
            f"plinth_model_ready{{{labels}}} {int(ready)}",
        ]
        return ("\n".join(lines) + "\n").encode()


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
