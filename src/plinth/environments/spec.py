"""What an environment holds, and the digest that names it on this kind of machine."""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import dataclass
from typing import Any

from plinth.environments.requirement import name_of, normalise, plain_name
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
    when they are built. `without_dependencies`: packages of which nothing is installed that they
    depend on. `leave_out`: names of packages that are not installed, whoever asks for them. Raises
    Invalid; also when one package is named with its dependencies and without.
    """

    packages: tuple[str, ...]
    python: str
    allow_source: bool = False
    without_dependencies: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("packages", "without_dependencies"):
            packages = {normalise(package) for package in getattr(self, field)}
            object.__setattr__(self, field, tuple(sorted(packages)))
        names = {plain_name(name) for name in self.leave_out}
        object.__setattr__(self, "leave_out", tuple(sorted(names)))
        self._check_both()
        if not _PYTHON.fullmatch(self.python):
            raise Invalid(
                f"`{self.python}` is not a version of Python; accepted: like `3.11` or `3.11.7`",
                hint=f"the Python that runs Plinth is `{this_python()}`",
            )

    def _check_both(self) -> None:
        named = {name_of(package) for package in self.packages}
        twice = sorted(named.intersection(map(name_of, self.without_dependencies)))
        if twice:
            raise Invalid(
                f"`{twice[0]}` is to be installed with its dependencies and without them",
                hint="name it in `packages` or in `without_dependencies`, not in both",
            )
        unclear = sorted(set(self.leave_out).intersection(map(name_of, self.without_dependencies)))
        if unclear:
            raise Invalid(
                f"`{unclear[0]}` is to be installed without its dependencies and to be left out",
                hint="name it in `without_dependencies` or in `leave_out`, not in both",
            )

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the packages, the Python, the machine and its C library."""
        return digest_of(json.dumps(self.to_json(), sort_keys=True).encode())

    def to_json(self) -> dict[str, Any]:
        """Return everything that the digest covers."""
        # Only where they are used: what was built before a field existed keeps its digest.
        later = {
            "without_dependencies": list(self.without_dependencies),
            "leave_out": list(self.leave_out),
        }
        return {name: given for name, given in later.items() if given} | {
            "layout": _LAYOUT,
            "packages": list(self.packages),
            "python": self.python,
            "allow_source": self.allow_source,
            "system": sys.platform,
            "machine": platform.machine(),
            "libc": "-".join(platform.libc_ver()),
        }
