"""Runs of experiments.train as they lie in their directories, which are only read: what they were, and how they differ.

A run need not have ended: what it measured so far can be compared, and its last checkpoint looked at.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from experiments.run.config import Config, as_json
from experiments.run.directory import RunDirectory, stored_run
from jaxaug.training import Record


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run with at least one epoch."""

    directory: RunDirectory
    title: str  # the name of its config
    config: Config
    records: list[Record]

    @property
    def path(self) -> pathlib.Path:
        """Where it lies."""
        return self.directory.path

    @property
    def options(self) -> dict[str, Any]:
        """The config, flat: every option by its name on the command line."""
        return flatten_dict(as_json(self.config), sep=".")

    @property
    def epochs(self) -> int:
        """How many epochs it has."""
        return self.records[-1]["epoch"]

    @property
    def shortfall(self) -> str | None:
        """What is to be said of a run that has not all its epochs; None of one that has."""
        if self.epochs >= self.config.epochs:
            return None
        return f"{self.path} is not finished: it has {self.epochs} of {self.config.epochs} epochs"


def load_runs(paths: Iterable[pathlib.Path]) -> list[StoredRun]:
    """Returns the runs in these directories, each given once, all on one dataset."""
    runs: list[StoredRun] = []
    for path in paths:
        if not path.is_dir():
            raise ValueError(f"there is no directory {path}; that of a run of experiments.train is expected.")
        if any(path.samefile(run.path) for run in runs):
            raise ValueError(f"{path} is given twice; each run is expected once.")
        directory, title, config = stored_run(path)
        records = directory.records()
        if not records:
            raise ValueError(
                f"{path} has no metrics; a run with at least one epoch in {directory.metrics} is expected."
            )
        runs.append(StoredRun(directory, title, config, records))
    if not runs:
        raise ValueError("no run is given; the directory of at least one run of experiments.train is expected.")
    for run in runs:
        if run.config.data.name != runs[0].config.data.name:
            raise ValueError(
                f"runs on one dataset are expected; {runs[0].path} is on {runs[0].config.data.name}, "
                f"{run.path} on {run.config.data.name}."
            )
    return runs


def in_groups(runs: Sequence[StoredRun], over: Sequence[str] = ("seed",)) -> list[list[StoredRun]]:
    """Returns the runs in groups that differ in nothing but the options in `over`, in the order of their first runs."""
    groups: dict[str, list[StoredRun]] = {}
    for run in runs:
        kept = {name: value for name, value in run.options.items() if name not in over}
        groups.setdefault(json.dumps(kept), []).append(run)
    return list(groups.values())


def differing_options(runs: Sequence[StoredRun], *, besides: Sequence[str] = ()) -> list[list[str]]:
    """Returns of each run what it has where they differ, as `mix=ricap(beta=0.3)`; of runs that do not, nothing."""
    options = [run.options for run in runs]
    names = [name for name in options[0] if name not in besides and any(o[name] != options[0][name] for o in options)]
    return [[f"{name}={_as_given(o[name])}" for name in names] for o in options]


def _as_given(value: Any) -> str:
    """Returns an option's value as the command line has it."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
