"""The runs of a table: every seed of every arm a run of `experiments.train`, which goes on where it was stopped."""

import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from experiments import train
from experiments.run.directory import RunDirectory
from experiments.studies.jsonl import machine


class RunStoppedError(Exception):
    """A run ended before its time, for the reason it has printed; the status is that of the process."""

    def __init__(self, status: int):
        super().__init__(f"a run ended with status {status}")
        self.status = status


def finished(path: pathlib.Path, options: Sequence[str]) -> RunDirectory:
    """Returns the directory of a finished run, after beginning it or going on with it where that is needed.

    Raises:
      RunStoppedError: it was interrupted, or failed.
    """
    directory = RunDirectory(path)
    if not directory.summary.exists():
        begun = (path / "config.json").exists()
        place = ["--resume", str(path)] if begun else [*options, "--run-dir", str(path)]
        status = train.main([*place, "--quiet"])
        if status != 0:
            raise RunStoppedError(status)
    return directory


def measured(runs: Sequence[Sequence[RunDirectory]]) -> dict[str, Any]:
    """Returns what a line says of an arm's finished runs, for each seed its stages; the last gives the error."""
    last = [stages[-1].records()[-1] for stages in runs]
    first = [stages[0].records() for stages in runs]
    summaries = [[json.loads(stage.summary.read_text()) for stage in stages] for stages in runs]
    shots = {
        name: [100 * (1 - record[f"test_{name}"]) for record in last]
        for name in ("many_shot", "medium_shot", "few_shot")
        if all(record.get(f"test_{name}") is not None for record in last)
    }
    return {
        "errors": [100 * (1 - stages[-1]["last_test_accuracy"]) for stages in summaries],
        **({"shots": shots} if shots else {}),
        "train_loss": [record["train_loss"] for record in last],
        "epochs": sum(stage["epochs"] for stage in summaries[0]),
        "seconds": [sum(stage["seconds"] for stage in stages) for stages in summaries],
        # Of the first stage, without its first epoch, which compiles.
        "examples_per_second": statistics.median(r["examples_per_second"] for run in first for r in run[1:] or run),
        **machine(json.loads((runs[0][-1].path / "environment.json").read_text())),
    }
