"""Counters of the gateway's traffic, as Prometheus scrapes them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from plinth.api.caller import CallerDep, ContextDep, needs
from plinth.control.gateway_status import metrics_text
from plinth.domain.access import Action, Resource
from plinth.metering.counters import CONTENT_TYPE

router = APIRouter(tags=["gateway"])


@router.get("/metrics", **needs(Action.READ, "usage"))
def metrics(context: ContextDep, caller: CallerDep) -> Response:
    """Return the counters of the teams whose usage the caller may see, in Prometheus' text format.

    What is counted for no team alone (durations, copies, the API's own requests) is for those who
    see the whole platform.
    """
    text = metrics_text(
        context, lambda team: caller.may(Action.READ, Resource(kind="usage", team=team))
    )
    return Response(text, media_type=CONTENT_TYPE)
