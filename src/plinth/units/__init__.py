"""Processes on one node: the supervisor of each, and the node agent."""
