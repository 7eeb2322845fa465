"""Runs: submitting and stopping them, and bringing them to their end."""
