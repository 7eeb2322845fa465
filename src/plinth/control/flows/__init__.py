"""Flows: checking them, making them ready, evaluating them, reading their traces."""
