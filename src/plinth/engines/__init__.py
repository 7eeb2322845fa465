"""Where workloads run. A new engine implements `base.Engine` and passes its contract suite."""
