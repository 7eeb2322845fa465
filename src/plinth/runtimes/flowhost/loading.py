"""Turn what a flow's file names into an ASGI app."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from .agent import Agent, is_agent
from .host import App
from .invoking import InvokedApp, is_invoked
from .left_out import stand_in
from .traces import Traces


def load_app(folder: str, reference: str | None, traces: Traces) -> App:
    """Return the app of a prompt flow's folder, or of `module:object` in it.

    Raises whatever the flow's own code raises, TypeError for an object that cannot be served.
    What is no Exception, and would end the loop that waits for it, comes as an ImportError.
    """
    try:
        return _load(folder, reference, traces)
    except (Exception, SystemExit):
        raise
    except BaseException as err:
        raise ImportError(f"the flow's code raised {type(err).__name__} {err}".rstrip()) from err


def _load(folder: str, reference: str | None, traces: Traces) -> App:
    stand_in()
    if reference is None:
        # By name: it needs packages that only the environments of prompt flows have.
        loaded: App = importlib.import_module(f"{__package__}.prompt_flow").load(folder, traces)
        return loaded
    traces.watch_libraries()
    found = find_object(reference)
    check_takes_requests(reference, found)
    if is_agent(found):
        return InvokedApp(Agent(found))
    if is_invoked(found):
        return InvokedApp(found)
    if not callable(found):
        raise TypeError(
            f"`{reference}` is a {type(found).__name__}; an ASGI app is needed, or an object with "
            "`invoke` or `ainvoke`"
        )
    app: App = found
    return app


def check_takes_requests(reference: str, found: Any) -> None:
    """Raise TypeError for a class of such objects, and for what is called otherwise than an app."""
    takes = hasattr(found, "invoke") or hasattr(found, "ainvoke")
    # Starlette's endpoints are classes, of which each request makes an object and awaits it.
    if isinstance(found, type) and (takes or not hasattr(found, "__await__")):
        module, _, path = reference.partition(":")
        raise TypeError(
            f"`{reference}` is a class, and an object of it is needed: write `served = "
            f"{path}(...)` in `{module}`, and `app: {module}:served`"
        )
    if takes or not callable(found):
        return
    try:
        signature = inspect.signature(found)
    except ValueError:
        # Not Python's own: nobody knows how it is called.
        return
    try:
        signature.bind(None, None, None)
    except TypeError as err:
        raise TypeError(
            f"`{reference}` is called with `{signature}`; an ASGI app takes `(scope, receive, "
            "send)`. What makes an app is called in the module: `served = make_app()`"
        ) from err


def find_object(reference: str) -> Any:
    """Return the object `module:name.of.it`. Raises ImportError naming what the module has."""
    module_name, _, path = reference.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            public = [each for each in vars(found) if not each.startswith("_")]
            raise ImportError(
                f"`{module_name}` has no `{path}`; it has {', '.join(sorted(public)[:20])}"
            )
        found = getattr(found, name)
    return found
