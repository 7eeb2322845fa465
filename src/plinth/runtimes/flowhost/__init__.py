"""Serve a flow: a prompt flow's folder, or an app of one's own, each request traced to MLflow.

It runs in the flow's own environment: it imports nothing of Plinth, and of the flow's libraries
only what is there.
"""
