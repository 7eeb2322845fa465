"""The guard: a small process that holds and settles tokens a minute. Envoy asks it, nobody else."""
