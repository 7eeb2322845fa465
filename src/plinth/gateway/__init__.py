"""Envoy: its whole configuration from rows, and what its access log says."""
