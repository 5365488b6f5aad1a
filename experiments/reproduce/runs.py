"""The runs of a table: every seed of every arm a run of `experiments.train`, which goes on where it was stopped."""

import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from experiments import train
from experiments.result_lines import machine
from experiments.run_directory import RunDirectory


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


def measured(directories: Sequence[RunDirectory]) -> dict[str, Any]:
    """Returns what a line says of the finished runs of an arm, seed by seed."""
    summaries = [json.loads(directory.summary.read_text()) for directory in directories]
    records = [directory.records() for directory in directories]
    last = [run[-1] for run in records]
    shots = {
        name: [100 * (1 - record[f"test_{name}"]) for record in last]
        for name in ("many_shot", "medium_shot", "few_shot")
        if all(record.get(f"test_{name}") is not None for record in last)
    }
    return {
        "errors": [100 * (1 - summary["last_test_accuracy"]) for summary in summaries],
        **({"shots": shots} if shots else {}),
        "train_loss": [record["train_loss"] for record in last],
        "epochs": summaries[0]["epochs"],
        "seconds": [summary["seconds"] for summary in summaries],
        # The first epoch compiles.
        "examples_per_second": statistics.median(r["examples_per_second"] for run in records for r in run[1:] or run),
        **machine(json.loads((directories[0].path / "environment.json").read_text())),
    }
