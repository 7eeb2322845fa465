"""Pure: a workload and what is known -> a Plan. Changes nothing."""
