"""Every way in which somebody may ask for what another team has: one list.

`<name>` stands for a name or an id of the victim, `<my name>` for one's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.journeys.leak_plants import FILES, V2, V3

Json = dict[str, Any]
AJAX2, AJAX3 = V2.replace("/api/", "/ajax-api/"), V3.replace("/api/", "/ajax-api/")
_PLACEHOLDER = re.compile(r"<(my )?(\w+)>")


@dataclass(frozen=True)
class Attempt:
    """One request. `shows`: its owner is shown a mark by it, so that it asks for something."""

    method: str
    path: str
    body: Any = None
    shows: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def filled(self, victim: dict[str, str], own: dict[str, str]) -> Attempt:
        """Return the attempt with real names."""
        names = {"": victim, "my ": own}

        def fill(value: Any) -> Any:
            if isinstance(value, str):
                return _PLACEHOLDER.sub(lambda m: names[m[1] or ""].get(m[2], m[0]), value)
            if isinstance(value, dict):
                return {fill(key): fill(each) for key, each in value.items()}
            return [fill(each) for each in value] if isinstance(value, list) else value

        headers = {name: fill(value) for name, value in self.headers.items()}
        return Attempt(self.method, fill(self.path), fill(self.body), self.shows, headers)


def get(path: str, *, shows: bool = True) -> Attempt:
    return Attempt("GET", path, shows=shows)


def ask(path: str, body: Json, *, shows: bool = True) -> Attempt:
    return Attempt("POST", path, body, shows=shows)


# What MLflow keeps, by id and by search, for programs and for its pages.
TRACKING = [
    get(f"{V2}/experiments/get?experiment_id=<experiment>"),
    get(f"{V2}/experiments/get-by-name?experiment_name=<mark>-experiment"),
    get(f"{V2}/experiments/search?max_results=1000"),
    ask(f"{V2}/experiments/search", {"max_results": 1000, "view_type": "ALL"}),
    ask(f"{V2}/experiments/search", {"filter": "name LIKE '%'", "max_results": 1000}),
    get(f"{V2}/runs/get?run_id=<tracking_run>"),
    get(f"{V2}/runs/get?run_uuid=<tracking_run>"),
    ask(f"{V2}/runs/search", {"experiment_ids": ["<experiment>"], "run_view_type": "ALL"}),
    ask(f"{V2}/runs/search", {"experiment_ids": ["<experiment>", "<my experiment>"]}),
    get(f"{V2}/metrics/get-history?run_id=<tracking_run>&metric_key=<mark>-metric", shows=False),
    get(f"{V2}/artifacts/list?run_id=<tracking_run>"),
    get(f"{FILES}/<root>/notes.txt"),
    get(f"{FILES}?path=<root>", shows=False),
    get(f"{V2}/registered-models/get?name=<model>"),
    get(f"{V2}/registered-models/search"),
    get(f"{V2}/registered-models/get-latest-versions?name=<model>"),
    get(f"{V2}/registered-models/alias?name=<model>&alias=<mark>-alias"),
    get(f"{V2}/model-versions/get?name=<model>&version=1"),
    get(f"{V2}/model-versions/get-download-uri?name=<model>&version=1"),
    get(f"{V2}/model-versions/search?filter=run_id%3D%27<tracking_run>%27"),
    get(f"{V2}/model-versions/search"),
    get(f"{V2}/logged-models/<logged_model>"),
    get(f"{V2}/logged-models/<logged_model>/artifacts/directories"),
    ask(f"{V2}/logged-models/search", {"experiment_ids": ["<experiment>"]}),
    get(f"{V2}/traces?experiment_ids=<experiment>"),
    get(f"{V2}/traces/<trace>/info"),
    get(f"{V3}/traces/<trace>"),
    get(f"{V3}/traces/get?trace_id=<trace>", shows=False),
    get(f"{V3}/traces/batchGet?trace_ids=<trace>", shows=False),
    get(f"{V3}/traces/<trace>/assessments/<assessment>"),
    ask(f"{V3}/traces/batchGetInfos", {"trace_ids": ["<trace>"]}),
    ask(
        f"{V3}/traces/search",
        {
            "locations": [
                {
                    "type": "MLFLOW_EXPERIMENT",
                    "mlflow_experiment": {"experiment_id": "<experiment>"},
                }
            ]
        },
    ),
    ask(
        f"{V3}/traces/metrics",
        {
            "experiment_ids": ["<experiment>"],
            "view_type": "TRACES",
            "metric_name": "trace_count",
            "aggregations": [{"aggregation_type": "COUNT"}],
            "dimensions": ["trace_name"],
        },
        shows=False,
    ),
    get(f"{V3}/datasets/<dataset>"),
    get(f"{V3}/datasets/<dataset>/records"),
    get(f"{V3}/datasets/<dataset>/experiment-ids", shows=False),
    ask(f"{V3}/datasets/search", {"experiment_ids": ["<experiment>"]}),
    ask(f"{V3}/datasets/search", {}),
]


def _graphql(query: str, **variables: Any) -> Attempt:
    return ask("/graphql", {"query": query, "variables": variables})


# What only MLflow's pages ask.
PAGES = [
    get("/get-artifact?run_id=<tracking_run>&path=notes.txt"),
    get("/model-versions/get-artifact?name=<model>&version=1&path=MLmodel"),
    get(f"{AJAX2}/get-trace-artifact?request_id=<trace>"),
    get(f"{AJAX3}/get-trace-artifact?request_id=<trace>"),
    get(f"{AJAX3}/get-trace-artifact?request_id=<trace>&path=1b4db7eb-4057-5ddf-91e0-36dec72071f5"),
    get(f"{AJAX2}/logged-models/<logged_model>/artifacts/files?artifact_file_path=MLmodel"),
    get(
        f"{AJAX2}/metrics/get-history-bulk?run_id=<tracking_run>&metric_key=<mark>-metric",
        shows=False,
    ),
    get(
        f"{AJAX2}/metrics/get-history-bulk-interval?run_ids=<tracking_run>"
        "&metric_key=<mark>-metric&max_results=10",
        shows=False,
    ),
    ask(f"{AJAX2}/experiments/search-datasets", {"experiment_ids": ["<experiment>"]}),
    _graphql(
        "query Q($run: String) { mlflowGetRun(input: {runId: $run}) { run { info { runName } "
        "data { params { value } } inputs { datasetInputs { dataset { name } } } "
        "experiment { name } modelVersions { name } } } }",
        run="<tracking_run>",
    ),
    _graphql(
        "query Q($id: String) { mlflowGetExperiment(input: {experimentId: $id}) "
        "{ experiment { name } } }",
        id="<experiment>",
    ),
    _graphql(
        "query Q($ids: [String]) { mlflowSearchRuns(input: {experimentIds: $ids}) "
        "{ runs { info { runName } } } }",
        ids=["<experiment>"],
    ),
    _graphql(
        "query Q($run: String) { mlflowListArtifacts(input: {runId: $run}) { files { path } "
        "rootUri } }",
        run="<tracking_run>",
    ),
    _graphql("query { mlflowSearchModelVersions(input: {}) { modelVersions { name } } }"),
]

# Ways to write the folder of another team, where one's own is meant.
PATHS = [
    "",
    ".",
    "./",
    "..",
    "workspaces",
    "workspaces/",
    "./workspaces",
    "/workspaces",
    "//workspaces",
    "workspaces/<workspace>",
    "./workspaces/<workspace>",
    ".//workspaces/<workspace>",
    "/workspaces/<workspace>",
    "//workspaces/<workspace>",
    "workspaces//<workspace>",
    "workspaces/./<workspace>",
    "workspaces/<my workspace>/../<workspace>",
    "workspaces/<my workspace>/./../<workspace>",
    "../<workspace>",
    "../workspaces/<workspace>",
    "..\\<workspace>",
    "workspaces\\<workspace>",
    "WORKSPACES/<workspace>",
    "%77orkspaces/<workspace>",
    "%2e%2e/<workspace>",
    "%2e%2e%2f<workspace>",
    "..%2f<workspace>",
    "..%5c<workspace>",
    "workspaces%2f<workspace>",
    "workspaces/%2e%2e/workspaces/<workspace>",
    "workspaces/<workspace>%00",
    "workspaces/<workspace>%23",
    "<home>/mlflow/artifacts/workspaces/<workspace>",
    "file://<home>/mlflow/artifacts/workspaces/<workspace>",
    "file:workspaces/<workspace>",
    "mlflow-artifacts:/workspaces/<workspace>",
    "<home>/secrets",
    "../../secrets",
]


def spelled(path: str) -> list[str]:
    """Return the ways to send `path`: as it is, encoded once, and encoded twice."""
    return list(
        dict.fromkeys((path, quote(path, safe="<> "), quote(quote(path, safe="<> "), safe="<> ")))
    )


def path_tricks() -> list[Attempt]:
    """Return each path, in each spelling, at the addresses that take one."""
    inner = "/<experiment>/<tracking_run>/artifacts"
    found = []
    for path in PATHS:
        for sent in spelled(path):
            file = f"{sent}{inner}/notes.txt"
            addresses = [
                f"{FILES}?path={sent}",
                f"{FILES}?path={sent}{inner}",
                f"{FILES}/{file}",
                f"/get-artifact?run_id=<my tracking_run>&path={file}",
            ]
            # MLflow reads a path in one way; the other addresses only lead there.
            if sent == path:
                addresses += [
                    f"{V2}/artifacts/list?run_id=<my tracking_run>&path={sent}",
                    f"/model-versions/get-artifact?name=<my model>&version=1&path={file}",
                    f"{AJAX2}/logged-models/<my logged_model>/artifacts/files"
                    f"?artifact_file_path={file}",
                    f"{V2}/logged-models/<my logged_model>/artifacts/directories"
                    f"?artifact_directory_path={sent}{inner}",
                ]
            found += [get(address, shows=False) for address in addresses]
    return found


# What MLflow would do for the whole server, and what else of it nobody is to reach.
UNREACHABLE = [
    *(
        get(f"/{api}/{version}/mlflow/{rest}", shows=False)
        for api in ("api", "ajax-api")
        for version in ("2.0", "3.0")
        for rest in (
            *("workspaces", "workspaces/<workspace>", "%77orkspaces", "runs/../workspaces"),
            *("runs/%2e%2e/workspaces", "gateway/secrets/list", "gateway/endpoints/list"),
            *("webhooks", "jobs/1", "assistant/config", "mcp-servers", "scorers/list"),
            *("prompt-optimization/jobs/search", "users/list", "unified-traces"),
        )
    ),
    *(get(path, shows=False) for path in ("/v1/traces", "/version", "/health", "/metrics")),
    *(get(path, shows=False) for path in ("/ajax-api/3.0/jobs/1", "/gateway/x/mlflow/invocations")),
    ask("/api/3.0/mlflow/workspaces", {"name": "team-fresh"}, shows=False),
    ask("/ajax-api/3.0/mlflow/demo/generate", {}, shows=False),
]

# Who one claims to be.
LIES = [
    {"x-mlflow-workspace": "<workspace>"},
    {"X-MLFLOW-WORKSPACE": "<workspace>"},
    {"x-plinth-team": "<team>"},
    {"x-plinth-team": "<team>", "x-plinth-principal": "admin", "x-plinth-key": "<key>"},
    {"x-plinth-principal": "<principal>", "x-plinth-run-principal": "<principal>"},
    {"x-plinth-browser": "<key>"},
    {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "mlflow.localhost", "forwarded": "for=_a"},
    {
        "x-forwarded-prefix": "/workspaces/<workspace>",
        "x-original-url": "/api/3.0/mlflow/workspaces",
    },
    {"x-rewrite-url": "/api/3.0/mlflow/workspaces", "x-http-method-override": "DELETE"},
    {"x-envoy-original-path": "/api/3.0/mlflow/workspaces"},
    {"x_mlflow_workspace": "<workspace>"},
    {"connection": "x-mlflow-workspace", "x-mlflow-workspace": "<workspace>"},
    {"connection": "x-plinth-team, x-mlflow-workspace"},
]
# Where one claims to be.
HOSTS = [
    "mlflow.localhost",
    "<team>.localhost",
    "<workspace>",
    "localhost",
    "MLFLOW.localhost",
    "[::1]",
]

# What Plinth itself keeps.
PLATFORM = [
    get("/api/v1/runs?limit=1000"),
    get("/api/v1/runs?kind=job"),
    get("/api/v1/runs?active=true", shows=False),
    get("/api/v1/runs/<run>"),
    get("/api/v1/runs/<run>/logs"),
    get("/api/v1/runs/<deployment>"),
    get("/api/v1/runs/<deployment>/logs", shows=False),
    get("/api/v1/endpoints"),
    get("/api/v1/endpoints/<endpoint>"),
    get("/api/v1/teams"),
    get("/api/v1/members"),
    get("/api/v1/members?team=<team>"),
    get("/api/v1/grants"),
    get("/api/v1/keys"),
    get("/api/v1/data"),
    get("/api/v1/data/<data>?team=<team>"),
    get("/api/v1/data/<data>", shows=False),
    get("/api/v1/data/<data>/diff?team=<team>&version=1&to=<data>@2"),
    get("/api/v1/diffs/<digest>?team=<team>", shows=False),
    get("/api/v1/models"),
    get("/api/v1/lineage/models/scale?team=<team>&version=1"),
    get("/api/v1/lineage/models/<model>?team=<team>", shows=False),
    get("/api/v1/lineage/data/<data>?team=<team>"),
    get("/api/v1/usage"),
    get("/api/v1/bill"),
    get("/api/v1/bill?team=<team>"),
    get("/api/v1/bill?by=principal", shows=False),
    get("/api/v1/trace/<response>"),
    get("/api/v1/audit-log?limit=1000", shows=False),
    get("/api/v1/audit-log?team=<team>"),
    get("/api/v1/audit-log?subject=key/<key>", shows=False),
    get("/api/v1/status", shows=False),
    get("/api/v1/units/<run>.0.1/logs", shows=False),
    get("/api/v1/units/envoy/logs", shows=False),
    get("/v2/models/<endpoint>", shows=False),
    get("/v2/models/<endpoint>/ready", shows=False),
    ask("/v2/models/<endpoint>/infer", {"inputs": []}, shows=False),
    get("/v2/models/<endpoint>/versions/1", shows=False),
    get("/internal/deployments/<deployment>/v2/models/<endpoint>", shows=False),
]

# What would change something of the other team: each must fail, and nothing be different after it.
CHANGES = [
    ask(f"{V2}/runs/create", {"experiment_id": "<experiment>", "run_name": "intruder"}),
    ask(f"{V2}/runs/update", {"run_id": "<tracking_run>", "run_name": "intruder"}),
    ask(f"{V2}/runs/delete", {"run_id": "<tracking_run>"}),
    ask(f"{V2}/runs/set-tag", {"run_id": "<tracking_run>", "key": "note", "value": "intruder"}),
    ask(
        f"{V2}/runs/log-metric",
        {"run_id": "<tracking_run>", "key": "intruder", "value": 1, "timestamp": 1},
    ),
    ask(f"{V2}/experiments/delete", {"experiment_id": "<experiment>"}),
    ask(f"{V2}/experiments/update", {"experiment_id": "<experiment>", "new_name": "intruder"}),
    Attempt("DELETE", f"{V2}/registered-models/delete", {"name": "<model>"}),
    ask(f"{V2}/registered-models/rename", {"name": "<model>", "new_name": "intruder"}),
    ask(
        f"{V2}/registered-models/alias",
        {"name": "<model>", "alias": "intruder", "version": "1"},
    ),
    Attempt(
        "PATCH",
        f"{V2}/model-versions/update",
        {"name": "<model>", "version": "1", "description": "intruder"},
    ),
    Attempt("DELETE", f"{V2}/logged-models/<logged_model>"),
    Attempt("PATCH", f"{V3}/traces/<trace>/tags", {"key": "t", "value": "intruder"}),
    ask(f"{V3}/traces/link-to-run", {"trace_ids": ["<trace>"], "run_id": "<tracking_run>"}),
    ask(
        f"{V3}/traces/<trace>/assessments",
        {
            "assessment": {
                "assessment_name": "intruder",
                "source": {"source_type": "HUMAN", "source_id": "i"},
                "feedback": {"value": "x"},
            }
        },
    ),
    Attempt("DELETE", f"{V3}/traces/<trace>/assessments/<assessment>"),
    Attempt("DELETE", f"{V3}/datasets/<dataset>"),
    ask(f"{V3}/datasets/<dataset>/records", {"records": '[{"inputs": {"q": "intruder"}}]'}),
    Attempt("PATCH", f"{V3}/datasets/<dataset>/tags", {"tags": '{"a": "intruder"}'}),
    ask(f"{V3}/datasets/<dataset>/add-experiments", {"experiment_ids": ["<my experiment>"]}),
    ask(f"{V3}/datasets/<my dataset>/add-experiments", {"experiment_ids": ["<experiment>"]}),
    Attempt("PUT", f"{FILES}/<root>/notes.txt", {"intruder": 1}),
    Attempt("PUT", f"{FILES}/./<root>/notes.txt", {"intruder": 1}),
    Attempt("DELETE", f"{FILES}/<root>/notes.txt"),
    ask("/api/v1/runs/<deployment>/stop", {}),
    Attempt("DELETE", "/api/v1/runs/<run>"),
    ask("/api/v1/endpoints/<endpoint>/stop", {}),
    Attempt("DELETE", "/api/v1/endpoints/<endpoint>"),
    Attempt("PUT", "/api/v1/data/<data>?team=<team>&file_name=x.csv", {"a": 1}),
    ask("/api/v1/keys", {"team": "<team>", "name": "intruder"}),
    Attempt("DELETE", "/api/v1/keys/<key>"),
    Attempt("DELETE", "/api/v1/grants/<grant>"),
    ask("/api/v1/grants", {"role": "viewer", "subject_team": "<my team>", "team": "<team>"}),
    Attempt("DELETE", "/api/v1/members/<team>/<member>"),
    ask(
        "/api/v1/runs",
        {"workload": {"kind": "job", "name": "intruder", "team": "<team>", "command": ["x"]}},
    ),
    ask(
        "/api/v1/runs",
        {
            "workload": {
                "kind": "job",
                "name": "intruder",
                "team": "<my team>",
                "command": ["x"],
                "data": {"stolen": "<data>"},
            }
        },
    ),
    Attempt(
        "PUT",
        "/api/v1/endpoints/intruder",
        {"kind": "endpoint", "name": "intruder", "team": "<team>", "model": "models:/<model>/1"},
    ),
    Attempt(
        "PUT",
        "/api/v1/endpoints/intruder",
        {"kind": "endpoint", "name": "intruder", "team": "<my team>", "model": "models:/<model>/1"},
    ),
]
