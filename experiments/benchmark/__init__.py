"""Benchmarks that report speed as ratios within one process: `python -m experiments.benchmark loop`."""
