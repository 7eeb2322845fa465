"""Backup, restore, upgrade and doctor: executed on the node by the command line."""
