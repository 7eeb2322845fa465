"""Who looks at the console, and what every page of it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from plinth.api.caller import Caller, ContextDep, caller_of_page
from plinth.api.console.rendering import rendered
from plinth.control.context import Context
from plinth.control.gateway import GatewayReconciler
from plinth.control.status import Parts
from plinth.domain.access import Action, Resource
from plinth.domain.web_page import CONSOLE, MLFLOW, page_origin
from plinth.kit.errors import Denied

_READS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """One request of a person who signed in: who they are, and the control plane's parts."""

    caller: Caller
    context: Context
    parts: Parts

    @property
    def gateway(self) -> GatewayReconciler:
        """What knows which deployments Envoy sends requests to."""
        return self.parts.gateway

    def show(self, template: str, **values: Any) -> HTMLResponse:
        """Return the page of a template, with what the frame around every page shows."""
        return rendered(
            template,
            now=self.context.clock.now(),
            person=self.caller.actor.principal,
            sees_node=self.caller.may(Action.READ, Resource(kind="node")),
            mlflow=page_origin(MLFLOW, self.context.port),
            **values,
        )


def get_visitor(request: Request, context: ContextDep) -> Visitor:
    """Return who asks. Raises Unauthenticated, and Denied for a form of another page.

    The gateway has refused those already; a page that changes something says so itself too.
    """
    if request.method not in _READS and request.headers.get("sec-fetch-site") != "same-origin":
        raise Denied(
            "only the console's own pages may change something here",
            hint="open the console and press the button there",
            rule="strange-page",
        )
    parts: Parts = request.app.state.parts
    return Visitor(caller_of_page(request, context, CONSOLE), context, parts)


VisitorDep = Annotated[Visitor, Depends(get_visitor)]
