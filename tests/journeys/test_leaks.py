"""What one team can learn of another by any way in: nothing.

A journey because the walls stand between processes: the gateway, the control plane, MLflow. Each
attempt is made with a real key of another team, and the whole answer is searched for the marks of
what was planted; the owner makes it too, to prove that it asks for something.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from plinth.domain.traffic import tracking_authority
from tests.journeys.browsing import page_headers, sign_in
from tests.journeys.leak_attempts import (
    AJAX2,
    AJAX3,
    CHANGES,
    HOSTS,
    LIES,
    PAGES,
    PLATFORM,
    TRACKING,
    UNREACHABLE,
    Attempt,
    get,
    path_tricks,
)
from tests.journeys.leak_plants import (
    FILES,
    V2,
    V3,
    Planted,
    plant_platform,
    plant_tracking,
    start_trace,
)
from tests.journeys.plinth_node import Plinth, running_plinth, wait_for

pytestmark = pytest.mark.journey(timeout_s=300)

_WORD = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Party:
    """Somebody with a way in: a key or a cookie, at one of the two hosts."""

    name: str
    plinth: Plinth
    own: Planted
    headers: dict[str, str]
    host: str

    def send(self, attempt: Attempt) -> tuple[int, str]:
        """Send exactly this; return the status, and everything that was answered as text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plinth.port, timeout=60)
        body = b"" if attempt.body is None else json.dumps(attempt.body).encode()
        headers = {"host": self.host, "content-type": "application/json", **self.headers}
        try:
            path = attempt.path.replace(" ", "%20")
            connection.putrequest(attempt.method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**headers, **attempt.headers}.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            told = answer.read().decode(errors="replace")
            return answer.status, f"{answer.getheaders()}\n{told}"
        finally:
            connection.close()


@dataclass(frozen=True)
class Stage:
    """A running Plinth: whose things are asked for, and who asks."""

    plinth: Plinth
    victim: Planted
    owner: Party
    owner_pages: Party
    strangers: tuple[Party, ...]
    writers: dict[str, httpx.Client]

    @property
    def thieves(self) -> list[tuple[Party, httpx.Client]]:
        """Return one of each other team that asks as the pages do, and with what it writes."""
        return [
            (each, self.writers[each.own.team])
            for each in self.strangers
            if each.host == self.owner_pages.host and "cookie" not in each.headers
        ]


@pytest.fixture(scope="module")
def stage(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Stage]:
    mark = f"zq{secrets.token_hex(3)}"
    victim, red = f"{mark}team", "red"
    with running_plinth(managed_environments, free_port(), teams=[victim, red]) as plinth:
        planted = plant_tracking(_client(plinth, victim), victim, mark)
        planted.names["home"] = str(plinth.home.root)
        plant_platform(plinth, planted)
        owner = _party(plinth, planted, "operator")
        strangers: list[Party] = []
        writers = {team: _client(plinth, team) for team in (red, "default")}
        for team, client in writers.items():
            strangers += _ways_in(plinth, plant_tracking(client, team, f"own-{team}"))
        yield Stage(plinth, planted, *owner, tuple(strangers), writers)


def _client(plinth: Plinth, team: str) -> httpx.Client:
    """Return a client that may write in MLflow, once gateway and MLflow know of it."""
    client = plinth.http(plinth.key(team, role="contributor"))
    path = f"{V2}/runs/set-tag"
    # That names no run: 400 is MLflow's answer to who may.
    wait_for(lambda: client.post(path, json={}).status_code == 400, "the grant and the workspace")
    return client


def _party(plinth: Plinth, own: Planted, role: str) -> tuple[Party, Party]:
    key = {"authorization": f"Bearer {plinth.key(own.team, role=role)}"}
    hosts = (f"127.0.0.1:{plinth.port}", tracking_authority(plinth.port))
    first, second = (Party(f"{own.team}'s key at {h}", plinth, own, key, h) for h in hosts)
    return first, second


def _ways_in(plinth: Plinth, own: Planted) -> list[Party]:
    key = plinth.key(own.team, role="contributor")
    cookie = page_headers(plinth, sign_in(plinth, key))
    host = cookie.pop("host")
    browser = Party(f"{own.team}'s browser", plinth, own, cookie, host)
    return [*_party(plinth, own, "contributor"), browser]


# -- what counts as a leak ------------------------------------------------------------------------


def cleaned(told: str, attempt: Attempt, marks: Iterable[str]) -> str:
    """Return the answer without the words that the attempt itself named."""
    request = f"{attempt.path} {json.dumps(attempt.body)} {attempt.headers}"
    sent = set(_WORD.findall(request))
    while (decoded := unquote(request)) != request:
        request = decoded
        sent |= set(_WORD.findall(request))
    for place in marks:
        if "/" in place and place in request:
            told = told.replace(place, "·")
    named = sorted((w for w in sent if any(m in w for m in marks)), key=len, reverse=True)
    for word in named:
        told = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w.-])", "·", told)
    return told


def leaks(stage: Stage, party: Party, attempts: Iterable[Attempt], *, said: str = "") -> list[str]:
    """Make the attempts; return those that told something of the victim's.

    `said`: what the party told before, and may hear again.
    """
    marks = stage.victim.marks()
    found = []
    for each in attempts:
        attempt = each.filled(stage.victim.names, party.own.names)
        status, told = party.send(attempt)
        # MLflow fails in many ways; whether it tells something by that is what counts.
        assert status < 500 or "mlflow" in attempt.path, (party.name, attempt, told)
        known = Attempt(attempt.method, attempt.path, [attempt.body, said], headers=attempt.headers)
        shown = {mark for mark in marks if mark in cleaned(told, known, marks)}
        if shown:
            found.append(f"{party.name}: {attempt.method} {attempt.path} shows {shown}: {told}")
    return found


def check(stage: Stage, party: Party, attempts: Iterable[Attempt], *, said: str = "") -> None:
    """Fail for each attempt that told something, with what it told."""
    found = leaks(stage, party, attempts, said=said)
    assert not found, "\n".join(found)


def ajax(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Return the attempts as MLflow's pages make them, beside those of programs."""
    found = list(attempts)
    for each in attempts:
        path = each.path.replace("/api/", "/ajax-api/")
        if path != each.path and "mlflow" in path:
            found.append(Attempt(each.method, path, each.body, each.shows, each.headers))
    return found


# -- the matrix -----------------------------------------------------------------------------------


def test_each_attempt_asks_for_something_that_its_owner_is_shown(stage: Stage) -> None:
    marks = stage.victim.marks()
    blind = []
    for party, attempts in (
        (stage.owner, [*TRACKING, *PLATFORM]),
        (stage.owner_pages, [*ajax(TRACKING), *PAGES]),
    ):
        for each in attempts:
            attempt = each.filled(stage.victim.names, stage.victim.names)
            status, told = party.send(attempt)
            if each.shows and not any(mark in cleaned(told, attempt, marks) for mark in marks):
                blind.append((status, attempt.method, attempt.path, told[-300:]))
    assert blind == []


def test_nobody_is_shown_what_mlflow_keeps_of_another_team(stage: Stage) -> None:
    for party in stage.strangers:
        check(stage, party, ajax([*TRACKING, *PAGES]))


def test_nobody_is_shown_what_plinth_keeps_of_another_team(stage: Stage) -> None:
    for party in stage.strangers:
        check(stage, party, PLATFORM)


def test_no_spelling_of_a_path_leads_into_another_team_s_files(stage: Stage) -> None:
    for party, _ in stage.thieves:
        check(stage, party, path_tricks())


def test_the_rest_of_mlflow_is_not_there(stage: Stage) -> None:
    for party in (stage.owner, *stage.strangers):
        for each in UNREACHABLE:
            attempt = each.filled(stage.victim.names, party.own.names)
            status, told = party.send(attempt)
            is_open = "/health" in attempt.path
            assert is_open or status in (400, 401, 403, 404), (party.name, attempt, told)
        check(stage, party, UNREACHABLE)


def test_nobody_becomes_another_by_saying_so(stage: Stage) -> None:
    asked = [
        *(
            get(f"{V2}/{path}")
            for path in (
                "experiments/search?max_results=99",
                "artifacts/list?run_id=<tracking_run>",
            )
        ),
        *(
            get(path)
            for path in ("/api/v1/runs", "/api/v1/keys", "/api/v1/teams", f"{FILES}?path=")
        ),
        get(f"{V2}/experiments/search?max_results=99&workspace=<workspace>"),
    ]
    *red, default = stage.strangers[:4]
    for party in (*red, default):
        said = [Attempt(a.method, a.path, headers=lie) for a in asked for lie in LIES]
        placed = [Attempt(a.method, a.path, headers={"host": h}) for a in asked for h in HOSTS]
        check(stage, party, [*said, *placed])


def test_a_cookie_is_worth_nothing_at_the_other_host(stage: Stage) -> None:
    port = stage.plinth.port
    owner = page_headers(stage.plinth, sign_in(stage.plinth, stage.plinth.key(stage.victim.team)))
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "mlflow.localhost", "plinth.localhost"):
        party = Party(
            "the owner's cookie elsewhere",
            stage.plinth,
            stage.victim,
            {**owner, "host": host},
            host,
        )
        for each in (*TRACKING, *PLATFORM):
            attempt = each.filled(stage.victim.names, stage.victim.names)
            assert party.send(attempt)[0] == 401, (host, attempt)


# -- what is written to be read later -------------------------------------------------------------


def places(victim: dict[str, str]) -> dict[str, str]:
    """Return ways to name the folder of the victim's trace."""
    folder = f"{victim['home']}/mlflow/artifacts"
    root = victim["trace_root"]
    return {
        "as MLflow does": f"mlflow-artifacts:/{root}",
        "with a dot": f"mlflow-artifacts:/./{root}",
        "from the root": f"mlflow-artifacts://{root}",
        "as a path": f"{folder}/{root}",
        "as a file": f"file://{folder}/{root}",
        "by another": f"{folder}/workspaces/team-red/../{root.removeprefix('workspaces/')}",
        "by name": f"runs:/{victim['tracking_run']}/model",
        "by model": f"models:/{victim['model']}/1",
        "over http": f"http://localhost{FILES}/{root}",
    }


def trace_reads(trace: str) -> list[Attempt]:
    attachment = "1b4db7eb-4057-5ddf-91e0-36dec72071f5"
    return [
        *(get(f"{api}/get-trace-artifact?request_id={trace}") for api in (AJAX2, AJAX3)),
        get(f"{AJAX3}/get-trace-artifact?request_id={trace}&path={attachment}"),
        *(get(f"{V3}/traces/{how}={trace}") for how in ("get?trace_id", "batchGet?trace_ids")),
    ]


@pytest.mark.parametrize("way", ["later", "at once"])
def test_a_trace_that_says_it_lies_in_another_team_s_folder_is_not_read(
    stage: Stage, way: str
) -> None:
    for party, client in stage.thieves:
        for place in places(stage.victim.names).values():
            for tags in (
                {"mlflow.artifactLocation": place},
                {
                    "mlflow.trace.spansLocation": "ARCHIVE_REPO",
                    "mlflow.trace.archiveLocation": place,
                },
            ):
                trace = _trace(client, party.own, tags, at_once=way == "at once")
                if trace is not None:
                    check(stage, party, trace_reads(trace), said=place)


def _trace(
    client: httpx.Client, own: Planted, tags: dict[str, str], *, at_once: bool
) -> str | None:
    if at_once:
        given = {name.replace(".", "_"): value for name, value in tags.items()}
        try:
            return start_trace(client, own.names["experiment"], own.mark, **given)[0]
        except AssertionError:
            return None  # MLflow refused it.
    trace, _ = start_trace(client, own.names["experiment"], own.mark)
    for key, value in tags.items():
        client.patch(f"{V3}/traces/{trace}/tags", json={"key": key, "value": value})
    return trace


def test_a_model_version_whose_source_is_another_team_s_shows_nothing(stage: Stage) -> None:
    names = stage.victim.names
    sources = [
        *places({**names, "trace_root": f"{names['root']}/model"}).values(),
        f"models:/{names['logged_model']}",
        "s3://bucket/model",
        "/etc",
        "mlflow-artifacts:/workspaces",
    ]
    for party, client in stage.thieves:
        for number, source in enumerate(sources):
            name = f"stolen-{number}"
            client.post(f"{V2}/registered-models/create", json={"name": name})
            for more in (
                {},
                {"run_id": names["tracking_run"]},
                {"model_id": names["logged_model"]},
            ):
                body = {"name": name, "source": source, **more}
                client.post(f"{V2}/model-versions/create", json=body)
            reads = [
                get(f"/model-versions/get-artifact?name={name}&version={version}&path={path}")
                for version in (1, 2)
                for path in ("MLmodel", "traces.json")
            ]
            serve = {
                "kind": "endpoint",
                "name": "stolen",
                "team": party.own.team,
                "model": f"models:/{name}/1",
            }
            attempts = [*reads, Attempt("PUT", "/api/v1/endpoints/stolen", serve)]
            check(stage, party, attempts, said=source)


def test_an_experiment_cannot_be_put_into_another_team_s_folder(stage: Stage) -> None:
    names = stage.victim.names
    for party, client in stage.thieves:
        for number, place in enumerate(places({**names, "trace_root": names["root"]}).values()):
            body = {"name": f"{party.name} {number}", "artifact_location": place}
            answer = client.post(f"{V2}/experiments/create", json=body)
            assert answer.status_code == 400, answer.text


def test_nobody_changes_what_another_team_has(stage: Stage) -> None:
    before = _snapshot(stage)
    for party in stage.strangers:
        check(stage, party, CHANGES)
    assert _snapshot(stage) == before


def _snapshot(stage: Stage) -> dict[str, Any]:
    found = {}
    stable = [a for a in PLATFORM if "/api/v1/" in a.path and not _varies(a.path)]
    for party, attempts in (
        (stage.owner, [*TRACKING, *stable]),
        (stage.owner_pages, PAGES),
    ):
        for each in attempts:
            attempt = each.filled(stage.victim.names, stage.victim.names)
            status, told = party.send(attempt)
            body = told.partition("\n")[2]
            found[f"{attempt.path} {attempt.body}"] = (status, _untimed(body))
    return found


def _varies(path: str) -> bool:
    return any(word in path for word in ("usage", "bill", "audit", "status", "trace/"))


def _untimed(body: str) -> str:
    return re.sub(r'"(seen_at|age|updated_at)": ?"[^"]*"', "", body)


def test_the_owner_could_do_what_the_others_could_not(stage: Stage) -> None:
    """Prove that an attempt to change fails for whose it is, not for how it is written."""
    tag = {"run_id": "<tracking_run>", "key": "note", "value": f"{stage.victim.mark}-{time.time()}"}
    attempt = Attempt("POST", f"{V2}/runs/set-tag", tag)
    assert stage.owner.send(attempt.filled(stage.victim.names, {}))[0] == 200
