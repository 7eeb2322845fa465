"""Environments are built in the background, each once, and errors are told once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from plinth.control.builder import Builder
from plinth.environments.environments import BuiltEnvironment, Environments
from plinth.environments.spec import EnvironmentSpec
from plinth.kit.errors import Invalid, Temporary

SPEC = EnvironmentSpec(("scikit-learn==1.8.0",), "3.11")
PATIENCE_S = 30.0


class FakeEnvironments:
    """Builds when `go` is set; raises `error` instead if there is one."""

    def __init__(self) -> None:
        self.built: dict[str, BuiltEnvironment] = {}
        self.builds = 0
        self.error: Exception | None = None
        self.go = threading.Event()

    def find(self, digest: str) -> BuiltEnvironment | None:
        return self.built.get(digest)

    def build(self, spec: EnvironmentSpec, report: Callable[[str], None]) -> BuiltEnvironment:
        self.builds += 1
        report("fetching packages")
        assert self.go.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        made = BuiltEnvironment(spec.digest, Path("/e"), Path("/e/bin/python"))
        self.built[spec.digest] = made
        return made


@pytest.fixture
def environments() -> FakeEnvironments:
    return FakeEnvironments()


@pytest.fixture
def builder(environments: FakeEnvironments) -> Iterator[Builder]:
    made = Builder(cast("Environments", environments))
    yield made
    environments.go.set()
    made._pool.shutdown()


def until_done(builder: Builder) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while builder.progress():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def need(builder: Builder) -> Any:
    return builder.need(SPEC, "job train")


def test_who_needs_an_environment_comes_again_until_it_is_built(
    builder: Builder, environments: FakeEnvironments
) -> None:
    for _ in range(3):
        with pytest.raises(Temporary) as caught:
            need(builder)
        assert caught.value.code == "building_environment"
    assert list(builder.progress()) == ["job train"]
    environments.go.set()
    until_done(builder)
    assert need(builder).digest == SPEC.digest
    assert (environments.builds, builder.progress()) == (1, {})


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Invalid("no such package"), Invalid, "no such package"),
        (OSError("disk"), Temporary, "disk"),
    ],
)
def test_why_a_build_failed_is_told_and_the_next_need_tries_again(
    builder: Builder,
    environments: FakeEnvironments,
    error: Exception,
    kind: type[Exception],
    words: str,
) -> None:
    environments.error = error
    environments.go.set()
    with pytest.raises(Temporary):
        need(builder)
    until_done(builder)
    with pytest.raises(kind, match=words):
        need(builder)
    environments.error = None
    with pytest.raises(Temporary):
        need(builder)
    until_done(builder)
    assert need(builder).digest == SPEC.digest
    assert environments.builds == 2
