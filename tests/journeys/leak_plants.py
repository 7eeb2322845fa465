"""Something of every kind that a team has, each with a mark by which it is known anywhere."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from plinth.domain.access import workspace_of
from tests.journeys.plinth_node import Plinth, infer, wait_for

Json = dict[str, Any]
V2, V3, FILES = "/api/2.0/mlflow", "/api/3.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
_NUMBER = "experiment"


@dataclass(frozen=True)
class Planted:
    """What a team has. `names`: every name and id by which it may be asked for."""

    team: str
    mark: str
    names: dict[str, str]

    def marks(self) -> set[str]:
        """Return the texts that nobody else may be shown; a small number is none."""
        ids = {value for name, value in self.names.items() if name != _NUMBER}
        return {self.mark, self.team} | {value for value in ids if len(value) > 5}


def plant_tracking(client: httpx.Client, team: str, mark: str) -> Planted:
    """Make one of each thing that MLflow keeps, by a client of the team."""
    names = {"team": team, "mark": mark, "workspace": workspace_of(team)}
    _plant_run(client, mark, names)
    _plant_models(client, mark, names)
    _plant_traces(client, mark, names)
    _plant_datasets(client, mark, names)
    return Planted(team, mark, names)


def _post(client: httpx.Client, path: str, body: Json) -> Json:
    answer = client.post(path, json=body)
    assert answer.is_success, f"{path}: {answer.text}"
    found: Json = answer.json() if answer.content else {}
    return found


def _put(client: httpx.Client, uri: str, name: str, content: str) -> str:
    where = uri.removeprefix("mlflow-artifacts:/")
    client.put(f"{FILES}/{where}/{name}", content=content).raise_for_status()
    return where


def _plant_run(client: httpx.Client, mark: str, names: dict[str, str]) -> None:
    now = int(time.time() * 1000)
    tags = [{"key": "note", "value": f"{mark}-tag"}]
    made = _post(client, f"{V2}/experiments/create", {"name": f"{mark}-experiment", "tags": tags})
    names["experiment"] = str(made["experiment_id"])
    body = {
        "experiment_id": names["experiment"],
        "run_name": f"{mark}-run",
        "start_time": now,
        "tags": tags,
    }
    info = _post(client, f"{V2}/runs/create", body)["run"]["info"]
    names["tracking_run"] = run = info["run_id"]
    metric = {"key": f"{mark}-metric", "value": 1, "timestamp": now, "step": 0}
    batch = {"metrics": [metric], "params": [{"key": "p", "value": f"{mark}-param"}]}
    _post(client, f"{V2}/runs/log-batch", {"run_id": run, **batch})
    dataset = {
        "name": f"{mark}-input",
        "digest": "1",
        "source_type": "local",
        "source": json.dumps({"uri": f"{mark}-source"}),
    }
    _post(client, f"{V2}/runs/log-inputs", {"run_id": run, "datasets": [{"dataset": dataset}]})
    names["root"] = _put(client, info["artifact_uri"], "notes.txt", f"{mark}-file")
    _put(client, info["artifact_uri"], "model/MLmodel", f"{mark}-model-file")
    names["uri"] = info["artifact_uri"]


def _plant_models(client: httpx.Client, mark: str, names: dict[str, str]) -> None:
    names["model"] = f"{mark}-model"
    _post(client, f"{V2}/registered-models/create", {"name": names["model"], "description": mark})
    version = {
        "name": names["model"],
        "source": f"{names['uri']}/model",
        "run_id": names["tracking_run"],
        "description": f"{mark}-version",
    }
    _post(client, f"{V2}/model-versions/create", version)
    alias = {"name": names["model"], "alias": f"{mark}-alias", "version": "1"}
    _post(client, f"{V2}/registered-models/alias", alias)
    logged = {
        "experiment_id": names["experiment"],
        "name": f"{mark}-logged",
        "source_run_id": names["tracking_run"],
        "params": [{"key": "p", "value": f"{mark}-logged-param"}],
    }
    info = _post(client, f"{V2}/logged-models", logged)["model"]["info"]
    names["logged_model"] = info["model_id"]
    _put(client, info["artifact_uri"], "MLmodel", f"{mark}-logged-file")


def start_trace(client: httpx.Client, experiment: str, mark: str, **tags: str) -> tuple[str, str]:
    """Start a trace; return its id and where its artifacts are."""
    trace_id = f"tr-{secrets.token_hex(16)}"
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {
        "trace_id": trace_id,
        "trace_location": place,
        "request_time": "2026-11-01T00:00:00Z",
        "execution_duration": "1s",
        "state": "OK",
        "request_preview": f"{mark}-question",
        "response_preview": f"{mark}-answer",
        "trace_metadata": {"m": f"{mark}-metadata"},
        "tags": {"t": f"{mark}-trace-tag", **{k.replace("_", "."): v for k, v in tags.items()}},
    }
    made = _post(client, f"{V3}/traces", {"trace": {"trace_info": info}})
    return trace_id, str(made["trace"]["trace_info"]["tags"]["mlflow.artifactLocation"])


def _plant_traces(client: httpx.Client, mark: str, names: dict[str, str]) -> None:
    names["trace"], names["trace_uri"] = start_trace(client, names["experiment"], mark)
    spans = json.dumps({"spans": [{"name": f"{mark}-span"}]})
    names["trace_root"] = _put(client, names["trace_uri"], "traces.json", spans)
    # What MLflow would read if a trace said that it was archived here.
    for name in ("traces.pb", "trace.pb", "attachments/1b4db7eb-4057-5ddf-91e0-36dec72071f5"):
        _put(client, names["trace_uri"], name, f"{mark}-archived")
    assessment = {
        "assessment_name": f"{mark}-assessment",
        "source": {"source_type": "HUMAN", "source_id": f"{mark}-judge"},
        "feedback": {"value": f"{mark}-feedback"},
    }
    path = f"{V3}/traces/{names['trace']}/assessments"
    made = _post(client, path, {"assessment": assessment})
    names["assessment"] = made["assessment"]["assessment_id"]


def _plant_datasets(client: httpx.Client, mark: str, names: dict[str, str]) -> None:
    body = {"name": f"{mark}-dataset", "experiment_ids": [names["experiment"]]}
    names["dataset"] = _post(client, f"{V3}/datasets/create", body)["dataset"]["dataset_id"]
    records = json.dumps([{"inputs": {"q": f"{mark}-record"}}])
    _post(client, f"{V3}/datasets/{names['dataset']}/records", {"records": records})


def plant_platform(plinth: Plinth, planted: Planted) -> None:
    """Make one of each thing that Plinth itself keeps: with a job, a model that serves, a key."""
    team, mark, names = planted.team, planted.mark, planted.names
    job = plinth.run(f"{mark}-job", "python", "-c", f"print('{mark}-line')", team=team)
    assert job["phase"] == "succeeded"
    names["run"] = job["id"]
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    for version in (1, 2):
        (folder / f"{mark}.csv").write_text(f"{mark}_column\n{version}\n")
        made = plinth.client.add_data(f"{mark}-data", folder / f"{mark}.csv", team=team)
    names |= {"data": f"{mark}-data", "digest": str(made["digest"])}
    plinth.train(team, "3")
    names["endpoint"] = f"{mark}-endpoint"
    served = plinth.serve(names["endpoint"], "models:/scale@champion", team=team)
    names["deployment"] = str(served["serving"]["main"])
    answer = infer(plinth.http(plinth.key(team)), names["endpoint"], 1.0)
    assert answer.status_code == 200
    names["response"] = answer.headers["x-plinth-id"]
    key = plinth.client.create_key(team=team, name=f"{mark}-key", role="viewer", days=1)
    names |= {"key": key["id"], "member": f"{mark}-key", "principal": key["principal"]["id"]}
    grant = {
        "role": "viewer",
        "principal": key["principal"]["id"],
        "subject_team": None,
        "team": team,
        "resource": f"endpoint/{names['endpoint']}",
    }
    names["grant"] = plinth.client.give(grant)["id"]
    wait_for(
        lambda: any(names["endpoint"] in row["workload"] for row in plinth.client.usage()),
        "usage of the endpoint",
    )
