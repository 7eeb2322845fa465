"""Traces of requests in MLflow: one span for each request, below it what its steps did.

Traces are sent in the background; while MLflow is away, requests are answered without.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .recording import Recording

log = logging.getLogger("flowhost")

_AGAIN_S = 5.0
_FLUSH_S = 10.0
_FAILED = 400
_RUN = "mlflow.sourceRun"
_TOKENS = "mlflow.chat.tokenUsage"
# What of the flow's own libraries MLflow traces by itself: the first that is there. The second
# also traces the calls that the others make, which would be told twice.
_LIBRARIES = (
    ("langchain_core", "langchain"),
    ("semantic_kernel", "semantic_kernel"),
    ("openai", "openai"),
)


@dataclass(slots=True)
class Step:
    """A step that is being done; `output` is set when it is."""

    output: Any = None


class Traces:
    """See the module. Without a tracking server it does nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_on = False
        self._mlflow: Any = None
        if os.environ.get("MLFLOW_TRACKING_URI"):
            # By name: it takes a second, and is not needed where nothing is traced.
            self._mlflow = importlib.import_module("mlflow")

    def watch_libraries(self, only: str | None = None) -> None:
        """Have MLflow trace the library that the app is written with, before it is imported."""
        if self._mlflow is None:
            return
        for package, flavor in _LIBRARIES:
            if only not in (None, package) or importlib.util.find_spec(package) is None:
                continue
            try:
                importlib.import_module(f"mlflow.{flavor}").autolog()
            except ImportError as err:
                log.warning("steps of %s are not traced: %s", package, err)
            return

    def begin(self) -> None:
        """Find the experiment in the background, and trace from then on."""
        if self._mlflow is not None:
            threading.Thread(target=self._go_on_finding, name="traces", daemon=True).start()

    def _go_on_finding(self) -> None:
        waiting = threading.Event()
        while not self.find_experiment():
            waiting.wait(_AGAIN_S)

    def find_experiment(self) -> bool:
        """Find the experiment, and trace from then on; tell whether it was found."""
        if self._mlflow is None:
            return False
        try:
            self._mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", self._name))
        except self._mlflow.MlflowException as err:
            log.warning("requests are not traced yet: %s", str(err)[:300])
            return False
        self._is_on = True
        return True

    @contextmanager
    def request(self, recording: Recording) -> Iterator[None]:
        """Trace what is done inside the block as one request."""
        if not self._is_on:
            yield
            return
        mlflow = self._mlflow
        called = f"{recording.method} {recording.path}"
        with mlflow.start_span(name=called, span_type="CHAIN") as span:
            told = {"client_request_id": recording.request_id} if recording.request_id else {}
            run = os.environ.get("MLFLOW_RUN_ID")
            mlflow.update_current_trace(metadata={_RUN: run} if run else None, **told)
            try:
                yield
            finally:
                recording.tokens = self._tokens_of(span.trace_id)
                span.set_inputs(recording.asked)
                span.set_outputs(recording.answered)
            if recording.status is not None and recording.status >= _FAILED:
                span.set_status("ERROR")

    def _tokens_of(self, trace_id: str) -> tuple[int, int] | None:
        """Return the tokens that were asked and answered in a trace so far; None: nobody says."""
        manager = self._mlflow.tracing.trace_manager.InMemoryTraceManager.get_instance()
        with manager.get_trace(trace_id) as trace:
            spans = [] if trace is None else list(trace.span_dict.values())
        used = [each.get_attribute(_TOKENS) for each in spans]
        known = [each for each in used if isinstance(each, dict)]
        if not known:
            return None
        asked, answered = (
            sum(int(each.get(name) or 0) for each in known)
            for name in ("input_tokens", "output_tokens")
        )
        return asked, answered

    @contextmanager
    def step(self, name: str, kind: str, inputs: Any) -> Iterator[Step]:
        """Trace what is done inside the block as one step of the request that is answered now."""
        step = Step()
        if not self._is_on or self._mlflow.get_current_active_span() is None:
            yield step
            return
        with self._mlflow.start_span(name=name, span_type=kind) as span:
            span.set_inputs(inputs)
            yield step
            # A stream passes only once, and somebody waits for it.
            is_stream = isinstance(step.output, Iterator) or hasattr(step.output, "__aiter__")
            span.set_outputs("(a stream)" if is_stream else step.output)

    def flush(self) -> None:
        """Send what is not sent yet, for some seconds at most."""
        if not self._is_on:
            return
        sending = threading.Thread(target=self._mlflow.flush_trace_async_logging, daemon=True)
        sending.start()
        sending.join(_FLUSH_S)
