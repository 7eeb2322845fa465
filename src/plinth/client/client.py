"""Call Plinth's API; the command line and Python programs use it alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn
from urllib.parse import quote

import httpx

from plinth.kit.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    PlinthError,
    Temporary,
    TooLarge,
    Unauthenticated,
)
from plinth.kit.plain_http import no_authorities

if TYPE_CHECKING:
    # Making these models takes as long as all else that a command imports, and most need none.
    from plinth.domain.batch import BatchInference
    from plinth.domain.flow import FlowEvaluation, PromptFlow
    from plinth.domain.model import CodeOrigin
    from plinth.domain.workload import AnyWorkload, Endpoint, Job
    from plinth.domain.workspace import Workspace

_TIMEOUT_S = 60.0
_CHUNK_BYTES = 1_000_000
_ERRORS: dict[int, type[PlinthError]] = {
    error.status: error
    for error in (Invalid, Unauthenticated, Denied, NotFound, Conflict, TooLarge)
}

Json = dict[str, Any]


class Client:
    """A connection to one Plinth. Every method raises a PlinthError as the API told it.

    `address`: such as `http://127.0.0.1:8470`. `key`: a key (`plk_...`).
    """

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self._http = httpx.Client(
            base_url=f"{address}/api/v1",
            headers={"authorization": f"Bearer {key}"},
            timeout=_TIMEOUT_S,
            verify=True if address.startswith("https:") else no_authorities(),
            # The gateway is on this machine; a proxy from the environment would not find it.
            trust_env=False,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- workloads ------------------------------------------------------------------------------

    def submit(
        self, job: Job, *, code_digest: str | None = None, code: CodeOrigin | None = None
    ) -> Json:
        """Write the intent to run a job; return the run. `code`: where its code came from."""
        body = {
            "workload": _declared(job),
            "code_digest": code_digest,
            "code": code.model_dump(mode="json") if code is not None else None,
        }
        return self._json("POST", "/runs", json=body)

    def put_code(self, digest: str, content: bytes, *, team: str) -> Json:
        """Upload a code snapshot under its digest."""
        return self._json("PUT", _path("code", digest), params={"team": team}, content=content)

    def put_diff(self, digest: str, content: bytes, *, team: str) -> Json:
        """Upload the uncommitted difference of a job's code under its digest."""
        return self._json("PUT", _path("diffs", digest), params={"team": team}, content=content)

    def diff(self, digest: str, *, team: str) -> bytes:
        """Return an uncommitted difference as it was uploaded."""
        return self._request("GET", _path("diffs", digest), params={"team": team}).content

    def runs(
        self,
        *,
        kind: str | None = None,
        active: bool = False,
        ends: bool = False,
        name: str | None = None,
        limit: int = 100,
    ) -> list[Json]:
        """List runs, newest first; `ends`: only those of jobs and their like, no deployments."""
        parameters: dict[str, Any] = {"active": active, "ends": ends, "limit": limit}
        if kind is not None:
            parameters["kind"] = kind
        if name is not None:
            parameters["name"] = name
        return self._list("/runs", parameters)

    def run(self, run_id: str) -> Json:
        """Show a run."""
        return self._json("GET", _path("runs", run_id))

    def stop_run(self, run_id: str) -> Json:
        """Ask a run to stop."""
        return self._json("POST", _path("runs", run_id, "stop"))

    def delete_run(self, run_id: str) -> Json:
        """Delete a run that has ended."""
        return self._json("DELETE", _path("runs", run_id))

    def logs(
        self, run_id: str, *, offset: int = 0, attempt: int | None = None, replica: int = 0
    ) -> tuple[bytes, int, str]:
        """Return what a run printed from `offset`, the next offset, and the run's phase."""
        parameters = {"offset": offset, "replica": replica}
        if attempt is not None:
            parameters["attempt"] = attempt
        answer = self._request("GET", _path("runs", run_id, "logs"), params=parameters)
        following = int(answer.headers["x-plinth-next-offset"])
        return answer.content, following, answer.headers["x-plinth-phase"]

    def apply(self, endpoint: Endpoint) -> Json:
        """Write the intent to serve; return the endpoint with `deployment` and `changed`."""
        return self._json("PUT", _path("endpoints", endpoint.name), json=_declared(endpoint))

    def check_endpoint(self, endpoint: Endpoint) -> Json:
        """Have a file refused that `apply` would refuse; nothing is changed."""
        path = _path("endpoints", endpoint.name, "check")
        return self._json("POST", path, json=_declared(endpoint))

    def apply_flow(
        self, flow: PromptFlow, *, code_digest: str, code: CodeOrigin | None = None
    ) -> Json:
        """Write the intent to serve a flow; `code_digest`: of its folder, uploaded before."""
        body = _with_code(flow, code_digest, code)
        return self._json("PUT", _path("flows", flow.name), json=body)

    def evaluate_flow(
        self, asked: FlowEvaluation, *, code_digest: str, code: CodeOrigin | None = None
    ) -> Json:
        """Write the intent to evaluate a flow over the rows in its folder; return the run."""
        return self._json("POST", "/flow-evaluations", json=_with_code(asked, code_digest, code))

    def evaluation_results(self, run_id: str) -> bytes:
        """Return what an evaluation found: a line of JSON for each row, then metrics or error."""
        path = _path("flow-evaluations", run_id, "results")
        return self._request("GET", path).content

    def flow_traces(self, name: str, *, limit: int = 20) -> list[Json]:
        """List what a flow's newest requests did, newest first."""
        return self._list(_path("flows", name, "traces"), {"limit": limit})

    def flow_trace(self, name: str, trace_id: str) -> Json:
        """Show what one request to a flow did, node by node."""
        return self._json("GET", _path("flows", name, "traces", trace_id))

    def ask_flow(self, name: str, body: Any) -> tuple[int, Json | str]:
        """Send one input to a flow through the gateway; return the status and the answer."""
        return self._flow("POST", name, "score", json=body)

    def describe_flow(self, name: str) -> tuple[int, Json | str]:
        """Ask a prompt flow that is served how it is called: an OpenAPI document."""
        return self._flow("GET", name, "swagger.json")

    def _flow(self, method: str, name: str, path: str, **options: Any) -> tuple[int, Any]:
        address = f"{self.address}{_path('flows', name, path)}"
        try:
            answer = self._http.request(method, address, timeout=None, **options)
        except httpx.HTTPError as err:
            raise Temporary(f"the call to {self.address} broke off: {err}") from err
        try:
            return answer.status_code, answer.json(parse_constant=_no_number)
        except (ValueError, RecursionError):
            return answer.status_code, answer.text

    def endpoints(self) -> list[Json]:
        """List endpoints."""
        return self._list("/endpoints")

    def endpoint(self, name: str) -> Json:
        """Show an endpoint."""
        return self._json("GET", _path("endpoints", name))

    def stop_endpoint(self, name: str) -> Json:
        """Ask an endpoint to stop serving."""
        return self._json("POST", _path("endpoints", name, "stop"))

    def delete_endpoint(self, name: str) -> Json:
        """Ask an endpoint to stop and to be forgotten."""
        return self._json("DELETE", _path("endpoints", name))

    # -- workspaces -----------------------------------------------------------------------------

    def workspace_up(self, workspace: Workspace) -> Json:
        """Write the intent to have a workspace open; return it with `changed`."""
        return self._json("PUT", _path("workspaces", workspace.name), json=_declared(workspace))

    def workspaces(self) -> list[Json]:
        """List workspaces."""
        return self._list("/workspaces")

    def workspace(self, name: str) -> Json:
        """Show a workspace."""
        return self._json("GET", _path("workspaces", name))

    def start_workspace(self, name: str) -> Json:
        """Open a workspace again, as its file says."""
        return self._json("POST", _path("workspaces", name, "start"))

    def stop_workspace(self, name: str, *, force: bool = False, ask: bool = False) -> Json:
        """Ask a workspace to stop; with `force` also while a cell runs.

        `ask`: stop nothing, and only raise what stopping it would.
        """
        how = {"force": force, "ask": ask}
        return self._json("POST", _path("workspaces", name, "stop"), json=how)

    def resize_workspace(self, name: str, profile: str, gpu: Mapping[str, Any] | None) -> Json:
        """Give a workspace that is not open another size."""
        body = {"profile": profile, "gpu": gpu}
        return self._json("POST", _path("workspaces", name, "resize"), json=body)

    def delete_workspace(self, name: str, *, force: bool = False) -> Json:
        """Ask a workspace to stop and its name to be forgotten; its files stay."""
        return self._json("DELETE", _path("workspaces", name), params={"force": force})

    # -- identities -----------------------------------------------------------------------------

    def sign_in(self, page: str) -> Json:
        """Make a link that signs one browser in for `page`; `url` and `expires_at`."""
        return self._json("POST", "/sign-in", json={"page": page})

    def whoami(self) -> Json:
        """Show the key's holder."""
        return self._json("GET", "/whoami")

    def teams(self) -> list[Json]:
        """List teams."""
        return self._list("/teams")

    def add_team(self, name: str) -> Json:
        """Add a team."""
        return self._json("POST", "/teams", json={"name": name})

    def grants(self) -> list[Json]:
        """List grants."""
        return self._list("/grants")

    def give(self, grant: Mapping[str, Any]) -> Json:
        """Give a role."""
        return self._json("POST", "/grants", json=dict(grant))

    def take(self, grant_id: str) -> Json:
        """Take a grant away."""
        return self._json("DELETE", _path("grants", grant_id))

    def keys(self, *, team: str | None = None) -> list[Json]:
        """List the keys of all teams whose keys one manages, or of one."""
        return self._list("/keys", _given(team=team))

    def create_key(self, *, team: str, name: str, role: str, days: float) -> Json:
        """Make a key; `token` in the answer is shown this once."""
        body = {"team": team, "name": name, "role": role, "days": days}
        return self._json("POST", "/keys", json=body)

    def revoke_key(self, key_id: str) -> Json:
        """Revoke a key."""
        return self._json("DELETE", _path("keys", key_id))

    def members(self, *, team: str | None = None) -> list[Json]:
        """List the members of all teams that may be seen, or of one."""
        return self._list("/members", {"team": team} if team else None)

    def add_member(self, *, team: str, name: str, role: str, days: float) -> Json:
        """Make a person a member; `token` in the answer is the first key, shown this once."""
        body = {"team": team, "name": name, "role": role, "days": days}
        return self._json("POST", "/members", json=body)

    def set_role(self, *, team: str, name: str, role: str) -> Json:
        """Give a member another role on its team."""
        return self._json("PUT", _path("members", team, name), json={"role": role})

    def remove_member(self, *, team: str, name: str) -> Json:
        """End a membership."""
        return self._json("DELETE", _path("members", team, name))

    def secrets(self, *, team: str | None = None) -> list[Json]:
        """List the secrets of all teams for which one may set any, or of one; never values."""
        return self._list("/secrets", _given(team=team))

    def set_secret(self, name: str, value: bytes, *, team: str | None = None) -> Json:
        """Keep a value as the next version of a secret; return its `version`."""
        return self._json("PUT", _path("secrets", name), params=_given(team=team), content=value)

    def delete_secret(self, name: str, *, team: str | None = None) -> Json:
        """Delete a secret; `uses` in the answer: for what it had been taken."""
        return self._json("DELETE", _path("secrets", name), params=_given(team=team))

    def rotate_master_key(self) -> Json:
        """Put a new master key in the place of the one that wraps the secrets' data keys."""
        return self._json("POST", "/master-key/rotate")

    def audit_log(self, **wanted: Any) -> list[Json]:
        """List entries of the audit log, the newest last.

        `wanted`: `since`, `until` (ISO times with their zone), `who`, `team`, `action`, `subject`,
        `outcome`, `before` (an entry's id), `limit`; None asks for no such thing.
        """
        return self._list("/audit-log", {n: v for n, v in wanted.items() if v is not None})

    # -- data, models, usage, node ---------------------------------------------------------------

    def add_data(self, name: str, path: Path, *, team: str | None = None) -> Json:
        """Upload a file as the next version of a dataset."""
        parameters = {"file_name": path.name} | ({"team": team} if team else {})
        with path.open("rb") as stream:
            return self._json(
                "PUT", _path("data", name), params=parameters, content=_chunks(stream)
            )

    def submit_batch(self, batch: BatchInference) -> Json:
        """Write the intent to answer many rows; return the run."""
        return self._json("POST", "/batches", json=_declared(batch))

    def batch(self, run_id: str) -> Json:
        """Show a batch: its run, and how far it is."""
        return self._json("GET", _path("batches", run_id))

    def batch_files(self, run_id: str) -> Json:
        """List the files that a batch has finished so far."""
        return self._json("GET", _path("batches", run_id, "files"))

    def fetch_batch_file(self, run_id: str, name: str, target: Path) -> None:
        """Bring one file of a batch; `target` is there whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        path = _path("batches", run_id, "files", *name.split("/"))
        try:
            with self._http.stream("GET", path) as answer, partial.open("wb") as file:
                if not answer.is_success:
                    answer.read()
                    raise _error_of(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
            partial.replace(target)
        except httpx.HTTPError as err:
            raise Temporary(f"the call to {self.address} broke off: {err}") from err
        finally:
            partial.unlink(missing_ok=True)

    def missing_files(self, name: str, files: Mapping[str, str], *, team: str | None) -> list[str]:
        """Return the digests of those files (name -> digest) that were not sent yet."""
        body = {"files": _named(files)}
        path, params = _path("data", name, "missing"), _given(team=team)
        found: list[str] = self._json("POST", path, json=body, params=params)["missing"]
        return found

    def put_data_file(
        self, name: str, digest: str, path: Path, *, file_name: str, team: str | None
    ) -> Json:
        """Upload one file of a version to come under its digest; return what is in it."""
        parameters = {"file_name": file_name} | _given(team=team)
        target = _path("data", name, "files", digest)
        with path.open("rb") as stream:
            return self._json("PUT", target, params=parameters, content=_chunks(stream))

    def add_data_files(
        self, name: str, files: Mapping[str, str], *, as_is: bool = False, team: str | None = None
    ) -> Json:
        """Make files that were sent (name -> digest) the next version of a dataset."""
        body = {"files": _named(files), "as_is": as_is}
        path = _path("data", name, "versions")
        return self._json("POST", path, json=body, params=_given(team=team))

    def data(self) -> list[Json]:
        """List data versions."""
        return self._list("/data")

    def data_version(self, name: str, *, version: int | None, team: str | None) -> Json:
        """Show a data version."""
        parameters: dict[str, Any] = {}
        if version is not None:
            parameters["version"] = version
        if team is not None:
            parameters["team"] = team
        return self._json("GET", _path("data", name), params=parameters)

    def data_change(
        self, name: str, *, version: int | None, to: str, team: str | None = None
    ) -> Json:
        """Say what changed from a data version to `to`, `NAME@VERSION`."""
        wanted = _given(version=version, to=to, team=team)
        return self._json("GET", _path("data", name, "diff"), params=wanted)

    def trace(self, response_id: str) -> Json:
        """Show what made the response with this `x-plinth-id`."""
        return self._json("GET", _path("trace", response_id))

    def model_lineage(
        self,
        name: str,
        *,
        alias: str | None = None,
        version: int | None = None,
        team: str | None = None,
    ) -> Json:
        """Show what a model version came from and where it serves; give alias or version."""
        wanted = _given(alias=alias, version=version, team=team)
        return self._json("GET", _path("lineage", "models", name), params=wanted)

    def data_lineage(
        self, name: str, *, version: int | None = None, team: str | None = None
    ) -> Json:
        """Show which runs read a data version, and what came of them."""
        wanted = _given(version=version, team=team)
        return self._json("GET", _path("lineage", "data", name), params=wanted)

    def models(self) -> list[Json]:
        """List model versions."""
        return self._list("/models")

    def gateway(self) -> Json:
        """Show how the gateway stands, and the traffic of the last minute."""
        return self._json("GET", "/gateway")

    def gateway_routes(self) -> list[Json]:
        """List which address goes where."""
        return self._list("/gateway/routes")

    def gateway_pairs(self, endpoint: str) -> list[Json]:
        """List an endpoint's sampled answers beside those of the copies."""
        return self._list(f"/gateway/pairs/{endpoint}")

    def gateway_tail(
        self,
        *,
        endpoint: str | None = None,
        team: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> Json:
        """List the newest requests, or those behind the `cursor` of the answer before."""
        asked = {"endpoint": endpoint, "team": team, "after": after, "limit": limit}
        parameters = {name: value for name, value in asked.items() if value is not None}
        return self._json("GET", "/gateway/tail", params=parameters)

    def metrics(self) -> str:
        """Return the gateway's counters as Prometheus scrapes them."""
        return self._request("GET", "/metrics").text

    def usage(self) -> list[Json]:
        """List what was used, by team and workload."""
        return self._list("/usage")

    def bill(
        self,
        *,
        by: str | None = None,
        since: str | None = None,
        until: str | None = None,
        team: str | None = None,
    ) -> Json:
        """Bill what was used; what is not said is as the server has it: this month so far."""
        parameters = {"by": by, "from": since, "to": until, "team": team}
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._json("GET", "/bill", params=given)

    def prices(self) -> list[Json]:
        """List every price that is, was or will be in force."""
        return self._list("/prices")

    def state_price(
        self, sku: str, amount: str, *, currency: str, valid_from: str | None = None
    ) -> Json:
        """State a price from a time on, or from now; return it."""
        body = {"sku": sku, "amount": amount, "currency": currency, "valid_from": valid_from}
        return self._json("POST", "/prices", json=body)

    def usage_gaps(self) -> list[Json]:
        """List the times whose requests may be missing in the usage, oldest first."""
        return self._list("/usage/gaps")

    def status(self, *, memory: bool = False) -> Json:
        """Show the node."""
        return self._json("GET", "/status", params={"memory": memory})

    def unit_logs(self, unit_id: str, *, offset: int = 0) -> tuple[bytes, int]:
        """Return what a unit of the system printed from `offset`, and the next offset."""
        answer = self._request("GET", _path("units", unit_id, "logs"), params={"offset": offset})
        return answer.content, int(answer.headers["x-plinth-next-offset"])

    def version(self) -> Json:
        """Return the server's version."""
        return self._json("GET", "/version")

    # -- how a call is made ---------------------------------------------------------------------

    def _json(self, method: str, path: str, **options: Any) -> Json:
        answer: Json = _content(self._request(method, path, **options))
        return answer

    def _list(self, path: str, params: Mapping[str, Any] | None = None) -> list[Json]:
        answer: list[Json] = _content(self._request("GET", path, params=params))
        return answer

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.ConnectError as err:
            raise Temporary(
                f"nothing answers at {self.address}",
                hint="`plinth up --detach` starts Plinth; `plinth status` looks at it",
                code="not_running",
            ) from err
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as err:
            raise Invalid(
                f"`{self.address}` is not an address; write it like `http://127.0.0.1:8470`",
                hint="PLINTH_ADDRESS names another Plinth than this machine's own",
            ) from err
        except httpx.HTTPError as err:
            raise Temporary(f"the call to {self.address} broke off: {err}") from err
        if answer.is_success:
            return answer
        raise _error_of(answer)


def _with_code(
    workload: PromptFlow | FlowEvaluation, code_digest: str, code: CodeOrigin | None
) -> Json:
    origin = code.model_dump(mode="json") if code is not None else None
    return {"workload": _declared(workload), "code_digest": code_digest, "code": origin}


def _declared(workload: AnyWorkload) -> Json:
    # Only what the file says: what is left out stays the server's default, and says so.
    return {"kind": workload.kind, **workload.model_dump(mode="json", exclude_unset=True)}


def _named(files: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "digest": digest} for name, digest in files.items()]


def _given(**parameters: Any) -> Json:
    return {name: value for name, value in parameters.items() if value is not None}


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _path(*parts: str) -> str:
    # A name is one part of the path, whatever a person wrote.
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _content(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as err:
        raise PlinthError(
            f"`{answer.url}` answered, but not as Plinth does",
            hint="check the address: PLINTH_ADDRESS, or `plinth status`",
        ) from err


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _error_of(answer: httpx.Response) -> PlinthError:
    try:
        body = answer.json()["error"]
        message, hint, code = str(body["message"]), body.get("hint"), body.get("code")
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        message, hint, code = f"answer {answer.status_code}: {answer.text[:300]}", None, None
    if answer.status_code in (408, 429, Temporary.status):
        return Temporary(message, hint=hint, code=code)
    return _ERRORS.get(answer.status_code, PlinthError)(message, hint=hint, code=code)
