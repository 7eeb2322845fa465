"""How many provisioned units a trace of requests needs, and what spills to burst."""
