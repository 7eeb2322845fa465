"""Managed environments: packages by name -> digest -> built once, locked, marked complete."""

from __future__ import annotations

from plinth.environments.environments import BuiltEnvironment, Environments
from plinth.environments.requirement import packages_for_model
from plinth.environments.spec import EnvironmentSpec, this_python

__all__ = [
    "BuiltEnvironment",
    "EnvironmentSpec",
    "Environments",
    "packages_for_model",
    "this_python",
]
