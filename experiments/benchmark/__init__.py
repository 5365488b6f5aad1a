"""Speed as ratios within one process: `python -m experiments.benchmark loop`."""
