"""Isolation of jobs from Plinth's own files, sockets and processes, in levels from 0 to 3."""

from plinth.units.isolation.probe import HIGHEST, best_level

__all__ = ["HIGHEST", "best_level"]
