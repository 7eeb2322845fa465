"""An endpoint from a trained model to its callers, through the real gateway, with bad input."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from uv import find_uv_bin

from plinth.control.model_form import runtime_of_onnx
from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.gateway.log_line import read_line
from plinth.kit.errors import Conflict, NotFound, PlinthError
from plinth.runtimes.batch import load_batch_packages
from plinth.units.isolation import best_level
from tests.journeys.package_index import build_or_skip
from tests.journeys.plinth_node import (
    MODEL_PACKAGES,
    SERVING_PACKAGES,
    Caller,
    Json,
    Plinth,
    infer,
    is_alive,
    kill,
    request,
    running_plinth,
    wait_for,
    y_of,
)

TEAM = "research"
SKLEARN = ("scikit-learn==1.9.1", "cloudpickle==3.1.2")


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    """Start Plinth with a model: version 1 doubles, 2 triples, 3 does not load."""
    with running_plinth(managed_environments, free_port(), teams=[TEAM, "ops"]) as plinth:
        plinth.train(TEAM, "2", "3", "broken")
        yield plinth


@pytest.fixture(scope="module")
def endpoint(plinth: Plinth) -> str:
    """Serve version 1 by its alias, as a person does; the later tests go on from there."""
    model = "models:/scale@champion"
    file = plinth.write(kind="endpoint", name="scale", team=TEAM, model=model)
    said = plinth.cli("apply", file).err
    assert f"serves scale version 1 at {plinth.address}/v2/models/scale" in said
    return "scale"


@pytest.fixture(scope="module")
def caller(plinth: Plinth, endpoint: str) -> httpx.Client:
    client = plinth.http(plinth.key(TEAM))
    # "Ready" was said, so it answers at once.
    assert infer(client, endpoint, 1.0).status_code == 200
    return client


def changed(index: int, **fields: Any) -> dict[str, Any]:
    """Return a request with one of its inputs changed."""
    body = request(1.0)
    body["inputs"][index] |= fields
    return body


def requests_of(plinth: Plinth, team: str, endpoint: str) -> float:
    rows = plinth.client.usage()
    return sum(
        float(row["requests"])
        for row in rows
        if (row["team"], row["workload"]) == (team, f"endpoint/{endpoint}")
    )


def test_a_ready_endpoint_has_answered_its_models_example_through_the_gateway(
    plinth: Plinth, endpoint: str, caller: httpx.Client
) -> None:
    shown = plinth.cli("get", endpoint, "--json").json
    assert (shown["ready"], shown["model"]["version"]) == (True, 1)
    assert [run["phase"] for run in shown["runs"]] == ["running"]
    log = (plinth.home.gateway / "access.log").read_bytes().splitlines()
    checks = [line for line in map(read_line, log) if f"candidate:{endpoint}" in line["route"]]
    asked = [(line["path"].rpartition("/")[2], int(line["code"])) for line in checks]
    assert ("example", 200) in asked
    assert asked[-1] == ("infer", 200)


def test_the_protocol_is_spoken_under_the_endpoints_name(
    endpoint: str, caller: httpx.Client
) -> None:
    metadata = caller.get(f"/v2/models/{endpoint}").json()
    assert metadata["name"] == endpoint
    assert [item["name"] for item in metadata["inputs"]] == ["x", "n"]
    assert caller.get(f"/v2/models/{endpoint}/ready").status_code == 200
    answer = infer(caller, endpoint, 21.0)
    assert y_of(answer.json()) == 42.0
    assert len(answer.headers["x-plinth-id"]) > 10


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (changed(0, datatype="BYTES", data=["ten"]), "`x`"),
        (changed(1, datatype="FP64", data=[1.5]), "`n`"),
        (changed(0, shape=[2]), "`x`"),
        (changed(0, shape=[1, 2], data=[1.0, 2.0]), "`x`"),
        (changed(0, name="z"), "`z`"),
        ({"inputs": request(1.0)["inputs"][:1]}, "`n`"),
        ({"inputs": []}, "`inputs`"),
        ({"inputs": "x"}, "`inputs`"),
        ({}, "`inputs`"),
    ],
)
def test_a_wrong_request_is_refused_with_the_name_of_its_field(
    endpoint: str, caller: httpx.Client, body: Any, named: str
) -> None:
    answer = caller.post(f"/v2/models/{endpoint}/infer", json=body)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]


def test_what_is_no_json_is_refused(endpoint: str, caller: httpx.Client) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[1]", b'{"inputs": [NaN'):
        answer = caller.post(f"/v2/models/{endpoint}/infer", content=body)
        assert answer.status_code == 400, (body, answer.text)


def test_another_teams_endpoint_is_refused_in_the_words_for_an_absent_one(
    plinth: Plinth, endpoint: str
) -> None:
    other = plinth.http(plinth.key("ops"))
    for path in ("", "/ready", "/infer", "/versions/1", "/example"):
        method = "POST" if path == "/infer" else "GET"
        theirs = other.request(method, f"/v2/models/{endpoint}{path}", json=request(1.0))
        absent = other.request(method, f"/v2/models/absent{path}", json=request(1.0))
        assert (theirs.status_code, theirs.text) == (absent.status_code, absent.text)
        assert theirs.status_code == 403
        # A connection is closed when the body had not come yet, which is chance.
        own = {"x-plinth-id", "date", "connection"}
        assert set(theirs.headers) - own == set(absent.headers) - own
    with pytest.raises(NotFound, match="there is no endpoint `scale`"):
        plinth.client_of(plinth.key("ops")).endpoint(endpoint)


@pytest.mark.skipif(best_level() < 2, reason=f"isolation level {best_level()} here")
def test_a_job_cannot_pass_by_the_gateway_to_a_model_server(plinth: Plinth, endpoint: str) -> None:
    serving = plinth.client.run(plinth.client.endpoint(endpoint)["serving"]["main"])
    level = plinth.client.status()["node"]["isolation_level"]
    assert [attempt["isolation"] for attempt in serving["attempts"]] == [level]
    unit = f"{serving['id']}.0.1"
    model = next(path for path in plinth.home.models.rglob("MLmodel"))
    tries = [
        ["socket", "unix", str(plinth.home.socket(f"{serving['id']}.0"))],
        ["model", "read", str(model)],
        ["environment", "read", f"/proc/{plinth.pid_of(unit)}/environ"],
        ["candidate", "call", ["GET", f"/internal/deployments/{serving['id']}/v2"]],
        ["endpoint", "call", ["GET", f"/v2/models/{endpoint}"]],
    ]
    run = plinth.run("intruder", "python", "intruder.py", json.dumps(tries), team="ops")
    found = json.loads(plinth.log(run["id"]).partition("results ")[2])
    assert "done" not in found.values()
    assert (found["candidate"], found["endpoint"]) == (403, 403)
    own = plinth.run("intruder", "python", "intruder.py", json.dumps(tries), team=TEAM)
    found = json.loads(plinth.log(own["id"]).partition("results ")[2])
    assert "done" not in found.values()
    assert (found["candidate"], found["endpoint"]) == (403, 200)


def test_a_grant_on_one_endpoint_opens_it_and_taking_it_away_closes_it(
    plinth: Plinth, endpoint: str
) -> None:
    other = plinth.http(plinth.key("ops"))
    given = plinth.cli(
        *("grants", "give", "viewer", "--to-team", "ops", "--on-team", TEAM),
        *("--endpoint", endpoint, "--json"),
    ).json
    wait_for(lambda: infer(other, endpoint, 1.0).status_code == 200, "the grant")
    plinth.cli("grants", "take", given["id"])
    wait_for(lambda: infer(other, endpoint, 1.0).status_code == 403, "the grant's end")


def test_no_key_a_forged_a_revoked_and_an_expired_key_are_refused(
    plinth: Plinth, endpoint: str
) -> None:
    short = plinth.http(plinth.key(TEAM, days=0.00001))
    made = plinth.client.create_key(team=TEAM, name="gone", role="viewer", days=1)
    good = made["token"]
    revoked = plinth.http(good)
    assert infer(revoked, endpoint, 1.0).status_code == 200
    head, payload, signature = good.split(".")
    other = plinth.key("ops").split(".")
    forged = (
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{other[1]}.{signature}",
        f"{head}.{payload}.",
        good.removeprefix("plk_"),
        "plk_",
        "plk_x.y.z",
    )
    for key in (None, *forged):
        client = plinth.http(key)
        assert infer(client, endpoint, 1.0).status_code == 401, key
        assert client.get("/api/v1/whoami").status_code == 401, key
    plinth.cli("keys", "revoke", made["id"])
    wait_for(lambda: infer(revoked, endpoint, 1.0).status_code == 401, "the revocation", within_s=5)
    assert revoked.get("/api/v1/whoami").status_code == 401
    # The gateway allows clocks to differ by ten seconds.
    wait_for(lambda: infer(short, endpoint, 1.0).status_code == 401, "the expiry", within_s=20)


def test_applying_the_same_again_changes_nothing(plinth: Plinth, endpoint: str) -> None:
    before = plinth.client.endpoint(endpoint)
    again = plinth.apply(endpoint, "models:/scale@champion", team=TEAM)
    assert (again["changed"], again["deployment"]) == (False, before["serving"]["main"])
    # An alias is how a version is called, not what is served.
    by_number = plinth.apply(endpoint, "models:/scale/1", team=TEAM)
    assert by_number["changed"] is False
    assert len(plinth.client.endpoint(endpoint)["runs"]) == len(before["runs"])


def test_a_name_that_another_team_has_and_models_that_are_not_there_are_refused(
    plinth: Plinth, endpoint: str
) -> None:
    plinth.train("ops", "5")
    with pytest.raises(Conflict, match="is taken"):
        plinth.apply(endpoint, "models:/scale@champion", team="ops")
    for model in ("models:/absent@champion", "models:/scale@absent", "models:/scale/99"):
        with pytest.raises(PlinthError, match=r"absent|99"):
            plinth.apply("other", model, team=TEAM)
    assert [e["name"] for e in plinth.client.endpoints()] == [endpoint]


def test_a_model_that_does_not_load_says_so_and_the_old_deployment_serves_on(
    plinth: Plinth, endpoint: str, caller: httpx.Client
) -> None:
    before = plinth.client.endpoint(endpoint)
    with Caller(caller, endpoint) as calls:
        file = plinth.write(kind="endpoint", name=endpoint, team=TEAM, model="models:/scale/3")
        done = plinth.cli("apply", file, check=False)
        calls.wait_for_answers(20)
    assert done.code == 1
    assert "the model does not load" in done.err
    run = done.err.partition("deployment `")[2].partition("`")[0]
    assert f"hint: `plinth logs {run}`" in done.err
    said = plinth.cli("logs", run).out
    assert "model `scale` version `3` does not load: ValueError: this model was made" in said
    after = wait_for(
        lambda: (e := plinth.client.endpoint(endpoint))["next"] == {} and e, "its settling"
    )
    assert (after["serving"]["main"], after["ready"]) == (before["serving"]["main"], True)
    assert "does not load" in after["message"]
    assert (calls.failed, {answer for _, answer in calls.answers}) == ([], {20.0})


def test_a_new_version_takes_over_while_requests_flow_and_none_fails(
    plinth: Plinth, endpoint: str, caller: httpx.Client
) -> None:
    before = plinth.client.endpoint(endpoint)
    old = plinth.pid_of(f"{before['serving']['main']}.0.1")
    with Caller(caller, endpoint) as calls, Caller(plinth.http(plinth.key(TEAM)), endpoint) as more:
        calls.wait_for_answers(20)
        plinth.serve(endpoint, "models:/scale/2", team=TEAM)
        wait_for(lambda: not is_alive(old), "the end of the old server")
        calls.wait_for_answers(20)
    for each in (calls, more):
        assert each.failed == []
        answers = [answer for _, answer in each.answers]
        # First all old ones, then all new ones.
        assert answers == sorted(answers)
        assert set(answers) == {20.0, 30.0}
    phases = {run["id"]: run["phase"] for run in plinth.client.endpoint(endpoint)["runs"]}
    assert phases[before["serving"]["main"]] == "stopped"


def test_usage_counts_each_request_once_even_when_the_control_plane_is_killed(
    plinth: Plinth, endpoint: str, caller: httpx.Client
) -> None:
    time.sleep(1.2)  # What earlier tests sent is in the ledger after the next look at the log.
    settled = wait_for(lambda: _stands_still(plinth, endpoint), "the counting of what was sent")
    refused = plinth.http(plinth.key("ops"))
    with Caller(caller, endpoint) as calls:
        calls.wait_for_answers(50)
        kill(plinth.pid_of("control"))
        calls.wait_for_answers(50)
        assert infer(refused, endpoint, 1.0).status_code == 403
    assert calls.failed == []
    sent = len(set(calls.ids))
    assert sent == len(calls.answers)
    wait_for(plinth.is_up, "the control plane")
    wait_for(
        lambda: requests_of(plinth, TEAM, endpoint) == settled + sent, f"{settled + sent} requests"
    )
    time.sleep(1.5)  # Nothing is counted twice later.
    assert requests_of(plinth, TEAM, endpoint) == settled + sent
    assert requests_of(plinth, "ops", endpoint) <= 10
    ids = set(calls.ids)
    log = (plinth.home.gateway / "access.log").read_bytes().splitlines()
    logged = [entry["id"] for entry in map(read_line, log) if entry["id"] in ids]
    assert len(logged) == sent
    table = plinth.cli("usage").out
    assert f"endpoint/{endpoint}" in table
    assert "job/train" in table
    bill = plinth.cli("bill", "--json").json
    lines = {(line["team"], line["workload"]): line for line in bill["lines"]}
    asked = {part["sku"]: part for part in lines[TEAM, f"endpoint/{endpoint}"]["parts"]}
    assert float(asked["gateway.request"]["fine_quantity"]) == settled + sent
    assert Decimal(asked["local.cpu_hour"]["exact"]) > 0
    assert lines[TEAM, "job/train"]["amount"] is not None
    (total,) = bill["totals"]
    assert sum(Decimal(line["exact"]) for line in lines.values()) == Decimal(total["exact"])


def _stands_still(plinth: Plinth, endpoint: str) -> float | None:
    before = requests_of(plinth, TEAM, endpoint)
    time.sleep(1.2)
    return before if requests_of(plinth, TEAM, endpoint) == before else None


def test_stop_ends_the_serving_and_apply_begins_it_again(
    plinth: Plinth, endpoint: str, caller: httpx.Client
) -> None:
    server = plinth.pid_of(f"{plinth.client.endpoint(endpoint)['serving']['main']}.0.1")
    plinth.cli("stop", endpoint)
    assert not is_alive(server)
    answer = infer(caller, endpoint, 1.0)
    assert (answer.status_code, list(answer.json())) == (503, ["error"])
    assert plinth.client.endpoint(endpoint)["reason"] == "Stopped"
    file = plinth.write(kind="endpoint", name=endpoint, team=TEAM, model="models:/scale@champion")
    plinth.cli("apply", file)
    assert y_of(infer(caller, endpoint, 10.0).json()) == 20.0


def test_delete_ends_the_serving_and_frees_the_name(
    plinth: Plinth, endpoint: str, caller: httpx.Client
) -> None:
    server = plinth.pid_of(f"{plinth.client.endpoint(endpoint)['serving']['main']}.0.1")
    plinth.cli("delete", endpoint)
    assert not is_alive(server)
    assert plinth.cli("list", "--json").json["endpoints"] == []
    wait_for(lambda: infer(caller, endpoint, 1.0).status_code == 403, "the route's end")
    assert "there is no" in plinth.cli("get", endpoint, check=False).err
    assert requests_of(plinth, TEAM, endpoint) > 0


@pytest.fixture(scope="module")
def forest(plinth: Plinth, managed_environments: Path) -> Json:
    """Train a model of scikit-learn; return a request for it."""
    environments = Environments(managed_environments, find_uv_bin())
    packages = load_batch_packages()
    own, served = (*MODEL_PACKAGES, *SKLEARN), (*SERVING_PACKAGES, *SKLEARN)
    converting = (*own, *packages.beside, *packages.convert)
    for each in (served, converting, (*served, *runtime_of_onnx())):
        build_or_skip(environments, EnvironmentSpec(each, this_python()))
    run = plinth.run(
        "train-forest",
        *("python", "train_forest.py", *own),
        team=TEAM,
        environment={"packages": served},
    )
    assert run["phase"] == "succeeded", plinth.log(run["id"])
    carrier = {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", "UA"]}
    distance = {"name": "distance", "shape": [2], "datatype": "FP64", "data": [500.0, 2000.0]}
    return {"inputs": [carrier, distance]}


@pytest.mark.journey(timeout_s=400)
def test_a_deployment_takes_its_onnx_form_by_itself_and_callers_see_no_difference(
    plinth: Plinth, forest: Json
) -> None:
    file = plinth.write(kind="endpoint", name="forest", team=TEAM, model="models:/forest/1")
    plinth.cli("apply", file)
    caller, path = plinth.http(plinth.key(TEAM)), "/v2/models/forest/infer"
    before = caller.post(path, json=forest).json()
    first = plinth.client.endpoint("forest")["deployments"]["main"]
    assert first["form"]["form"] == "pyfunc"

    def conversions() -> list[Json]:
        runs = [run for run in plinth.client.runs() if run["kind"] == "conversion"]
        return [run for run in runs if run["phase"] in ("running", "succeeded")]

    (conversion,) = wait_for(conversions, "its conversion", within_s=120)
    # Whatever dies in the middle: nothing is done twice, and nothing half.
    kill(plinth.pid_of(f"{conversion['id']}.0.1"), plinth.pid_of("control"))
    wait_for(plinth.is_up, "the control plane")

    def takes_over() -> Json | None:
        answer = caller.post(path, json=forest)
        assert answer.status_code == 200, answer.text
        shown: Json = plinth.client.endpoint("forest")["deployments"]["main"]
        return shown if shown["form"]["form"] == "onnx" and shown["ready"] else None

    shown = wait_for(takes_over, "its ONNX form", within_s=200)
    assert shown["run"] != first["run"]
    after = caller.post(path, json=forest).json()
    for ours, theirs in zip(before["outputs"], after["outputs"], strict=True):
        for field in ("name", "datatype", "shape"):
            assert ours[field] == theirs[field]
        assert theirs["data"] == pytest.approx(ours["data"], abs=1e-5, rel=1e-4)
    compared = shown["form"]["comparison"]
    assert compared["rows"] >= 750
    assert compared["onnx"]["one_row_ms"] < compared["pyfunc"]["one_row_ms"]
    (found,) = conversions()
    assert len(plinth.client.run(found["id"])["attempts"]) == 2
    said = plinth.cli("get", "forest").out
    assert "answers from its ONNX form: it answers 7" in " ".join(said.split())
    tags = plinth.client.run(shown["run"])["message"]
    assert "from its ONNX form" in tags
    wait_for(lambda: plinth.client.run(first["run"])["phase"] == "stopped", "the end of the first")


def test_onnx_that_is_asked_for_and_cannot_be_is_told_with_the_reason(plinth: Plinth) -> None:
    file = plinth.write(
        kind="endpoint", name="never", team=TEAM, model="models:/scale/1", form="onnx"
    )
    done = plinth.cli("apply", file, check=False)
    assert done.code == 1
    assert "has no ONNX form: only models of scikit-learn are converted" in " ".join(
        done.err.split()
    )
    assert "form: auto" in done.err
