"""Standard augmentation, cutout, mixup and RICAP side by side: `python -m experiments.studies.mixing --data-dir DIR`.

Every arm trains the config `cifar10-small` with the same seeds, so also the same images, initial weights and order.
A finished run is one line in results/cifar10_mixing.jsonl; the page beside it, .md, is made from those lines alone.
What was interrupted goes on where it stopped.
"""

import dataclasses
import json
import pathlib
import statistics
import sys
from typing import Any

import tyro

from experiments.run.directory import environment_in_words, replace_text
from experiments.studies.jsonl import machine, read_jsonl, write_jsonl
from experiments.studies.papers.runs import RunStoppedError, finished

STANDARD = ["crop(padding=4)", "flip_left_right"]
ARMS = {
    "standard": ["--augment", *STANDARD],
    "cutout": ["--augment", *STANDARD, "cutout(size=16, fill='mean')"],
    "mixup": ["--augment", *STANDARD, "--mix", "mixup(alpha=1.0)"],
    "ricap": ["--augment", *STANDARD, "--mix", "ricap(beta=0.3)"],
}


@dataclasses.dataclass(frozen=True)
class Command:
    """Where the data is, and how much to run."""

    data_dir: pathlib.Path
    """Where the TFDS dataset cifar10 lies."""
    config: str = "cifar10-small"
    """The config that every arm changes."""
    seeds: int = 3
    """Seeds per arm."""
    runs: pathlib.Path = pathlib.Path("runs/cifar10_mixing")
    """Where the runs are kept."""
    results: pathlib.Path = pathlib.Path("results/cifar10_mixing.jsonl")
    """One line per finished run; the page with the table is written beside it, as .md."""


def options(command: Command, arm: str, seed: int) -> list[str]:
    """Returns the arguments of `experiments.train` for one run, without what depends on the machine."""
    return [command.config, *ARMS[arm], "--seed", str(seed)]


def finished_line(command: Command, arm: str, seed: int) -> dict[str, Any]:
    """Runs one arm with one seed, and returns its line of results."""
    print(f"{arm}, seed {seed}", flush=True)
    own = [*options(command, arm, seed), "--data.data-dir", str(command.data_dir)]
    directory = finished(command.runs / f"{arm}-{seed}", own)
    summary = json.loads(directory.summary.read_text())
    environment = json.loads((directory.path / "environment.json").read_text())
    records = directory.records()
    return {
        "arm": arm,
        "seed": seed,
        "command": ["python", "-m", "experiments.train", *options(command, arm, seed), "--data.data-dir", "DIR"],
        "test_accuracy": summary["last_test_accuracy"],
        "train_loss": records[-1]["train_loss"],
        "epochs": summary["epochs"],
        # The first epoch compiles.
        "examples_per_second": statistics.median(r["examples_per_second"] for r in records[1:] or records),
        "seconds": summary["seconds"],
        "params_sha256": summary["params_sha256"],
        **machine(environment),
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Returns the Markdown table of the arms: error, mean and deviation over seeds, and speed."""
    rows = [
        "| arm | test error, % | difference to standard, same seeds | train loss | examples/s | seeds | epochs |",
        "|---|---|---|---|---|---|---|",
    ]
    errors = {arm: {r["seed"]: 100 * (1 - r["test_accuracy"]) for r in lines if r["arm"] == arm} for arm in ARMS}
    for arm in ARMS:
        runs = [r for r in lines if r["arm"] == arm]
        if not runs:
            continue
        paired = [errors[arm][seed] - errors["standard"][seed] for seed in errors[arm] if seed in errors["standard"]]
        rows.append(
            f"| {arm} | {spread(list(errors[arm].values()))} | {'-' if arm == 'standard' else spread(paired, '+')} "
            f"| {statistics.mean(r['train_loss'] for r in runs):.3f} "
            f"| {statistics.median(r['examples_per_second'] for r in runs):,.0f} "
            f"| {len(runs)} | {runs[0]['epochs']} |"
        )
    return "\n".join(rows) + "\n"


def page(lines: list[dict[str, Any]]) -> str:
    """Returns the Markdown page: the table, how each run was made, and on what."""
    # In double quotes, since an option may hold single ones: cutout(fill='mean').
    commands = "\n".join(" ".join(f'"{a}"' if "(" in a else a for a in line["command"]) for line in lines)
    machines = sorted({environment_in_words(line) for line in lines})
    return f"""# CIFAR-10 under standard augmentation, cutout, mixup and RICAP

Written by `python -m experiments.studies.mixing --data-dir DIR` from the lines of
[cifar10_mixing.jsonl](cifar10_mixing.jsonl).

{table(lines)}
Error of the last epoch on all test images, mean ± sample standard deviation over the seeds. Differences are taken seed
by seed: the arms share images, initial weights and order. The training loss is that of the augmented images with their
mixed labels, so it cannot fall to zero under mixup and RICAP. Examples/s is the median over epochs and runs, the first
epoch of a run left out.

```sh
{commands}
```

{"; ".join(machines)}.
"""


def spread(values: list[float], sign: str = "") -> str:
    """Returns mean ± sample standard deviation."""
    if len(values) < 2:
        return " ".join(f"{value:{sign}.2f}" for value in values)
    return f"{statistics.mean(values):{sign}.2f} ± {statistics.stdev(values):.2f}"


def main() -> int:
    """Runs what is not yet in the results, seed by seed, so that an interrupted table is still a comparison."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.mixing")
    for seed in range(command.seeds):
        for arm in ARMS:
            lines = read_jsonl(command.results)
            if any(line["arm"] == arm and line["seed"] == seed for line in lines):
                continue
            try:
                line = finished_line(command, arm, seed)
            except RunStoppedError as stopped:
                return stopped.status
            write_jsonl(command.results, [*lines, line])
            print(table(read_jsonl(command.results)), flush=True)
    replace_text(command.results.with_suffix(".md"), page(read_jsonl(command.results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
