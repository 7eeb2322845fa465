"""Turn what a flow's file names into an ASGI app."""

from __future__ import annotations

import importlib
from typing import Any

from .host import App
from .invoking import InvokedApp, is_invoked
from .traces import Traces


def load_app(folder: str, reference: str | None, traces: Traces) -> App:
    """Return the app of a prompt flow's folder, or of `module:object` in it.

    Raises whatever the flow's own code raises, TypeError for an object that cannot be served.
    """
    if reference is None:
        # By name: it needs packages that only the environments of prompt flows have.
        loaded: App = importlib.import_module(f"{__package__}.prompt_flow").load(folder, traces)
        return loaded
    traces.watch_libraries()
    found = find_object(reference)
    if is_invoked(found):
        return InvokedApp(found)
    if not callable(found):
        raise TypeError(
            f"`{reference}` is a {type(found).__name__}; an ASGI app is needed, or an object with "
            "`invoke` or `ainvoke`"
        )
    app: App = found
    return app


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
