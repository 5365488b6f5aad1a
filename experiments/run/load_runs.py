"""Reads finished and unfinished runs of experiments.train, and tells how their configs differ."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from flax.traverse_util import flatten_dict

from experiments.run.config import Config, as_json
from experiments.run.directory import RunDirectory, read_run
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
        """The run's directory."""
        return self.directory.path

    @property
    def options(self) -> dict[str, Any]:
        """The config, flat: every option by its name on the command line."""
        return flatten_dict(as_json(self.config), sep=".")

    @property
    def epochs(self) -> int:
        """How many epochs it has completed."""
        return self.records[-1]["epoch"]

    @property
    def shortfall(self) -> str | None:
        """A note on an unfinished run, None for a finished one."""
        if self.epochs >= self.config.epochs:
            return None
        return f"{self.path} is not finished: it has {self.epochs} of {self.config.epochs} epochs"


def load_runs(paths: Iterable[pathlib.Path]) -> list[StoredRun]:
    """Returns the runs in these directories, which have to be different runs on one dataset."""
    runs: list[StoredRun] = []
    for path in paths:
        if not path.is_dir():
            raise ValueError(f"{path} is not a directory; expected a run directory of experiments.train.")
        if any(path.samefile(run.path) for run in runs):
            raise ValueError(f"{path} is listed twice; list each run once.")
        directory, title, config = read_run(path)
        records = directory.records()
        if not records:
            raise ValueError(f"{path} has no metrics; expected a run with at least one epoch in {directory.metrics}.")
        runs.append(StoredRun(directory, title, config, records))
    if not runs:
        raise ValueError("no runs were given; expected at least one run directory of experiments.train.")
    for run in runs:
        if run.config.data.name != runs[0].config.data.name:
            raise ValueError(
                f"expected runs on the same dataset; {runs[0].path} is on {runs[0].config.data.name}, "
                f"{run.path} on {run.config.data.name}."
            )
    return runs


def group_runs(runs: Sequence[StoredRun], over: Sequence[str] = ("seed",)) -> list[list[StoredRun]]:
    """Returns groups of runs that differ only in the options in `over`, in the order of their first runs."""
    groups: dict[str, list[StoredRun]] = {}
    for run in runs:
        kept = {name: value for name, value in run.options.items() if name not in over}
        groups.setdefault(json.dumps(kept), []).append(run)
    return list(groups.values())


def differing_options(runs: Sequence[StoredRun], *, ignore: Sequence[str] = ()) -> list[list[str]]:
    """Returns for each run the options in which the runs differ, as `mix=ricap(beta=0.3)`."""
    options = [run.options for run in runs]
    names = [name for name in options[0] if name not in ignore and any(o[name] != options[0][name] for o in options)]
    return [[f"{name}={_as_typed(o[name])}" for name in names] for o in options]


def _as_typed(value: Any) -> str:
    """Returns an option's value as typed on the command line."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
