"""Ratios against what people would use otherwise, each `python -m benchmarks.NAME [--json]`."""
