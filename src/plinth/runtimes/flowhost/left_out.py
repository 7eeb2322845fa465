"""Stand in for packages that are left out of a flow's environment because they have no wheel.

Semantic Kernel imports `pybars` at its start, though only Handlebars templates need it. Without it
everything else works, and such a template is refused in words when it is made.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

_USER, _MODULE = "semantic_kernel", "pybars"


class Compiler:
    """Stands for the compiler of Handlebars templates."""

    def compile(self, *_given: Any, **_named: Any) -> Any:
        """Refuse the template. Raises ImportError."""
        raise ImportError(
            "a prompt template is written in Handlebars, which needs the package `pybars4`; it has "
            "no wheel, so it is not installed. Write the template in Semantic Kernel's own format "
            '(`template_format="semantic-kernel"`) or in Jinja (`"jinja2"`)',
            name=_MODULE,
        )


class PybarsError(Exception):
    """What the compiler would raise for a template with a mistake; nothing raises it here."""


def stand_in() -> None:
    """Offer the module `pybars` to Semantic Kernel, unless the environment has the real one."""
    if importlib.util.find_spec(_USER) is None:
        return
    if _MODULE in sys.modules or importlib.util.find_spec(_MODULE) is not None:
        return
    module = types.ModuleType(_MODULE, "See flowhost/left_out.py: the real package has no wheel.")
    module.__dict__.update({each.__name__: each for each in (Compiler, PybarsError)})
    sys.modules[_MODULE] = module
