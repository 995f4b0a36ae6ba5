"""Workloads of all groups, jitml beside its peers: `python -m benchmarks.suite`."""
