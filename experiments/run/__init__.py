"""The machinery of a run: config, build, trainer, directory, signals, processes and console."""
