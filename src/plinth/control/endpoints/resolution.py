"""Check an endpoint's file against all that is outside it, and resolve what it names.

Called before a transaction is opened: it asks MLflow and the name service. `plinth plan` asks for
the check alone, `plinth apply` for both, so that they refuse the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.credentials import take
from plinth.control.endpoints.addresses import check_address, check_no_way_back
from plinth.control.endpoints.forms import Form, form_to_begin
from plinth.control.endpoints.routing import external_id, in_effect, speaks
from plinth.control.lineage import find_lineage
from plinth.control.planning import endpoint_warnings, external_or_refuse, plan_or_refuse
from plinth.control.secrets import secret_version
from plinth.domain.endpoint_check import check_file, field_of
from plinth.domain.model import CodeOrigin, Lineage, ModelVersion
from plinth.domain.plan import Plan
from plinth.domain.workload import Endpoint, EndpointDeployment, Served
from plinth.domain.workload_fields import parse_model
from plinth.kit.errors import Conflict, Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint, find_endpoint, list_endpoints
from plinth.store.identities import has_key, list_teams


@dataclass(frozen=True, slots=True)
class Hosted:
    """What a deployment that Plinth serves comes from; an alias is a version here.

    A flow has code and no model. `form`: how its model answers at first.
    """

    model: ModelVersion | None
    plan: Plan
    lineage: Lineage | None = None
    code_digest: str | None = None
    code: CodeOrigin | None = None
    form: Form | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a file stands for. `hosted`: what Plinth serves, by deployment; `warnings`: in words."""

    hosted: dict[str, Hosted]
    warnings: list[str]


def resolve(context: Context, workload: Endpoint) -> Resolved:
    """Return what each deployment that Plinth serves comes from. `team` is set.

    Raises what `check` does; and then Invalid for a credential that cannot be sent, NotFound for a
    model that there is not, PlanRefused for what fits nowhere, Temporary when MLflow does not
    answer.
    """
    warnings = check(context, workload)
    deployments = workload.by_name()
    for name, one in deployments.items():
        if one.external is not None and one.external.secret is not None:
            id_, team = external_id(workload.name, name), workload.team or ""
            take(context, id_, workload.name, team, one.external.secret)
    hosted = {
        name: _hosted(context, workload.only(name))
        for name, one in deployments.items()
        if one.external is None
    }
    return Resolved(hosted, warnings)


def check(context: Context, workload: Endpoint) -> list[str]:
    """Return what is to be warned of, if nothing outside the file stands against it.

    `team` is set.

    Changes nothing, opens no secret, and does not ask whether what Plinth is to serve fits here.
    Raises Conflict for a name that is taken, Invalid for a runtime that there is not, for protocols
    that do not go together, a limit of nobody, and an address that is refused; NotFound for a
    secret that there is not; PlanRefused where data may not go; Temporary when the name service
    does not answer.
    """
    with context.database.read() as connection:
        check_free(find_endpoint(connection, workload.name), workload)
    check_file(
        workload,
        speaks(context.runtimes),
        port=context.port,
        allow_private=context.settings.allow_private_upstreams,
    )
    check_limits(context, workload)
    warnings = endpoint_warnings(workload)
    for name, one in workload.by_name().items():
        _check_form(context, workload, name, one)
        if one.external is not None:
            warnings += _check_external(context, workload, name, one)
    return warnings


def check_free(endpoint: StoredEndpoint | None, workload: Served) -> None:
    """Raise Conflict when another team has `endpoint` of that name, or it is being deleted."""
    if endpoint is not None and endpoint.team != (workload.team or ""):
        raise Conflict(
            f"the endpoint name `{workload.name}` is taken; names are unique in Plinth",
            hint="choose another name",
            code="name_taken",
        )
    if endpoint is not None and endpoint.desired == "delete":
        raise Conflict(
            f"endpoint `{workload.name}` is being deleted", hint="apply it again in a moment"
        )


def _check_form(context: Context, workload: Endpoint, name: str, one: EndpointDeployment) -> None:
    """Raise Invalid for an ONNX form that is asked of what answers from none."""
    if one.form != "onnx" or (one.external is None and context.runtimes[one.runtime].takes_form):
        return
    able = ", ".join(f"`{each.name}`" for each in context.runtimes.values() if each.takes_form)
    who = "somebody else serves it" if one.external else f"the runtime `{one.runtime}` has none"
    raise Invalid(
        f"`{field_of(workload, name, 'form')}` is `onnx`, but {who}; accepted: `auto`, `pyfunc`",
        hint=f"the ONNX form of a model is served by {able}",
    )


def _check_external(
    context: Context, workload: Endpoint, name: str, one: EndpointDeployment
) -> list[str]:
    """Return what is to be warned of; raise for what stands against one external deployment."""
    external, team = one.external, workload.team or ""
    assert external is not None
    where = field_of(workload, name, "external.url")
    check_no_way_back(external.url, context.port, where=where)
    warning = check_address(
        external.url,
        where=where,
        is_secret=external.secret is not None,
        allow_private=context.settings.allow_private_upstreams,
    )
    external_or_refuse(context, workload, name)
    warnings = [] if warning is None else [warning]
    if external.secret is None:
        return warnings
    with context.database.read() as connection:
        version = secret_version(connection, team, external.secret)
    if version is None:
        raise NotFound(
            f"`{field_of(workload, name, 'external.credential')}`: team `{excerpt(team)}` has no "
            f"secret `{external.secret}`",
            hint=f"`plinth secrets set {external.secret} --team {team}` keeps one",
            code="no_secret",
        )
    return warnings


def users_of(connection: Connection, team: str, secret: str) -> list[str]:
    """Return the ids of the external deployments whose credential is this secret of the team."""
    return [
        external_id(endpoint.name, name)
        for endpoint in list_endpoints(connection)
        if endpoint.team == team and endpoint.desired != "delete"
        for name, one in in_effect(endpoint).by_name().items()
        if one.external is not None and one.external.secret == secret
    ]


def check_limits(context: Context, workload: Served) -> None:
    """Raise Invalid for a limit of a team or a key that there is not: it would limit nobody."""
    with context.database.read() as connection:
        teams = {team.name for team in list_teams(connection)}
        named = [each.key for each in workload.limits if each.key is not None]
        absent = {each for each in named if not has_key(connection, each)}
    for number, limit in enumerate(workload.limits):
        if limit.team is not None and limit.team not in teams:
            raise Invalid(
                f"`limits.{number}.team`: there is no team `{limit.team}`",
                hint="`plinth teams list` shows the teams",
            )
        if limit.key in absent:
            raise Invalid(
                f"`limits.{number}.key`: there is no key `{limit.key}`",
                hint="`plinth keys list` shows the keys with their ids",
            )


def _hosted(context: Context, only: Endpoint) -> Hosted:
    plan = plan_or_refuse(context, only)
    assert only.model is not None
    model = context.tracking.resolve_model(only.team or "", parse_model(only.model))
    lineage = find_lineage(context, only.model, model)
    return Hosted(model, plan, lineage, form=form_to_begin(context, only, model))
