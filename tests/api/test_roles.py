"""Every route asks `decide`, for every role, on one's own team and on another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount

from plinth.access.rbac import decide
from plinth.api.app import PREFIX
from plinth.api.console.app import PREFIX as CONSOLE
from plinth.control.published import Record
from plinth.control.workspaces.service import stop_workspace
from plinth.domain.access import Action, Grant, Resource, Role
from plinth.domain.flow import RESULTS_FILE
from plinth.domain.traffic import EndpointRoute
from plinth.kit.archive import pack
from plinth.kit.ids import digest_of
from plinth.store.identities import add_grant
from plinth.store.workspaces import get_workspace
from tests.api.service import CSV, LONELY, OTHER, TEAM, Service, error_of, make_service
from tests.control.batches.batch_case import add_files, write_output
from tests.control.batches.batch_case import submit as submit_batch
from tests.control.flows.stand import apply_flow, upload
from tests.control.openai_batches.batches import CHAT, put
from tests.control.plane import Plane, endpoint_of

CODE = b"not really an archive"
FLOW_FILES = {"main.py": "app = 2\n"}
TRACE = "tr-" + "0" * 32
FLOW_PLACE = {"mlflow_experiment": {"experiment_id": "e-answers"}}
DIFF = b"diff --git a/x.py b/x.py\n"
RESPONSE = "a-response"
JOB = {"kind": "job", "name": "train", "team": TEAM, "command": ["python"]}


@dataclass(frozen=True)
class Request:
    """One request for a route: `resource` is what it asks about, None: answers only for oneself.

    `absent`: the same request for what does not exist, as text replaced in path and options.
    `shows`: for lists, whether the answer shows the thing of TEAM. `hides`: whether who may not see
    the resource is told that there is none.
    """

    path: str
    resource: Resource | None = None
    options: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, str] | None = None
    shows: Callable[[Any], bool] | None = None
    hides: bool = True


@dataclass
class Things:
    """What there is of TEAM before a caller comes."""

    done: str
    active: str
    grant: str
    key: str
    file: str
    unread: str
    batch: str
    scored: str = ""
    evaluated: str = "r_e"


def prepare(service: Service) -> Things:
    plane = service.plane
    done = plane.submit(name="done")
    plane.until(lambda: bool(plane.world.starts))
    plane.world.end(f"{done}.0.1")
    plane.until(lambda: plane.run(done).closed)
    plane.parts.metering.collect()
    plane.tracking.add_model(TEAM, "m", ("champion",))
    for number in range(1, 5):
        plane.open(f"lab-{number}", shared=True)
    with plane.write() as connection:
        for name in ("lab-2", "lab-3"):
            stop_workspace(connection, plane.context, get_workspace(connection, name))
    plane.until(lambda: all(_is_over(plane, name) for name in ("lab-2", "lab-3")))
    # Behind all steps of the reconcilers, which would take a deployment to its end.
    for name in ("delay", "to-stop", "to-delete"):
        plane.apply(name=name)
    plane.apply(name="chat", external={"url": "https://1.1.1.1/v1", "protocol": "openai"})
    service.add_data()
    service.as_admin("PUT", f"/diffs/{digest_of(DIFF)}", params={"team": TEAM}, content=DIFF)
    plane.respond(RESPONSE)
    Record(plane.home).write_routes([EndpointRoute(name="delay", team=TEAM)], lambda: None)
    now = plane.clock.now()
    grant = Grant(role=Role.VIEWER, subject_team=OTHER, team=TEAM, resource="endpoint/delay")
    with plane.write() as connection:
        stored = add_grant(connection, grant, created_by="admin", now=now)
    for name in ("openai", "to-delete"):
        service.as_admin("PUT", f"/secrets/{name}", params={"team": TEAM}, content=b"hunter2")
    key = service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dashboard"})
    service.as_admin("POST", "/members", json={"team": TEAM, "name": "leaver"})
    unit = plane.home.units / "control"
    unit.mkdir()
    (unit / "log").write_bytes(b"started\n")
    read, unread = (put(plane, b"{}\n").id for _ in range(2))
    asked = {"input_file_id": read, "endpoint": CHAT, "completion_window": "24h"}
    batch = service.as_admin("POST", "/openai/batches", json=asked)["id"]
    active = plane.submit(name="active")
    apply_flow(plane)
    upload(plane, FLOW_FILES)
    plane.tracking.add_trace("answers", {"trace_id": TRACE, "trace_location": FLOW_PLACE})
    plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(plane, a="x\n1\n")
    scored = submit_batch(plane)
    write_output(plane, scored, 1)
    evaluated = evaluate(service)
    return Things(done, active, stored.id, key["id"], read, unread, batch, scored.id, evaluated)


def evaluate(service: Service) -> str:
    """Return the id of an evaluation that has found something."""
    flow = {"kind": "evaluation", "name": "answers", "team": TEAM, "app": "main:app"}
    asked = {"workload": flow, "code_digest": upload(service.plane, FLOW_FILES)}
    run: str = service.as_admin("POST", "/flow-evaluations", json=asked)["id"]
    folder = service.plane.home.runs / run / "work"
    folder.mkdir(parents=True)
    (folder / RESULTS_FILE).write_text('{"metrics": {}}\n')
    return run


def _is_over(plane: Plane, name: str) -> bool:
    found = plane.workspace(name)
    return found is not None and plane.run(str(found.run)).phase.is_final


TEAM_ABSENT = (TEAM, "nobody")


def requests(things: Things) -> dict[tuple[str, str], Request]:
    """Return a request for every route."""
    return {
        **openai_requests(things),
        **run_requests(things),
        **endpoint_requests(),
        **flow_requests(things),
        **workspace_requests(),
        **identity_requests(things),
        **other_requests(),
        **batch_requests(things),
    }


def has(name: str, value: str) -> Callable[[Any], bool]:
    return lambda rows: any(row[name] == value for row in rows)


def job(name: str) -> Resource:
    return Resource(kind="job", team=TEAM, name=name)


def endpoint(name: str) -> Resource:
    return Resource(kind="endpoint", team=TEAM, name=name)


def run_requests(things: Things) -> dict[tuple[str, str], Request]:
    run = Resource(kind="run", team=TEAM)
    missing = (things.active, "r_missing222")
    return {
        ("PUT", "/code/{digest}"): Request(
            f"/code/{digest_of(CODE)}",
            run,
            {"params": {"team": TEAM}, "content": CODE},
            TEAM_ABSENT,
        ),
        ("PUT", "/diffs/{digest}"): Request(
            f"/diffs/{digest_of(DIFF + CODE)}",
            run,
            {"params": {"team": TEAM}, "content": DIFF + CODE},
            TEAM_ABSENT,
        ),
        ("GET", "/diffs/{digest}"): Request(
            f"/diffs/{digest_of(DIFF)}", run, {"params": {"team": TEAM}}, TEAM_ABSENT
        ),
        ("POST", "/runs"): Request("/runs", run, {"json": {"workload": JOB}}, TEAM_ABSENT),
        ("GET", "/runs"): Request("/runs", shows=has("id", things.active)),
        ("GET", "/runs/{run_id}"): Request(f"/runs/{things.active}", job("active"), {}, missing),
        ("GET", "/runs/{run_id}/logs"): Request(
            f"/runs/{things.active}/logs", job("active"), {}, missing
        ),
        ("POST", "/runs/{run_id}/stop"): Request(
            f"/runs/{things.active}/stop", job("active"), {}, missing
        ),
        ("DELETE", "/runs/{run_id}"): Request(
            f"/runs/{things.done}", job("done"), {}, (things.done, "r_missing222")
        ),
    }


def endpoint_requests() -> dict[tuple[str, str], Request]:
    return {
        ("GET", "/trace/{response_id}"): Request(
            f"/trace/{RESPONSE}", endpoint("delay"), {}, (RESPONSE, "nothing")
        ),
        ("PUT", "/endpoints/{name}"): Request(
            "/endpoints/delay",
            endpoint("delay"),
            {"json": endpoint_of().model_dump(mode="json")},
            TEAM_ABSENT,
        ),
        ("POST", "/endpoints/{name}/check"): Request(
            "/endpoints/delay/check",
            endpoint("delay"),
            {"json": endpoint_of().model_dump(mode="json")},
            TEAM_ABSENT,
        ),
        ("GET", "/endpoints"): Request("/endpoints", shows=has("name", "delay")),
        ("GET", "/endpoints/{name}"): Request(
            "/endpoints/delay", endpoint("delay"), {}, ("delay", "nothing")
        ),
        ("GET", "/openai/models"): Request(
            "/openai/models", shows=lambda answer: has("id", "chat")(answer["data"])
        ),
        ("GET", "/openai/models/{name}"): Request(
            "/openai/models/chat", endpoint("chat"), {}, ("chat", "nothing")
        ),
        ("POST", "/endpoints/{name}/stop"): Request(
            "/endpoints/to-stop/stop", endpoint("to-stop"), {}, ("to-stop", "nothing")
        ),
        ("DELETE", "/endpoints/{name}"): Request(
            "/endpoints/to-delete", endpoint("to-delete"), {}, ("to-delete", "nothing")
        ),
    }


def workspace_requests() -> dict[tuple[str, str], Request]:
    # Shared: of one's own only the owner opens it, which tests/api/test_workspaces.py asks.
    made = {"kind": "workspace", "name": "made", "team": TEAM, "shared": True}

    def of(name: str, more: str = "", **options: Any) -> Request:
        known = Resource(kind="workspace", team=TEAM, name=name)
        return Request(f"/workspaces/{name}{more}", known, options, (name, "nothing"))

    return {
        ("PUT", "/workspaces/{name}"): Request(
            "/workspaces/made",
            Resource(kind="workspace", team=TEAM, name="made"),
            {"json": made},
            TEAM_ABSENT,
        ),
        ("GET", "/workspaces"): Request("/workspaces", shows=has("name", "lab-1")),
        ("GET", "/workspaces/{name}"): of("lab-1"),
        ("POST", "/workspaces/{name}/start"): of("lab-2", "/start"),
        ("POST", "/workspaces/{name}/stop"): of("lab-1", "/stop", json={"force": True}),
        ("POST", "/workspaces/{name}/resize"): of("lab-3", "/resize", json={"profile": "medium"}),
        ("DELETE", "/workspaces/{name}"): of("lab-4", params={"force": True}),
    }


def flow_requests(things: Things) -> dict[tuple[str, str], Request]:
    flow = {"kind": "flow", "name": "answers", "team": TEAM, "app": "main:app"}
    run = Resource(kind="run", team=TEAM)
    with TemporaryDirectory() as folder:
        for name, text in FLOW_FILES.items():
            Path(folder, name).write_text(text)
        digest = pack(Path(folder)).digest
    evaluation = {"workload": flow | {"kind": "evaluation"}, "code_digest": digest}
    known = (("answers", "nothing"),)
    seen = Resource(kind="flow", team=TEAM, name="answers")
    return {
        ("PUT", "/flows/{name}"): Request(
            "/flows/answers",
            endpoint("answers"),
            {"json": {"workload": flow, "code_digest": digest}},
            TEAM_ABSENT,
        ),
        ("POST", "/flow-evaluations"): Request(
            "/flow-evaluations", run, {"json": evaluation}, TEAM_ABSENT
        ),
        ("GET", "/flow-evaluations/{run_id}/results"): Request(
            f"/flow-evaluations/{things.evaluated}/results",
            Resource(kind="evaluation", team=TEAM, name="answers"),
            {},
            (things.evaluated, "r_missing222"),
        ),
        ("GET", "/flows/{name}/traces"): Request("/flows/answers/traces", seen, {}, *known),
        ("GET", "/flows/{name}/traces/{trace_id}"): Request(
            f"/flows/answers/traces/{TRACE}", seen, {}, *known
        ),
    }


def openai_requests(things: Things) -> dict[tuple[str, str], Request]:
    headers = {"openai-project": TEAM}
    files, file = Resource(kind="file", team=TEAM), (things.file, "file-missing22")
    batches, batch = Resource(kind="requests", team=TEAM), (things.batch, "batch_missing22")
    named = Resource(kind="file", team=TEAM, name=things.file)
    one = Resource(kind="requests", team=TEAM, name=things.batch.replace("_", "-"))
    asked = {"input_file_id": things.file, "endpoint": CHAT, "completion_window": "24h"}
    form = {"files": {"file": ("a.txt", b"x")}, "data": {"purpose": "user_data"}}
    return {
        ("POST", "/openai/files"): Request(
            "/openai/files", files, {"headers": headers, **form}, TEAM_ABSENT
        ),
        ("GET", "/openai/files"): Request(
            "/openai/files", files, {"headers": headers}, TEAM_ABSENT
        ),
        ("GET", "/openai/files/{file_id}"): Request(
            f"/openai/files/{things.file}", named, {}, file
        ),
        ("GET", "/openai/files/{file_id}/content"): Request(
            f"/openai/files/{things.file}/content", named, {}, file
        ),
        ("DELETE", "/openai/files/{file_id}"): Request(
            f"/openai/files/{things.unread}",
            Resource(kind="file", team=TEAM, name=things.unread),
            {},
            (things.unread, "file-missing22"),
        ),
        ("POST", "/openai/batches"): Request("/openai/batches", batches, {"json": asked}, file),
        ("GET", "/openai/batches"): Request(
            "/openai/batches", batches, {"headers": headers}, TEAM_ABSENT
        ),
        ("GET", "/openai/batches/{batch_id}"): Request(
            f"/openai/batches/{things.batch}", one, {}, batch
        ),
        ("POST", "/openai/batches/{batch_id}/cancel"): Request(
            f"/openai/batches/{things.batch}/cancel", one, {}, batch
        ),
    }


def identity_requests(things: Things) -> dict[tuple[str, str], Request]:
    grant = {"role": "viewer", "subject_team": OTHER, "team": TEAM}
    return {
        ("GET", "/whoami"): Request("/whoami"),
        ("POST", "/sign-in"): Request("/sign-in", options={"json": {}}),
        ("GET", "/teams"): Request("/teams", shows=has("name", TEAM)),
        ("POST", "/teams"): Request(
            "/teams", Resource(kind="team"), {"json": {"name": "fresh"}}, hides=False
        ),
        ("GET", "/grants"): Request("/grants", shows=has("team", TEAM)),
        ("POST", "/grants"): Request(
            "/grants", Resource(kind="team", team=TEAM), {"json": grant}, TEAM_ABSENT
        ),
        ("DELETE", "/grants/{grant_id}"): Request(
            f"/grants/{things.grant}", endpoint("delay"), {}, (things.grant, "g_missing222")
        ),
        ("GET", "/members"): Request("/members", shows=has("team", TEAM)),
        ("POST", "/members"): Request(
            "/members",
            Resource(kind="member", team=TEAM),
            {"json": {"team": TEAM, "name": "anna"}},
            TEAM_ABSENT,
        ),
        ("PUT", "/members/{team}/{name}"): Request(
            f"/members/{TEAM}/dashboard",
            Resource(kind="member", team=TEAM, name="dashboard"),
            {"json": {"role": "contributor"}},
            TEAM_ABSENT,
        ),
        ("DELETE", "/members/{team}/{name}"): Request(
            f"/members/{TEAM}/leaver",
            Resource(kind="member", team=TEAM, name="leaver"),
            {},
            TEAM_ABSENT,
        ),
        ("GET", "/audit-log"): Request("/audit-log", shows=has("team", TEAM)),
        ("GET", "/keys"): Request("/keys", shows=has("id", things.key)),
        ("POST", "/keys"): Request(
            "/keys",
            Resource(kind="key", team=TEAM),
            {"json": {"team": TEAM, "name": "fresh"}},
            TEAM_ABSENT,
        ),
        ("DELETE", "/keys/{key_id}"): Request(
            f"/keys/{things.key}",
            Resource(kind="key", team=TEAM),
            {},
            (things.key, "k_missing2"),
        ),
    }


def other_requests() -> dict[tuple[str, str], Request]:
    data = {"file_name": "more.csv", "team": TEAM}
    return {
        ("PUT", "/data/{name}"): Request(
            "/data/more",
            Resource(kind="data", team=TEAM, name="more"),
            {"params": data, "content": CSV},
            TEAM_ABSENT,
        ),
        ("GET", "/data"): Request("/data", shows=has("name", "flights")),
        ("GET", "/data/{name}"): Request(
            "/data/flights",
            Resource(kind="data", team=TEAM, name="flights"),
            {"params": {"team": TEAM}},
            TEAM_ABSENT,
        ),
        ("GET", "/data/{name}/diff"): Request(
            "/data/flights/diff",
            Resource(kind="data", team=TEAM, name="flights"),
            {"params": {"team": TEAM, "version": 1, "to": "flights@1"}},
            TEAM_ABSENT,
        ),
        ("GET", "/lineage/data/{name}"): Request(
            "/lineage/data/flights",
            Resource(kind="data", team=TEAM, name="flights"),
            {"params": {"team": TEAM}},
            TEAM_ABSENT,
        ),
        ("GET", "/lineage/models/{name}"): Request(
            "/lineage/models/m",
            Resource(kind="model", team=TEAM, name="m"),
            {"params": {"team": TEAM, "alias": "champion"}},
            TEAM_ABSENT,
        ),
        ("GET", "/models"): Request("/models", shows=has("name", "m")),
        ("GET", "/usage"): Request("/usage"),
        ("GET", "/usage/gaps"): Request("/usage/gaps"),
        ("GET", "/bill"): Request("/bill"),
        ("GET", "/gateway"): Request("/gateway"),
        ("GET", "/gateway/routes"): Request("/gateway/routes", shows=has("endpoint", "delay")),
        ("GET", "/gateway/tail"): Request("/gateway/tail"),
        ("GET", "/gateway/pairs/{endpoint}"): Request(
            "/gateway/pairs/delay", endpoint("delay"), {}, ("delay", "none")
        ),
        ("GET", "/metrics"): Request("/metrics"),
        ("GET", "/prices"): Request("/prices"),
        ("POST", "/prices"): Request(
            "/prices",
            Resource(kind="price"),
            {"json": {"sku": "local.cpu_hour", "amount": "0.03", "currency": "EUR"}},
        ),
        **secret_requests(),
        ("GET", "/version"): Request("/version"),
        ("GET", "/status"): Request("/status", Resource(kind="node")),
        ("GET", "/units/{unit_id}/logs"): Request(
            "/units/control/logs", Resource(kind="node"), {}, ("control", "absent")
        ),
    }


def batch_requests(things: Things) -> dict[tuple[str, str], Request]:
    scored = Resource(kind="batch", team=TEAM, name="nightly")
    missing = (things.scored, "r_missing222")
    batch = {"kind": "batch", "name": "b", "model": "models:/scale@champion", "data": "rows"}
    more = Resource(kind="data", team=TEAM, name="many")
    digest, params = digest_of(CSV), {"team": TEAM}
    files = {"files": [{"name": "a.csv", "digest": digest}]}
    at = f"/batches/{things.scored}"
    return {
        ("POST", "/batches"): Request(
            "/batches",
            Resource(kind="batch", team=TEAM),
            {"json": {**batch, "team": TEAM}},
            TEAM_ABSENT,
        ),
        ("GET", "/batches/{run_id}"): Request(at, scored, {}, missing),
        ("GET", "/batches/{run_id}/files"): Request(f"{at}/files", scored, {}, missing),
        ("GET", "/batches/{run_id}/files/{name:path}"): Request(
            f"{at}/files/manifest.json", scored, {}, missing
        ),
        ("POST", "/data/{name}/missing"): Request(
            "/data/many/missing", more, {"params": params, "json": files}, TEAM_ABSENT
        ),
        ("PUT", "/data/{name}/files/{digest}"): Request(
            f"/data/many/files/{digest}",
            more,
            {"params": {**params, "file_name": "a.csv"}, "content": CSV},
            TEAM_ABSENT,
        ),
        ("POST", "/data/{name}/versions"): Request(
            "/data/many/versions", more, {"params": params, "json": files}, TEAM_ABSENT
        ),
    }


def secret_requests() -> dict[tuple[str, str], Request]:
    params = {"params": {"team": TEAM}}
    return {
        ("PUT", "/secrets/{name}"): Request(
            "/secrets/fresh",
            Resource(kind="secret", team=TEAM, name="fresh"),
            {**params, "content": b"hunter2"},
            TEAM_ABSENT,
        ),
        ("GET", "/secrets"): Request("/secrets", shows=has("name", "openai")),
        ("DELETE", "/secrets/{name}"): Request(
            "/secrets/to-delete",
            Resource(kind="secret", team=TEAM, name="to-delete"),
            params,
            TEAM_ABSENT,
        ),
        ("POST", "/master-key/rotate"): Request(
            "/master-key/rotate", Resource(kind="master-key"), hides=False
        ),
    }


# The kinds of which a list shows one, where its route names another.
LISTED = {"run": "job"}
CALLERS = [(None, None), *((role, on) for role in Role for on in (TEAM, OTHER, None))]


def replaced(value: Any, old: str, new: str) -> Any:
    """Return the value with one name in the place of another, wherever it stands."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {key: replaced(each, old, new) for key, each in value.items()}
    return value


def api_routes(service: Service) -> dict[tuple[str, str], APIRoute]:
    """Return every route by method and path; a path without the API's prefix is none of ours."""
    found = {}
    for included in service.app.routes:
        # Some versions of FastAPI keep the included router, others copy its routes.
        router = getattr(included, "original_router", None)
        for route in router.routes if router else [included]:
            if isinstance(route, Mount) and route.path == CONSOLE:
                continue  # Pages, which call what is tested here: tests/api/console.
            assert isinstance(route, APIRoute), f"{type(route)} is no route of the API"
            if not route.include_in_schema:
                continue  # For browsers, which have no key yet: tests/api/test_sign_in.py.
            for method in route.methods:
                found[method, route.path.removeprefix(PREFIX)] = route
    return found


def test_every_route_says_what_it_asks_and_is_tested(service: Service) -> None:
    routes = api_routes(service)
    assert set(routes) == set(requests(Things("", "", "", "", "", "", "")))
    for route in routes.values():
        declared = route.openapi_extra or {}
        assert Action(declared["x-plinth-action"])
        assert declared["x-plinth-resource"]


@pytest.mark.parametrize(("role", "on"), CALLERS)
def test_every_route_answers_each_role_as_decided(role: Role | None, on: str | None) -> None:
    with make_service() as service:
        table = requests(prepare(service))
        key = service.caller(role, on, home_team=LONELY)
        actor = service.actor(key)
        for (method, path), route in api_routes(service).items():
            request = table[method, path]
            declared = route.openapi_extra or {}
            action = Action(declared["x-plinth-action"])
            where = f"{method} {path} as {role} on {on}"
            answer = service.call(key, method, request.path, **request.options)
            if request.resource is None:
                assert answer.status_code == 200, where
                if request.shows is not None:
                    kind = LISTED.get(declared["x-plinth-resource"], declared["x-plinth-resource"])
                    thing = Resource(kind=kind, team=TEAM)
                    assert request.shows(answer.json()) == decide(actor, action, thing).allow, where
                continue
            decision = decide(actor, action, request.resource)
            if decision.allow:
                assert answer.is_success, f"{where}: {answer.text}"
            elif not request.hides or decide(actor, Action.READ, request.resource).allow:
                assert answer.status_code == 403, where
                assert error_of(answer)["message"] == decision.reason, where
            else:
                assert answer.status_code == 404, f"{where}: {answer.text}"
                _check_same_words(service, key, method, request, answer)


def _check_same_words(
    service: Service, key: str, method: str, request: Request, answer: Any
) -> None:
    error = _error(request, answer)
    if request.absent is None:
        return
    path = replaced(request.path, *request.absent)
    options = replaced(request.options, *request.absent)
    absent = service.call(key, method, path, **options)
    assert absent.status_code == 404
    assert _error(request, absent) == replaced(error, *request.absent)


def _error(request: Request, answer: Any) -> Any:
    """Return the error; what OpenAI's clients ask for has the shape that they read."""
    return answer.json()["error"] if request.path.startswith("/openai/") else error_of(answer)


@pytest.mark.parametrize("key", [None, "", "plk_nonsense", "no key at all"])
def test_every_route_refuses_who_has_no_key(service: Service, key: str | None) -> None:
    things = Things("r_x", "r_y", "g_z", "k_w", "file-f", "file-g", "batch_b", "r_s")
    for (method, path), request in requests(things).items():
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        answer = service.client.request(method, PREFIX + request.path, headers=headers)
        assert answer.status_code in (401, 422), (path, answer.text)
        assert answer.status_code == 401 or request.options, path
        error_of(answer)
