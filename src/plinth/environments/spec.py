"""What an environment holds, and the digest that names it on this kind of machine."""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import dataclass
from typing import Any

from plinth.environments.requirement import normalise
from plinth.kit.errors import Invalid
from plinth.kit.ids import digest_of

_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,3})?")
# Part of every digest: raise it when the way of building changes, so that old ones are not found.
_LAYOUT = 1


def this_python() -> str:
    """Return the version of the Python that runs Plinth, like `3.11`."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class EnvironmentSpec:
    """Packages for one version of Python.

    `packages` come out normalised, sorted and without doubles. `python`: `3.11` or `3.11.7`.
    `allow_source`: also packages without a wheel, which run their own code, with our rights,
    when they are built. Raises Invalid.
    """

    packages: tuple[str, ...]
    python: str
    allow_source: bool = False

    def __post_init__(self) -> None:
        packages = tuple(sorted({normalise(package) for package in self.packages}))
        object.__setattr__(self, "packages", packages)
        if not _PYTHON.fullmatch(self.python):
            raise Invalid(
                f"`{self.python}` is not a version of Python; accepted: like `3.11` or `3.11.7`",
                hint=f"the Python that runs Plinth is `{this_python()}`",
            )

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the packages, the Python, the machine and its C library."""
        return digest_of(json.dumps(self.to_json(), sort_keys=True).encode())

    def to_json(self) -> dict[str, Any]:
        """Return everything that the digest covers."""
        return {
            "layout": _LAYOUT,
            "packages": list(self.packages),
            "python": self.python,
            "allow_source": self.allow_source,
            "system": sys.platform,
            "machine": platform.machine(),
            "libc": "-".join(platform.libc_ver()),
        }
