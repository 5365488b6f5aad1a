"""Experiment scripts, their configs and benchmarks: `python -m experiments.train --help`."""
