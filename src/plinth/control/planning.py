"""Plan a workload before it starts, and again before it starts anew; refuse what fits nowhere.

Whoever refuses says by which rules, so that the audit log can: the API writes what a call was
refused, `hold_to_place` what a run was that starts again.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.catalog.catalog import Catalog
from plinth.catalog.inventory import load_inventory
from plinth.catalog.machine import LOCAL
from plinth.catalog.platforms import load_platforms, platform_names
from plinth.control.context import Context
from plinth.domain.access import Principal
from plinth.domain.application import Application
from plinth.domain.plan import Candidate, Outcome, Plan, Verdict
from plinth.domain.workload import Endpoint, Workload
from plinth.kit.errors import Invalid, Temporary
from plinth.planning.context import Context as PlanningContext
from plinth.planning.explain import NoPlatformFits, nearest_change, no_platform_fits
from plinth.planning.external import judge_external
from plinth.planning.named import region_warnings, with_known_names
from plinth.planning.planner import plan
from plinth.store.audit import Entry, add_entry
from plinth.store.runs import StoredRun

# What the rules of compliance have in their ids: regions, residency, isolation.
_COMPLIANCE = "R2"
_RESIDENCY = "R2.residency"
_WHERE = "`plinth inventory add local --region REGION` says where this machine stands"
# How soon a start is tried again that a damaged inventory kept from being judged.
_MENDED_S = 5.0


class PlanRefused(NoPlatformFits):
    """No platform fits. `subject` is the workload as the audit log names it.

    `rules`: the ids of those that say no, once each; `reason`: what they say, in one line.
    """

    def __init__(
        self, message: str, *, hint: str, subject: str, failing: Sequence[Verdict]
    ) -> None:
        super().__init__(message, hint=hint)
        self.subject = subject
        self.rules = tuple(dict.fromkeys(each.rule for each in failing))
        said = "; ".join(dict.fromkeys(each.reason for each in failing))
        self.reason = f"no platform fits {subject}: {said or 'none is configured'}"


def plan_or_refuse(context: Context, workload: Workload) -> Plan:
    """Return the plan. Raises PlanRefused with each candidate's reasons.

    Raises Invalid when the home's inventory was damaged, and for a region, or group of regions,
    that nobody knows. A place of which nobody knows whether data may be there is refused: what is
    open in a plan on paper is not, before a start.
    """
    made = plan(_with_known_names(workload), context.platforms(), _what_holds(context))
    open_ = [] if made.chosen is None else _unsure(made.chosen)
    if made.chosen is not None and open_:
        raise PlanRefused(
            f"`{workload.name}` may not start on `{made.chosen.platform}`: {_said(open_)}",
            hint=_WHERE,
            subject=_subject(workload),
            failing=open_,
        )
    if made.chosen is None:
        raise PlanRefused(
            no_platform_fits(made),
            hint=nearest_change(made),
            subject=_subject(workload),
            failing=[each for candidate in made.rejected for each in _failing(candidate)],
        )
    return made


def external_or_refuse(context: Context, endpoint: Endpoint, name: str) -> None:
    """Return if data may go to one of an endpoint's external deployments.

    Raises PlanRefused where the file's regions or residency forbid it, or where nobody knows.
    """
    known = _with_known_names(endpoint)
    assert isinstance(known, Endpoint)
    verdicts = judge_external(known, name, _what_holds(context))
    forbidden = [each for each in verdicts if each.outcome is not Outcome.OK]
    if not forbidden:
        return
    field = f"deployments.{name}.external.region" if endpoint.deployments else "external.region"
    raise PlanRefused(
        f"`{endpoint.name}` may not send requests to its external deployment `{name}`: "
        f"{_said(forbidden)}",
        hint=f"`{field}` says where it is processed",
        subject=_subject(endpoint),
        failing=forbidden,
    )


def endpoint_warnings(endpoint: Endpoint) -> list[str]:
    """Return what a file allows and probably does not mean, as `plinth plan` says it."""
    policy = endpoint.policy_warnings(endpoint.by_name())
    return [*policy, *region_warnings(endpoint, Catalog().regions)]


def hold_to_place(context: Context, run: StoredRun, principal: Principal) -> None:
    """Return if a run may start, again or for the first time, where it was planned.

    The rules of compliance are asked anew, since what holds may have changed after its plan, as
    where this machine stands. They are asked of the place that was chosen, and nobody else is: the
    node agent may be away, and the isolation it reached is held to at the start itself.

    Raises PlanRefused, and then the audit log says so; Temporary while the inventory cannot be
    read. Takes a transaction of its own: none may be open.
    """
    chosen = run.plan.chosen
    if chosen is None:
        return
    here = load_platforms(
        [chosen.offer] if chosen.platform == LOCAL else [],
        None,
        others={} if chosen.platform == LOCAL else {chosen.platform: [chosen.offer]},
    )
    try:
        made = plan(_spelled(run.workload), here, _what_holds(context))
    except Invalid as err:
        # A damaged file is somebody's to mend, and no reason to end what runs for good.
        raise Temporary(err.message, retry_after_s=_MENDED_S, hint=err.hint) from err
    candidates = (*((made.chosen,) if made.chosen else ()), *made.rejected)
    there = [each for each in candidates if each.platform == chosen.platform]
    failing = [
        [*(each for each in _failing(found) if _is_compliance(each)), *_unsure(found)]
        for found in there
    ]
    # One that is free of them will do; and without a candidate there is nothing to judge.
    if not failing or not all(failing):
        return
    refused = PlanRefused(
        f"`{run.workload.name}` may not start on `{chosen.platform}` any more: {_said(failing[0])}",
        hint=_WHERE if _unsure_only(failing[0]) else nearest_change(made),
        subject=_subject(run.workload),
        failing=failing[0],
    )
    entry = Entry(
        at=context.clock.now(),
        principal=principal,
        team=run.team,
        action="start",
        subject=f"run/{run.id}",
    )
    with context.database.write() as connection:
        add_entry(connection, refusal_by_plan(entry, refused))
    raise refused


def refusal_by_plan(entry: Entry, refused: PlanRefused) -> Entry:
    """Return the entry of what was asked for, as one of what the planner refused."""
    detail = {
        **entry.detail,
        "workload": refused.subject,
        "rule": ", ".join(refused.rules) or refused.code,
        "reason": refused.reason,
    }
    return entry.model_copy(update={"outcome": "denied", "detail": detail})


def _what_holds(context: Context) -> PlanningContext:
    """Return what rules read beside the place. Raises Invalid when the inventory was damaged."""
    return PlanningContext(
        known_platforms=platform_names(),
        inventory=load_inventory(context.home.catalog),
        today=context.clock.now().date(),
    )


def _with_known_names(workload: Workload) -> Workload:
    """Return it with regions as the catalog spells them, read only where it names one.

    Raises Invalid, with the nearest name, for one that nobody knows.
    """
    wanted = workload.requirements
    if not wanted.regions and wanted.residency is None:
        return workload
    # Which platforms there are is a rule's question, so the one that is asked for is let through.
    platforms = () if wanted.platform is None else (wanted.platform,)
    known = with_known_names(workload, Catalog(), platforms)
    return workload if isinstance(known, Application) else known


def _spelled(workload: Workload) -> Workload:
    """Return what was accepted once, names as they are where nobody knows them any more."""
    try:
        return _with_known_names(workload)
    except Invalid:
        return workload


def _unsure(candidate: Candidate) -> list[Verdict]:
    """Return what nobody knows of where data would be; it is no yes before a start."""
    return [
        each
        for each in candidate.verdicts
        if each.rule == _RESIDENCY and each.outcome is Outcome.UNKNOWN
    ]


def _unsure_only(verdicts: Sequence[Verdict]) -> bool:
    return all(each.outcome is Outcome.UNKNOWN for each in verdicts)


def _said(verdicts: Sequence[Verdict]) -> str:
    return "; ".join(f"{each.rule}: {each.reason}" for each in verdicts)


def _failing(candidate: Candidate) -> list[Verdict]:
    return [each for each in candidate.verdicts if each.outcome is Outcome.NOT_OK]


def _is_compliance(verdict: Verdict) -> bool:
    return verdict.rule.partition(".")[0] == _COMPLIANCE


def _subject(workload: Workload) -> str:
    return f"{workload.kind}/{workload.name}"
