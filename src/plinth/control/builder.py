"""Build managed environments in the background, each digest once, so that no lease waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from plinth.environments.environments import BuiltEnvironment, Environments
from plinth.environments.spec import EnvironmentSpec
from plinth.kit.errors import PlinthError, Temporary

_BUILDERS = 2
_LOOK_AGAIN_S = 0.3


@dataclass(slots=True)
class _Build:
    label: str
    step: str
    future: Future[BuiltEnvironment] | None = None


class Builder:
    """Start builds, and answer where each stands.

    Nothing is kept but what runs now: after a restart the next `need` begins again, and the
    environments' own locks and markers keep a half-built one from being used.
    """

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._pool = ThreadPoolExecutor(_BUILDERS, thread_name_prefix="environment")
        self._lock = threading.Lock()
        self._builds: dict[str, _Build] = {}

    def need(self, spec: EnvironmentSpec, label: str) -> BuiltEnvironment:
        """Return the environment if it is built; else start building and raise Temporary.

        `label` says for whom, in `progress`. Raises what the build raised, once.
        """
        built = self._environments.find(spec.digest)
        if built is not None:
            return built
        with self._lock:
            build = self._builds.get(spec.digest)
            if build is None:
                build = self._builds[spec.digest] = _Build(label, "waiting for its turn")
                build.future = self._pool.submit(
                    self._environments.build, spec, self._report(build)
                )
            elif build.future is not None and build.future.done():
                del self._builds[spec.digest]
                return self._result(build.future)
        raise Temporary(
            f"building the environment: {build.step}",
            retry_after_s=_LOOK_AGAIN_S,
            code="building_environment",
        )

    def progress(self) -> dict[str, str]:
        """Return what is being built: for whom -> which step."""
        with self._lock:
            return {
                build.label: build.step
                for build in self._builds.values()
                if build.future is not None and not build.future.done()
            }

    def stop(self) -> None:
        """Wait for nothing: a build that is under way is begun again by the next one."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _report(self, build: _Build) -> _Reporter:
        return _Reporter(build)

    def _result(self, future: Future[BuiltEnvironment]) -> BuiltEnvironment:
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, PlinthError):
            raise error
        raise Temporary(f"building the environment failed: {error}", retry_after_s=5) from error


class _Reporter:
    """Take the builder's words for the step it is at."""

    def __init__(self, build: _Build) -> None:
        self._build = build

    def __call__(self, step: str) -> None:
        self._build.step = step
