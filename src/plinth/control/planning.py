"""Plan a workload before it starts; refuse it, with every reason, when nothing fits."""

from __future__ import annotations

from plinth.catalog.platforms import platform_names
from plinth.control.context import Context
from plinth.domain.plan import Plan
from plinth.domain.workload import Endpoint, Job
from plinth.planning.context import Context as PlanningContext
from plinth.planning.explain import require_chosen
from plinth.planning.planner import plan


def plan_or_refuse(context: Context, workload: Job | Endpoint) -> Plan:
    """Return the plan. Raises NoPlatformFits with each candidate's reasons."""
    made = plan(workload, context.platforms(), PlanningContext(known_platforms=platform_names()))
    require_chosen(made)
    return made
