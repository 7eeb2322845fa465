"""Workspaces: starting, watching and stopping people's sessions; their files stay."""
