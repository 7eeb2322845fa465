"""The hosts of pages: signing in and out at each, the console's own, and the way to it."""

from __future__ import annotations

from plinth.domain.traffic import SIGN_IN_PATH, SIGN_OUT_PATH
from plinth.domain.web_page import CONSOLE, page_authority
from plinth.gateway.browser import front_match, own_page
from plinth.gateway.envoy_types import Json
from plinth.gateway.gate import allow_all, allow_anybody
from plinth.gateway.places import host_place
from plinth.gateway.route import UNSENT, by_method, retry, to_control, to_control_as
from plinth.gateway.state import GatewayState

# What the control plane calls the console's pages, which it serves beside its own interface.
CONSOLE_PATH = "/console/"


def sign_in_routes(count: int) -> list[Json]:
    """Route signing in and out to the control plane, which alone knows the codes."""
    return [
        {
            "name": "sign-in",
            "match": {"path": path},
            "route": to_control(count),
            "typed_per_filter_config": allowed,
        }
        # Who follows the link to sign in has no key yet.
        for path, allowed in ((SIGN_IN_PATH, allow_anybody()), (SIGN_OUT_PATH, allow_all()))
    ]


def console_host(state: GatewayState) -> Json:
    """Return the virtual host of the console, whose pages the control plane makes.

    It sees the cookie: it verifies by itself who asks. Its interface for programs is not here.
    """
    count = len(state.control_planes)
    reads: Json = {"prefix": "/", **by_method("GET|HEAD")}
    found = [
        {"match": reads, "route": to_control_as(CONSOLE_PATH, count)},
        {"match": {"prefix": "/"}, "route": {**to_control(count), "prefix_rewrite": CONSOLE_PATH}},
    ]
    pages = [{"name": "console", **each, "typed_per_filter_config": allow_all()} for each in found]
    return {
        "name": "console",
        "domains": [host_place(page_authority(CONSOLE, state.port))],
        "routes": [*sign_in_routes(count), *pages],
        "retry_policy": retry(f"{UNSENT},retriable-headers"),
        "typed_per_filter_config": own_page(CONSOLE, state.port),
    }


def front_route(port: int) -> Json:
    """Lead a browser that opens the plain address to the console."""
    return {
        "name": "front",
        "match": front_match(port),
        "redirect": {
            "host_redirect": page_authority(CONSOLE, port),
            "response_code": "SEE_OTHER",
        },
        "typed_per_filter_config": allow_anybody(),
    }
