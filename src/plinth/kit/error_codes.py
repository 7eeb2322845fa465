"""Every code that an error may carry, with its HTTP status and what it means.

`docs/reference/errors.md` is rendered from here; a test fails when the source uses another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What one code means. `status`: the HTTP status it comes with, a dash where it has none."""

    status: str
    text: str


CODES: Mapping[str, ErrorCode] = {
    "administrator": ErrorCode("409", "The administrator who lets others in stays one."),
    "agent_failed": ErrorCode("-", "The node agent did not start; its log says why."),
    "backup_damaged": ErrorCode("400", "The backup was changed or cut; nothing was touched."),
    "busy": ErrorCode("429", "Others use all there is of it; again after a while."),
    "body_too_large": ErrorCode("413", "A request to a chat model has more than 4 MiB."),
    "context_length_exceeded": ErrorCode("400", "The prompt fills the model's context; send less."),
    "generation_failed": ErrorCode("5xx", "The chat model failed on its way; ask again."),
    "loading": ErrorCode("503", "The chat model is being loaded; again in a moment."),
    "model_not_found": ErrorCode("404", "No such model answers here; `GET /v1/models` lists."),
    "queue_full": ErrorCode("503", "Too many requests wait for the model; again in a moment."),
    "unsupported_parameter": ErrorCode("400", "The chat model's server has no such thing."),
    "conflict": ErrorCode("409", "It stands against what is there; the message says what."),
    "converting_model": ErrorCode("503", "The model's ONNX form is being looked for."),
    "database_busy": ErrorCode("503", "Another writer holds the database; again in a moment."),
    "database_damaged": ErrorCode("500", "SQLite calls a database damaged; restore a backup."),
    "denied": ErrorCode("403", "The caller is known and may not do this; the message says why."),
    "deployment_failed": ErrorCode("-", "The endpoint's new deployment did not become ready."),
    "disk_full": ErrorCode("503", "The disk is full; nothing was changed. Free some space."),
    "driver_missing": ErrorCode("-", "PostgreSQL's driver is not installed; the hint says how."),
    "failed": ErrorCode("400", "It failed; the message says how."),
    "file_exists": ErrorCode("409", "A backup takes no file's place; another name, or `--force`."),
    "flow_failed": ErrorCode("-", "The flow answered an input with an error."),
    "gateway_refuses": ErrorCode("-", "The gateway refuses the endpoint; its routes stay."),
    "home_in_use": ErrorCode("409", "Plinth runs in that home; `plinth down`, or another home."),
    "home_not_empty": ErrorCode("409", "A backup is restored into an empty home only."),
    "internal": ErrorCode("500", "Plinth made a mistake; `plinth logs control` has it."),
    "invalid": ErrorCode("400", "What was sent cannot be accepted; the message says what can."),
    "invalid_file": ErrorCode("400", "The workload's file has mistakes, each with its line."),
    "jobs_running": ErrorCode(
        "-", "`plinth down` would stop jobs, batches or cells; wait, or `--force`."
    ),
    "key_expired": ErrorCode("401", "The key has expired; ask for a new one."),
    "key_forged": ErrorCode("401", "The signature does not fit: it is no key of this Plinth."),
    "key_malformed": ErrorCode("401", "This is no key of Plinth; keys start with `plk_`."),
    "key_missing": ErrorCode("401", "The request has no key."),
    "key_of_page": ErrorCode(
        "401", "A browser's key counts on the page it signed in to, another key on no page."
    ),
    "key_revoked": ErrorCode("401", "The key was revoked or its holder is gone."),
    "key_unknown_signer": ErrorCode("401", "The key was signed by a signing key that is gone."),
    "limit_reached": ErrorCode("429", "A limit is used up; `Retry-After` says when there is more."),
    "loop": ErrorCode("508", "A request went out to a server elsewhere and came back here."),
    "malformed": ErrorCode("422", "A field is missing, unknown or of another type."),
    "member_exists": ErrorCode("409", "The team has a member of that name."),
    "method_not_allowed": ErrorCode("405", "The address is there, and not for this method."),
    "http_error": ErrorCode("4xx", "The request is no proper HTTP for this address."),
    "mixed_protocols": ErrorCode("400", "Deployments of one endpoint speak different protocols."),
    "name_taken": ErrorCode("409", "The endpoint's name belongs to another team."),
    "newer_home": ErrorCode("409", "A newer Plinth wrote it; install that one, or restore."),
    "no_platform_fits": ErrorCode("400", "No platform fits the workload; each reason is told."),
    "no_onnx_form": ErrorCode("400", "The file asks for an ONNX form that the model has not."),
    "no_secret": ErrorCode("404", "The file names a secret that the team does not have."),
    "not_found": ErrorCode("404", "It does not exist, or the caller may not see it."),
    "not_ready": ErrorCode("-", "A part of Plinth is not ready; `plinth status` shows which."),
    "not_running": ErrorCode("-", "No Plinth runs here; `plinth up` starts it."),
    "own_membership": ErrorCode("409", "Nobody changes or ends their own membership."),
    "permanent": ErrorCode("500", "It failed and will fail again until somebody acts."),
    "port_taken": ErrorCode("-", "Another program has the port; choose one with `--port`."),
    "private_address": ErrorCode("400", "An external model may not stand in our own network."),
    "probe_failed": ErrorCode("-", "`plinth doctor` found something; it says what to do."),
    "run_failed": ErrorCode("-", "The run ended and did not succeed."),
    "stale_order": ErrorCode("503", "Whoever gave the order may no longer: another has the work."),
    "strange_page": ErrorCode("403", "Another page made a signed-in browser ask for this."),
    "team_exists": ErrorCode("409", "There is a team of that name."),
    "timeout": ErrorCode("408, 504", "It took too long to arrive, or to be answered."),
    "too_large": ErrorCode("413, 431", "More was sent than is accepted."),
    "too_slow": ErrorCode("408", "The body did not arrive in time."),
    "trace_elsewhere": ErrorCode("404", "Another than Plinth made the response, elsewhere."),
    "trace_expired": ErrorCode("404", "The response is older than what traces are kept for."),
    "unauthenticated": ErrorCode("401", "Nobody knows who is asking."),
    "unavailable": ErrorCode("502, 503", "Who should answer is away; again after a moment."),
    "upgrade_failed": ErrorCode("500", "MLflow could not upgrade its database; its words tell."),
    "upgrade_needed": ErrorCode("409", "`plinth upgrade` must bring MLflow's database forward."),
    "workspace_open": ErrorCode("409", "It is open; `plinth workspace resize` stops it first."),
    "workspace_busy": ErrorCode(
        "409", "A cell runs in the workspace: wait for it, or stop it with `force`."
    ),
}
