"""Whether a workspace may have its size, and which profile it may have instead."""

from __future__ import annotations

from collections.abc import Iterator

from plinth.control.context import Context
from plinth.control.planning import PlanRefused, plan_or_refuse
from plinth.domain.plan import Plan
from plinth.domain.workspace import PROFILES, Workspace


def plan_workspace(context: Context, workload: Workspace) -> Plan:
    """Return the plan of a workspace. Raises as `plan_or_refuse`.

    Where its size is its profile's, and too much, the hint names the largest profile that fits.
    """
    try:
        return plan_or_refuse(context, workload)
    except PlanRefused as err:
        fitting = None if workload.own_resources else next(_fitting(context, workload), None)
        if fitting is not None:
            err.hint = f"profile `{fitting}` fits, the largest that does"
        raise


def _fitting(context: Context, workload: Workspace) -> Iterator[str]:
    """Yield the other profiles that fit, the largest first; a GPU only where it has a reason."""
    for name, size in reversed([*PROFILES.items()]):
        has_gpu = "accelerator" in size
        if name == workload.profile or (has_gpu and workload.gpu is None):
            continue
        try:
            plan_or_refuse(context, workload.resized(name, workload.gpu if has_gpu else None))
        except PlanRefused:
            continue
        yield name
