"""MLflow as Plinth uses it: workspaces, runs, and the model registry.

Called by control services and reconcilers. Every method may raise Temporary when MLflow cannot
be reached; no method holds state, so a call may be repeated after a crash.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote

from plinth.domain.access import workspace_of
from plinth.domain.model import ModelVersion
from plinth.domain.workload_fields import ModelName
from plinth.kit.clock import Clock, SystemClock
from plinth.kit.errors import Conflict, Invalid, NotFound, Temporary
from plinth.kit.excerpt import excerpt
from plinth.tracking.artifacts import fetch_folder
from plinth.tracking.rest import API, Rest

RUN_TAG = "plinth.run"
_WORKSPACES = "/api/3.0/mlflow/workspaces"
_TRACES = "/api/3.0/mlflow/traces"
_TRACE_DATA = "/ajax-api/3.0/mlflow/get-trace-artifact"
_TRACE_ID = re.compile(r"tr-[0-9a-f]{32}")
_RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PAGE = 200
_MOST_POINTS = 300
_MOST_OF_RUN = 20
# What MLflow's own pages draw curves of.
_CURVE = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"

# The final states of an MLflow run.
FinalStatus = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What MLflow says of one run; of each metric the last value. Whoever may log can say it.

    `numberless`: the metrics whose last value is no number, which `metrics` leaves out.
    """

    tags: dict[str, str]
    parameters: dict[str, str]
    metrics: dict[str, float]
    numberless: tuple[str, ...] = ()


class Tracking:
    """The tracker and registry behind one Unix socket."""

    def __init__(self, socket: Path, *, clock: Clock | None = None) -> None:
        self._rest = Rest(socket)
        self._clock = clock or SystemClock()

    def __enter__(self) -> Tracking:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def ready(self) -> None:
        """Return when MLflow answers and its database is open; raise Temporary otherwise."""
        self._rest.get(_WORKSPACES)

    def ensure_workspace(self, team: str) -> None:
        """Make the team's workspace if it is absent. Idempotent.

        Raises Invalid for a name that MLflow refuses (it wants 2 to 63 characters).
        """
        name = workspace_of(team)
        try:
            self._rest.get(f"{_WORKSPACES}/{quote(name, safe='')}")
        except NotFound:
            try:
                self._rest.post(_WORKSPACES, {"name": name})
            except Conflict:
                return  # somebody else made it between the two calls

    def ensure_run(
        self, team: str, experiment: str, plinth_run_id: str, tags: Mapping[str, str]
    ) -> str:
        """Return the id of the MLflow run of `plinth_run_id`; make run and experiment if absent.

        Idempotent: the run is found by its tag `plinth.run`, so that a crash after MLflow made it
        and before the caller noted its id does not make a second one. Raises Conflict when the
        experiment was deleted in MLflow.
        """
        if not _RUN_ID.fullmatch(plinth_run_id):
            raise Invalid(f"`{plinth_run_id}` is not the id of a run")
        experiment_id = self._ensure_experiment(team, experiment)
        found = self._find_run(team, experiment_id, plinth_run_id)
        if found is not None:
            return str(found["run_id"])
        body = {
            "experiment_id": experiment_id,
            "run_name": plinth_run_id,
            "start_time": _milliseconds(self._clock.now()),
            "tags": [
                {"key": key, "value": value}
                for key, value in sorted({**tags, RUN_TAG: plinth_run_id}.items())
            ],
        }
        made = self._rest.post(f"{API}/runs/create", body, team=team)
        return str(made["run"]["info"]["run_id"])

    def _ensure_experiment(self, team: str, name: str) -> str:
        experiment = self._experiment(team, name)
        if experiment is None:
            try:
                made = self._rest.post(f"{API}/experiments/create", {"name": name}, team=team)
                return str(made["experiment_id"])
            except Conflict:
                experiment = self._experiment(team, name)
        if experiment is None:
            raise Temporary(f"MLflow has experiment `{name}` and does not show it")
        if experiment.get("lifecycle_stage") == "deleted":
            raise Conflict(
                f"the MLflow experiment `{name}` of team `{team}` is deleted",
                hint="restore it in MLflow, or give the workload another name",
            )
        return str(experiment["experiment_id"])

    def _experiment(self, team: str, name: str) -> dict[str, Any] | None:
        path = f"{API}/experiments/get-by-name"
        try:
            found: dict[str, Any] = self._rest.get(path, {"experiment_name": name}, team=team)[
                "experiment"
            ]
        except NotFound:
            return None
        return found

    def _find_run(self, team: str, experiment_id: str, plinth_run_id: str) -> dict[str, Any] | None:
        body = {
            "experiment_ids": [experiment_id],
            "filter": f"tags.`{RUN_TAG}` = '{plinth_run_id}'",
            "run_view_type": "ACTIVE_ONLY",
            "max_results": _PAGE,
        }
        runs = self._rest.post(f"{API}/runs/search", body, team=team).get("runs", [])
        # The oldest: whoever asks gets the same one, whatever a job has tagged since.
        return min(
            (run["info"] for run in runs),
            key=lambda info: (int(info["start_time"]), info["run_id"]),
            default=None,
        )

    def finish_run(
        self,
        team: str,
        tracking_run_id: str,
        status: FinalStatus,
        *,
        ended_at: datetime | None = None,
    ) -> None:
        """Set the run's final status and its end (None: now). Idempotent.

        Raises NotFound when the run is gone.
        """
        body = {
            "run_id": tracking_run_id,
            "status": status,
            "end_time": _milliseconds(ended_at or self._clock.now()),
        }
        self._rest.post(f"{API}/runs/update", body, team=team)

    def describe_run(self, team: str, tracking_run_id: str) -> TrackedRun:
        """Return what was logged to a run. Raises NotFound when the team has none of that id."""
        run = self._rest.get(f"{API}/runs/get", {"run_id": tracking_run_id}, team=team)["run"]
        logged = run.get("data", {})
        return TrackedRun(
            tags={str(each["key"]): str(each["value"]) for each in logged.get("tags", ())},
            parameters={str(each["key"]): str(each["value"]) for each in logged.get("params", ())},
            metrics={
                str(each["key"]): float(each["value"])
                for each in logged.get("metrics", ())
                # JSON has no infinity and no NaN; MLflow writes them as texts.
                if isinstance(each["value"], int | float) and math.isfinite(each["value"])
            },
            numberless=tuple(
                str(each["key"])
                for each in logged.get("metrics", ())
                if not math.isfinite(_number(each["value"]))
            ),
        )

    def metric_history(
        self, team: str, tracking_run_id: str, name: str
    ) -> list[tuple[float, float]]:
        """Return (step, value) of what was logged of a metric, in order, from first to last.

        Of many values some hundreds, chosen evenly; what is no number is NaN. Without steps, as
        where every value has the same one, the first part counts the values.
        """
        most = {"metric_key": name, "max_results": str(_MOST_POINTS)}
        answer = self._rest.get(_CURVE, {"run_ids": tracking_run_id, **most}, team=team)
        logged = [
            (float(each.get("step", 0)), _number(each["value"]))
            for each in answer.get("metrics", ())
        ]
        if len({step for step, _ in logged}) == 1:
            counted = [(float(index), value) for index, (_, value) in enumerate(logged)]
            # What has no steps is not chosen from.
            every = max(1, math.ceil(len(counted) / _MOST_POINTS))
            return sorted({*counted[::every], counted[-1]})
        # What is no number is neither more nor less than another value of its step.
        return sorted(logged, key=lambda one: (one[0], not math.isnan(one[1]), one[1]))

    def experiment_id(self, team: str, name: str) -> str | None:
        """Return the id of a team's experiment, or None."""
        found = self._experiment(team, name)
        return None if found is None else str(found["experiment_id"])

    def search_traces(self, team: str, experiment: str, limit: int) -> list[dict[str, Any]]:
        """Return the newest traces of an experiment, newest first, without what their steps did.

        Empty where there is no such experiment.
        """
        experiment_id = self.experiment_id(team, experiment)
        if experiment_id is None:
            return []
        place = {"experiment_id": experiment_id}
        body = {
            "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": place}],
            "max_results": limit,
            "order_by": ["timestamp_ms DESC"],
        }
        answer = self._rest.post(f"{_TRACES}/search", body, team=team)
        return list(answer.get("traces", ()))

    def find_trace(self, team: str, trace_id: str) -> dict[str, Any]:
        """Return one trace, as `search_traces` does. Raises NotFound."""
        if not _TRACE_ID.fullmatch(trace_id):
            raise NotFound(f"there is no trace `{excerpt(trace_id)}`")
        answer = self._rest.get(f"{_TRACES}/{trace_id}", team=team)
        found: dict[str, Any] = answer["trace"]["trace_info"]
        return found

    def trace_spans(self, team: str, trace_id: str) -> list[dict[str, Any]]:
        """Return what the steps of a trace did. Raises NotFound while that is not written."""
        answer = self._rest.get(_TRACE_DATA, {"request_id": trace_id}, team=team)
        return list(answer.get("spans", ()))

    def resolve_model(self, team: str, name: ModelName) -> ModelVersion:
        """Return the version that the reference means now.

        Raises NotFound naming what exists and the nearest name, Temporary while the version is
        being registered, Invalid when its registration failed.
        """
        try:
            row = self._version_row(team, name)
        except NotFound as err:
            raise self._no_such_model(team, name) from err
        status = row.get("status", "READY")
        if status == "PENDING_REGISTRATION":
            raise Temporary(f"model `{name.name}` version {row['version']} is being registered")
        if status != "READY":
            raise Invalid(
                f"model `{name.name}` version {row['version']} has status {status}, not READY",
                hint="register it again, or choose another version: `plinth models`",
            )
        return _model_version(team, row, tuple(row.get("aliases", ())))

    def _version_row(self, team: str, name: ModelName) -> dict[str, Any]:
        version = str(name.version) if name.alias is None else self._version_of(team, name)
        row: dict[str, Any] = self._rest.get(
            f"{API}/model-versions/get", {"name": name.name, "version": version}, team=team
        )["model_version"]
        return row

    def _version_of(self, team: str, name: ModelName) -> str:
        # Not `registered-models/alias`: it answers a missing alias like a malformed request.
        model = self._rest.get(f"{API}/registered-models/get", {"name": name.name}, team=team)
        for pair in model["registered_model"].get("aliases", ()):
            if pair["alias"] == name.alias:
                return str(pair["version"])
        raise NotFound(f"model `{excerpt(name.name)}` has no alias `{excerpt(name.alias)}`")

    def _no_such_model(self, team: str, name: ModelName) -> NotFound:
        known = self.list_models(team)
        versions = [version for version in known if version.name == name.name]
        if not versions:
            names = sorted({version.name for version in known})
            return NotFound(
                f"team `{excerpt(team)}` has no model `{excerpt(name.name)}`; "
                f"it has {_listed(names)}",
                hint=_nearest(name.name, names, "models:/{}") or "`plinth models` lists all",
            )
        if name.alias is None:
            numbers = [str(version.version) for version in versions]
            return NotFound(
                f"model `{excerpt(name.name)}` has no version {name.version}; "
                f"it has {_listed(numbers)}"
            )
        aliases = sorted({alias for version in versions for alias in version.aliases})
        newest = max(version.version for version in versions)
        hint = _nearest(name.alias, aliases, f"models:/{name.name}@{{}}")
        return NotFound(
            f"model `{excerpt(name.name)}` has no alias `{excerpt(name.alias)}`; "
            f"it has {_listed(aliases)}",
            hint=hint or f"its newest version is `models:/{name.name}/{newest}`",
        )

    def tag_model(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set tags of a model version. Idempotent. Raises NotFound when it is gone."""
        for key, value in tags.items():
            body = {"name": version.name, "version": str(version.version)}
            body |= {"key": key, "value": value}
            self._rest.post(f"{API}/model-versions/set-tag", body, team=version.team)

    def list_models(self, team: str) -> list[ModelVersion]:
        """Return every version of every model of the team, by name and falling version."""
        aliases: dict[tuple[str, int], list[str]] = {}
        for model in self._pages("registered-models/search", "registered_models", team):
            for pair in model.get("aliases", ()):
                aliases.setdefault((model["name"], int(pair["version"])), []).append(pair["alias"])
        versions = [
            _model_version(
                team, row, tuple(sorted(aliases.get((row["name"], int(row["version"])), ())))
            )
            for row in self._pages("model-versions/search", "model_versions", team)
        ]
        return sorted(versions, key=lambda version: (version.name, -version.version))

    def models_of_run(self, team: str, tracking_run_id: str) -> list[ModelVersion]:
        """Return the newest model versions that a run logged, without their aliases."""
        wanted = {"filter": f"run_id='{tracking_run_id}'", "max_results": str(_MOST_OF_RUN)}
        path = f"{API}/model-versions/search"
        rows = self._rest.get(path, wanted, team=team).get("model_versions", ())
        return [_model_version(team, row, ()) for row in rows]

    def _pages(self, path: str, field: str, team: str) -> Iterator[dict[str, Any]]:
        parameters = {"max_results": str(_PAGE)}
        while True:
            page = self._rest.get(f"{API}/{path}", parameters, team=team)
            yield from page.get(field, ())
            if not page.get("next_page_token"):
                return
            parameters["page_token"] = str(page["next_page_token"])

    def download_model(self, team: str, version: ModelVersion, folder: Path) -> Path:
        """Put the model's files into `folder` and return it.

        The folder appears whole or not at all; one that exists is taken as complete. Blocks
        while another process fetches the same folder. Raises Invalid for file names that would
        leave the folder and for artifacts MLflow does not proxy, TooLarge beyond the limits,
        NotFound when the version or its files are gone.
        """
        answer = self._rest.get(
            f"{API}/model-versions/get-download-uri",
            {"name": version.name, "version": str(version.version)},
            team=team,
        )
        return fetch_folder(self._rest, team, str(answer["artifact_uri"]), folder)


def _number(value: Any) -> float:
    """Return a metric's value: JSON has no infinity and no NaN, so MLflow writes them as texts."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _model_version(team: str, row: Mapping[str, Any], aliases: tuple[str, ...]) -> ModelVersion:
    return ModelVersion(
        team=team,
        name=row["name"],
        version=int(row["version"]),
        artifact_uri=row.get("source", ""),
        tracking_run_id=row.get("run_id") or None,
        aliases=aliases,
    )


def _listed(values: list[str]) -> str:
    shown = ", ".join(f"`{excerpt(value)}`" for value in values[:10])
    return f"{shown} and {len(values) - 10} more" if len(values) > 10 else shown or "none"


def _nearest(wanted: str, known: list[str], pattern: str) -> str | None:
    near = difflib.get_close_matches(wanted, known, 1)
    return f"did you mean `{pattern.format(near[0])}`?" if near else None
