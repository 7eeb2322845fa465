"""The HTTP API: thin routers, one for each resource."""
