"""Batch inference: what it needs before it starts, how far it is, and what becomes of its end."""
