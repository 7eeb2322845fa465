"""From a response back to its model, job, commit, difference, data and people, on a real Plinth."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.errors import NotFound
from tests.journeys.plinth_node import (
    SERVING_PACKAGES,
    WORKLOADS,
    Plinth,
    infer,
    running_plinth,
    wait_for,
    y_of,
)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")

TEAM = "research"
REMOTE = "https://ann:s3cret@host.example/models.git"


@dataclass(frozen=True)
class Story:
    """A job from a work tree that registered two versions, and a response of the first."""

    plinth: Plinth
    repository: Path
    commit: str
    job: dict[str, Any]
    deployment: str
    response: str
    caller: str

    def trace(self, response: str | None = None) -> Any:
        """Return a trace as soon as the ledger has the response, which takes a second."""
        wanted = response or self.response
        wait_for(lambda: self._is_there(wanted), "the ledger's record")
        return self.plinth.cli("trace", wanted, "--json").json

    def _is_there(self, response: str) -> bool:
        try:
            return bool(self.plinth.client.trace(response))
        except NotFound:
            return False


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *who, *arguments]
    return subprocess.check_output(command, cwd=folder, text=True).strip()


@pytest.fixture(scope="module")
def story(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Story]:
    """Train from a changed work tree, serve version 1 by its alias, and call it once."""
    with running_plinth(managed_environments, free_port(), teams=[TEAM, "ops"]) as plinth:
        repository = Path(tempfile.mkdtemp(prefix="pl-"))
        (repository / "code").mkdir()
        shutil.copy(WORKLOADS / "train.py", repository / "code")
        git(repository, "init", "--quiet", "--initial-branch=main")
        git(repository, "remote", "add", "origin", REMOTE)
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "x")
        with (repository / "code/train.py").open("a") as file:
            file.write("# not committed\n")
        (repository / "code/new.txt").write_text("untracked\n")
        data = repository / "flights.csv"
        data.write_text("a,b\n1,x\n")
        plinth.cli("data", "add", "flights", str(data), "--team", TEAM)
        job = plinth.write(
            kind="job",
            name="train",
            team=TEAM,
            code=str(repository / "code"),
            command=["python", "train.py", "2", "3"],
            environment={"packages": SERVING_PACKAGES},
            data={"input": "flights@1"},
        )
        ended = plinth.cli("run", job, "--json").json
        endpoint = plinth.serve("scale", "models:/scale@champion", team=TEAM)
        caller = plinth.key("ops", role="operator")
        plinth.client.give(
            {
                "role": "viewer",
                "principal": plinth.client_of(caller).whoami()["principal"]["id"],
                "subject_team": None,
                "team": TEAM,
                "resource": "endpoint/scale",
            }
        )
        client = plinth.http(caller)
        answer = wait_for(
            lambda: (found := infer(client, "scale", 1.0)).status_code == 200 and found, "the grant"
        )
        yield Story(
            plinth,
            repository,
            git(repository, "rev-parse", "HEAD"),
            ended,
            str(endpoint["serving"].get("main")),
            answer.headers["x-plinth-id"],
            caller,
        )


def test_a_response_is_traced_to_all_that_made_it(story: Story) -> None:
    found = story.trace()
    plinth, whoami = story.plinth, story.plinth.client_of(story.caller).whoami()
    assert found["called_by"]["id"] == whoami["principal"]["id"]
    assert found["called_by"]["team"] == "ops"
    assert (found["endpoint"], found["team"]) == ("scale", TEAM)
    assert found["deployment"] == story.deployment
    assert found["unit"] == f"{story.deployment}.0.1"
    assert found["unit"] in plinth.units()
    assert (found["deployed_by"]["name"], found["approved_by"]) == ("admin", None)
    assert (found["model"]["name"], found["model"]["version"]) == ("scale", 1)
    lineage = found["lineage"]
    assert lineage["reference"] == "models:/scale@champion"
    assert lineage["tracking_run"] == story.job["tracking_run"]
    assert (lineage["run"], found["run_by"]["name"]) == (story.job["id"], "admin")
    assert lineage["code_digest"] == story.job["code_digest"]
    code = lineage["code"]
    assert (code["commit"], code["branch"]) == (story.commit, "main")
    assert code["remote"] == "https://host.example/models.git"
    (name, version), *more = lineage["data"].items()
    assert (name, version["name"], version["version"], more) == ("input", "flights", 1, [])
    assert lineage["parameters"] == {"factors": "2 3"}


def test_the_difference_is_kept_and_can_be_applied(story: Story) -> None:
    patch = story.plinth.cli("trace", story.response, "--diff").out
    assert "+# not committed" in patch
    copy = Path(tempfile.mkdtemp(prefix="pl-"))
    git(story.repository, "clone", "--quiet", str(story.repository), str(copy / "r"))
    (copy / "patch").write_text(patch)
    git(copy / "r", "apply", str(copy / "patch"))
    for file in ("train.py", "new.txt"):
        ours, theirs = (root / "code" / file for root in (story.repository, copy / "r"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_people_see_a_tree_and_get_shows_the_commit(story: Story) -> None:
    said = story.plinth.cli("trace", story.response).out
    for words in ("no approval was asked", story.commit, "flights@1", "factors = 2 3"):
        assert words in said, words
    assert story.commit in story.plinth.cli("get", story.job["id"]).out
    tree = story.plinth.cli("lineage", "model", "scale@champion", "--team", TEAM).out
    assert f"endpoint scale, run {story.deployment}, version 1: serves" in tree
    assert story.job["id"] in story.plinth.cli("lineage", "data", "flights", "--team", TEAM).out


def test_mlflow_has_the_commit_too(story: Story) -> None:
    http = story.plinth.http(story.plinth.key(TEAM, role="contributor"))
    asked = {"run_id": story.job["tracking_run"]}
    answer = http.get("/api/2.0/mlflow/runs/get", params=asked).json()
    tags = {each["key"]: each["value"] for each in answer["run"]["data"]["tags"]}
    assert tags["mlflow.source.git.commit"] == story.commit
    assert tags["plinth.data.input"].startswith("flights@1 ")


def test_the_caller_may_trace_it_and_a_stranger_is_told_nothing(story: Story) -> None:
    plinth = story.plinth
    story.trace()
    own = plinth.client_of(story.caller).trace(story.response)
    assert own["deployment"] == story.deployment
    plinth.client.add_team("strangers")
    stranger = plinth.client_of(plinth.key("strangers", role="operator"))
    errors = []
    for response in (story.response, "0" * len(story.response)):
        with pytest.raises(NotFound) as refused:
            stranger.trace(response)
        errors.append(refused.value.message.replace(response, "X"))
    assert errors[0] == errors[1]


def test_an_old_response_keeps_its_version_when_another_is_deployed_and_all_is_deleted(
    story: Story,
) -> None:
    plinth = story.plinth
    before = story.trace()
    plinth.serve("scale", "models:/scale/2", team=TEAM)
    client = plinth.http(plinth.key(TEAM))
    answer = infer(client, "scale", 1.0)
    assert y_of(answer.json()) == 3.0
    newer = story.trace(answer.headers["x-plinth-id"])
    assert (newer["model"]["version"], newer["lineage"]["run"]) == (2, story.job["id"])
    assert story.trace() == before
    plinth.cli("delete", "scale")
    plinth.cli("delete", story.job["id"])
    assert plinth.cli("list", "--json").json == {"endpoints": [], "runs": [], "workspaces": []}
    assert not (plinth.home.runs / story.deployment).exists()
    with pytest.raises(NotFound):
        plinth.client.run(story.deployment)
    for name in (story.response, answer.headers["x-plinth-id"]):
        assert story.trace(name)["deleted_at"] is not None
    assert story.trace() == before | {"deleted_at": story.trace()["deleted_at"]}
    assert "+# not committed" in plinth.cli("trace", story.response, "--diff").out
