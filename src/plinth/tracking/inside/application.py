"""MLflow's application, made without searching for garbage while MLflow is imported.

What is imported stays; searching it again and again takes a quarter of the start's CPU time.
"""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Any


def create() -> Any:
    """Return the ASGI application of `guarded`. Raises what that raises."""
    gc.disable()
    application = import_module("guarded").create()
    gc.freeze()
    gc.enable()
    return application
