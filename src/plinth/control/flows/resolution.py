"""Check a flow's file and folder against all that is outside it, before it is applied.

Called before a transaction is opened: it unpacks the folder.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from plinth.control.context import Context
from plinth.control.endpoints.resolution import Hosted, check_limits
from plinth.control.flows.preparation import flow_environment
from plinth.control.planning import plan_or_refuse
from plinth.control.preparation import code_key
from plinth.domain.dag import flow_problems
from plinth.domain.flow import FlowEvaluation, PromptFlow
from plinth.domain.model import CodeOrigin
from plinth.domain.plan import Plan
from plinth.kit.archive import unpack
from plinth.kit.errors import Invalid
from plinth.kit.files import read_text_below

_UPLOAD = "`PUT /api/v1/code/DIGEST` first; `plinth apply` does"


def resolve_flow(
    context: Context, flow: PromptFlow, code_digest: str, code: CodeOrigin | None
) -> Hosted:
    """Return what the flow's deployment comes from. `team` is set.

    Raises Invalid for a folder that was not uploaded, a DAG that cannot run and an app that is not
    there, naming the node or module; PlanRefused for what fits nowhere.
    """
    check_limits(context, flow)
    check_folder(context, flow, code_digest)
    plan = plan_or_refuse(context, flow.only(""))
    return Hosted(None, plan, code_digest=code_digest, code=code)


def check_folder(context: Context, flow: PromptFlow | FlowEvaluation, code_digest: str) -> None:
    """Raise Invalid with what keeps the uploaded folder, or its environment, from running so."""
    if flow.environment.file is not None:
        raise Invalid(
            "`environment.file` names a file on the caller's machine",
            hint="send its lines as `environment.packages`; `plinth apply` does",
        )
    # What could not be built is told now, and not by the build.
    flow_environment(flow, context.runtimes[flow.runtime])
    key = code_key(flow.team or "", code_digest)
    archive = context.storage.local_path(key)
    if archive is None or not context.storage.exists(key):
        raise Invalid(f"the code snapshot {code_digest[:12]} was not uploaded", hint=_UPLOAD)
    with tempfile.TemporaryDirectory(prefix="plinth-flow-") as folder:
        unpack(archive, Path(folder))
        found = flow_problems(
            app=flow.app,
            connections=flow.connections,
            read=lambda name: read_text_below(Path(folder), name),
        )
    if found:
        raise Invalid("\n".join(found), hint="correct the flow and apply it again")


def resolve_evaluation(context: Context, workload: FlowEvaluation, code_digest: str) -> Plan:
    """Check an evaluation's folder as a flow's, and return its plan. Raises as `resolve_flow`."""
    check_folder(context, workload, code_digest)
    return plan_or_refuse(context, workload)
