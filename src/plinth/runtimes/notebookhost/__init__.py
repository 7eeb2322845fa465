"""What people open in a workspace, on the socket that it is given, telling what goes on in it.

Runs in a workspace's own environment, with no other part of Plinth: imports here are relative.
"""
