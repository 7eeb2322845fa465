"""Reconcilers, and the services the API calls to change intent."""
