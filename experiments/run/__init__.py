"""The machinery of a run: its config, what it is built of, its directory, processes, signals and console."""
