"""Measures an arm by runs of `experiments.train`, one for each seed, that resume where they were interrupted."""

import hashlib
import json
import pathlib
import shlex
import statistics
from collections.abc import Sequence
from typing import Any

from experiments import train
from experiments.run.directory import RunDirectory
from experiments.studies.recipe import resolve
from experiments.studies.study import Job, Measured, RunStoppedError


def train_runs(job: Job) -> Measured:
    """Returns what the runs of a job's seeds measured.

    Raises:
      RunStoppedError: a run was interrupted, or failed.
    """
    runs: list[tuple[RunDirectory, ...]] = []
    for seed in range(job.seeds):
        job.announce(f"seed {seed}")
        path = job.runs / f"{run_name(job.options)}-{seed}"
        stages = [finished_run(path, [*resolve(job.options, job.paths), "--seed", str(seed)])]
        if job.study.second_stage:
            options = [*job.options, *second_stage(stages[0]), "--features-from", str(path)]
            again = path.with_name(f"{path.name}-second")
            stages.append(finished_run(again, [*resolve(options, job.paths), "--seed", str(seed)]))
        runs.append(tuple(stages))
    return measured(runs)


def run_name(options: Sequence[str]) -> str:
    """Returns the name of a run, which follows from what it does: runs that several studies need are done once."""
    return f"{options[0]}-{hashlib.sha256(shlex.join(options).encode()).hexdigest()[:12]}"


def second_stage(first: RunDirectory) -> list[str]:
    """Returns what changes in the second stage: a sixth of the epochs, a plain classifier, classes equally often."""
    epochs = max(1, first.records()[-1]["epoch"] // 6)
    return ["--epochs", str(epochs), "--head", "None", "--logit-adjustment", "0", "--data.sampling", "class_balanced"]


def finished_run(path: pathlib.Path, options: Sequence[str]) -> RunDirectory:
    """Returns the directory of a finished run, after starting or resuming it if necessary."""
    directory = RunDirectory(path)
    if not directory.summary.exists():
        started = (path / "config.json").exists()
        place = ["--resume", str(path)] if started else [*options, "--run-dir", str(path)]
        status = train.main([*place, "--quiet"])
        if status != 0:
            raise RunStoppedError(status)
    return directory


def measured(runs: Sequence[Sequence[RunDirectory]]) -> Measured:
    """Returns what finished runs measured, for each seed its stages; the last stage gives the error."""
    last: list[Any] = [stages[-1].records()[-1] for stages in runs]
    first: list[Any] = [stages[0].records() for stages in runs]
    summaries = [[json.loads(stage.summary.read_text()) for stage in stages] for stages in runs]
    shots = {
        name: [100 * (1 - record[f"test_{name}"]) for record in last]
        for name in ("many_shot", "medium_shot", "few_shot")
        if all(record.get(f"test_{name}") is not None for record in last)
    }
    return Measured(
        errors=[100 * (1 - stages[-1]["last_test_accuracy"]) for stages in summaries],
        metrics={
            **shots,
            "train_loss": [record["train_loss"] for record in last],
            "epochs": sum(stage["epochs"] for stage in summaries[0]),
            # Of the first stage, without its first epoch, which compiles.
            "examples_per_second": statistics.median(r["examples_per_second"] for run in first for r in run[1:] or run),
        },
        seconds=[sum(stage["seconds"] for stage in stages) for stages in summaries],
        environment=json.loads((runs[0][-1].path / "environment.json").read_text()),
    )
