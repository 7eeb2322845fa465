"""Build environments and fetch models in the background, each once, so that no lease waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from plinth.environments.environments import BuiltEnvironment, Environments
from plinth.environments.spec import EnvironmentSpec
from plinth.kit.errors import PlinthError, Temporary

_BUILDERS = 2
_LOOK_AGAIN_S = 0.3

Report = Callable[[str], None]


@dataclass(slots=True)
class _Build:
    label: str
    step: str
    future: Future[object] | None = None


class Builder:
    """Start builds and downloads, and answer where each stands.

    Nothing is kept but what runs now: after a restart the next call begins again, and what is
    made appears whole or not at all, by its own locks and markers.
    """

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._pool = ThreadPoolExecutor(_BUILDERS, thread_name_prefix="builder")
        self._lock = threading.Lock()
        self._builds: dict[str, _Build] = {}

    def need(self, spec: EnvironmentSpec, label: str) -> BuiltEnvironment:
        """Return the environment if it is built; else start building and raise Temporary.

        `label` says for whom, in `progress`. Raises what the build raised, once.
        """
        built = self._environments.find(spec.digest)
        if built is not None:
            return built
        self._work(spec.digest, label, lambda say: self._environments.build(spec, say))
        built = self._environments.find(spec.digest)
        if built is None:
            raise self._pending(spec.digest, "building the environment", "building_environment")
        return built

    def fetch(
        self,
        folder: Path,
        label: str,
        download: Callable[[], object],
        *,
        what: str = "fetching the model",
    ) -> None:
        """Return if `folder` is there; else start `download`, which makes it, and raise Temporary.

        `what` is done, for people. Raises what the download raised, once.
        """
        if folder.exists():
            return
        self._work(str(folder), label, lambda _say: download())
        if not folder.exists():
            raise self._pending(str(folder), what, what.replace(" the ", "_").replace(" ", "_"))

    def progress(self) -> dict[str, str]:
        """Return what is being made: for whom -> which step."""
        with self._lock:
            return {
                build.label: build.step
                for build in self._builds.values()
                if build.future is not None and not build.future.done()
            }

    def stop(self) -> None:
        """Wait for nothing: a build that is under way is begun again by the next one."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, key: str, label: str, make: Callable[[Report], object]) -> None:
        """Begin what nobody has begun, and raise what has failed."""
        with self._lock:
            build = self._builds.get(key)
            if build is None:
                build = self._builds[key] = _Build(label, "waiting for its turn")
                build.future = self._pool.submit(make, _Reporter(build))
                return
            if build.future is None or not build.future.done():
                return
            del self._builds[key]
        error = build.future.exception()
        if isinstance(error, PlinthError):
            raise error
        if error is not None:
            raise Temporary(f"{label} could not be prepared: {error}", retry_after_s=5) from error

    def _pending(self, key: str, what: str, code: str) -> Temporary:
        with self._lock:
            build = self._builds.get(key)
        step = build.step if build is not None else "about to begin"
        return Temporary(f"{what}: {step}", retry_after_s=_LOOK_AGAIN_S, code=code)


class _Reporter:
    """Take the builder's words for the step it is at."""

    def __init__(self, build: _Build) -> None:
        self._build = build

    def __call__(self, step: str) -> None:
        self._build.step = step
