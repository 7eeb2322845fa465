"""Endpoints: applying them, checking a deployment, and moving traffic to it."""
