"""Self-paced augmentation beside all and none, on small data: `python -m experiments.studies.self_paced`.

Every arm has the same seeds, so also the same examples, initial weights and order; each is compared with "all", seed by
seed. A finished row is one line in results/self_paced.jsonl, and the page beside it, .md, is made from those lines
alone; what is there already is not run again. The table of CIFAR-10 is added with `--data-dir DIR`.
"""

import dataclasses
import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
import tyro

from experiments.run.build import normalization
from experiments.run.directory import environment, environment_in_words, replace_text
from experiments.studies.downsample import downsample
from experiments.studies.jsonl import error_percent, machine, mean_text, paired_texts, read_jsonl, write_jsonl
from experiments.studies.train_seeds import train_seeds
from jaxaug import chain, create_model, crop, data, flip_left_right, gaussian_noise, on_images, rotate
from jaxaug.compose import Augmentation
from jaxaug.sampling import Strategy, always, never, quantile, self_paced
from jaxaug.training import Record

THRESHOLDS = (0.1, 0.5, 1.0)
PIXELS = chain(on_images(crop, padding=1), on_images(rotate, degrees=15.0))
NOISE = on_images(gaussian_noise, stddev=0.3)


@dataclasses.dataclass(frozen=True)
class Command:
    """How much to run."""

    data_dir: pathlib.Path | None = None
    """Where the TFDS dataset cifar10 lies; without it that table is left out."""
    seeds: int = 20
    """Seeds of the small networks."""
    steps: int = 2000
    """Steps of the small networks."""
    cifar_seeds: int = 5
    """Seeds on CIFAR-10."""
    cifar_steps: int = 800
    """Steps on CIFAR-10."""
    cifar_side: int = 16
    """Images of CIFAR-10 are averaged down to this side."""
    results: pathlib.Path = pathlib.Path("results/self_paced.jsonl")
    """One line per finished row; the page is written beside it, as .md."""


Arms = dict[str, Callable[[Augmentation], Strategy]]


def arms() -> Arms:
    """Returns every strategy that is compared, by name."""
    found: Arms = {"none": lambda augment: never(), "all": always}
    for direction in ("above", "below"):
        for tau in THRESHOLDS:
            found[f"{direction} {tau}"] = lambda augment, d=direction, t=tau: self_paced(
                augment, threshold=t, direction=d
            )
    for tau in THRESHOLDS:
        found[f"above {tau}, stored"] = lambda augment, t=tau: self_paced(augment, threshold=t, score="stored")
    found["harder half"] = lambda augment: self_paced(augment, threshold=quantile(0.5))
    return found


# On CIFAR-10 a run takes minutes, so one threshold stands for three.
CIFAR_ARMS = ("none", "all", "above 0.5", "below 0.5", "above 0.5, stored", "harder half")


def small_row(command: Command, name: str, count: int | None, arm: str) -> dict[str, Any]:
    """Returns the accuracies of an MLP on digits or a table, over the seeds together."""
    full = data.load(name)
    seeds = range(command.seeds)
    datasets = [full if count is None else data.subset(full, count, seed=seed) for seed in seeds]
    size = len(datasets[0].train.labels)
    batch_size = min(64, size)
    _, runs = train_seeds(
        datasets,
        create_model("mlp", full.num_classes),
        arms()[arm](PIXELS if name == "digits" else NOISE),
        seeds=seeds,
        epochs=max(1, round(command.steps / math.ceil(size / batch_size))),
        batch_size=batch_size,
        learning_rate=0.05,
        normalize=normalization(full),
    )
    return accuracies_and_shares(runs)


def accuracies_and_shares(runs: list[list[Record]]) -> dict[str, Any]:
    """Returns what a row holds: the accuracies after training, and the shares augmented at its ends."""
    shares = np.array([[record["augmented"] for record in run] for run in runs]).mean(axis=0)
    tenth = math.ceil(len(shares) / 10)
    return {
        "accuracies": [run[-1]["test_accuracy"] for run in runs],
        "share_first": float(shares[:tenth].mean()),
        "share_last": float(shares[-tenth:].mean()),
    }


def cifar_row(command: Command, count: int, arm: str) -> dict[str, Any]:
    """Returns the accuracies of the narrowest WRN on a subset of CIFAR-10, one seed after another."""
    full = downsample(data.load("cifar10", data_dir=command.data_dir), command.cifar_side)
    batch_size = 128
    epochs = round(command.cifar_steps * batch_size / count)
    seeds = range(command.cifar_seeds)
    _, runs = train_seeds(
        [data.subset(full, count, seed=seed) for seed in seeds],
        create_model("wrn_10_1", full.num_classes),
        arms()[arm](chain(on_images(crop, padding=command.cifar_side // 8), on_images(flip_left_right))),
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.1,
        normalize=normalization(full),
    )
    return accuracies_and_shares(runs) | {"epochs": epochs}


def rows(command: Command) -> list[tuple[str, int | None, str]]:
    """Returns dataset, examples and arm of every row."""
    found = [("digits", count, arm) for count in (100, 300, 1000, None) for arm in arms()]
    found += [(name, None, arm) for name in ("breast_cancer", "wine") for arm in arms()]
    if command.data_dir is not None:
        found += [("cifar10", count, arm) for count in (1000, 5000) for arm in CIFAR_ARMS]
    return found


def table(lines: list[dict[str, Any]], dataset: str, count: int | None) -> str:
    """Returns the Markdown table of the arms on one dataset."""
    arms_here = {line["arm"]: line for line in lines if (line["dataset"], line["examples"]) == (dataset, count)}
    if "all" not in arms_here:
        return ""
    base = error_percent(arms_here["all"])
    out = [
        f"\n## {dataset}, {'all' if count is None else count} training examples, {len(base)} seeds\n",
        "| augmented | test error, % | difference to all | p | share augmented, first to last tenth |",
        "|---|---|---|---|---|",
    ]
    for arm, line in arms_here.items():
        error = error_percent(line)
        difference, p = ("-", "-") if arm == "all" else paired_texts(error, base, scipy.stats.sem)
        share = f"{line['share_first']:.2f} to {line['share_last']:.2f}"
        out.append(f"| {arm} | {mean_text(error, scipy.stats.sem)} | {difference} | {p} | {share} |")
    return "\n".join(out) + "\n"


def page(lines: list[dict[str, Any]]) -> str:
    """Returns the Markdown page."""
    machines = sorted({environment_in_words(line) for line in lines})
    commands = sorted({line["command"] for line in lines})
    order = list(dict.fromkeys((line["dataset"], line["examples"]) for line in lines))
    return f"""# Self-paced augmentation on small data

Written by `python -m experiments.studies.self_paced` from the lines of [self_paced.jsonl](self_paced.jsonl). "above 0.5"
augments the examples whose clean loss is at least 0.5, "below 0.5" the others; "stored" takes the loss last met in
training in place of a forward pass, "harder half" the median of the batch as threshold. Test error of the last step,
mean ± standard error over seeds; differences to "all" seed by seed, with the p value of the paired t test (unadjusted:
each table compares many arms).
{"".join(table(lines, dataset, count) for dataset, count in order)}
Digits: MLP with two hidden layers of 100, crop with padding 1 and rotation up to 15 degrees. Tables: the same network,
Gaussian noise of deviation 0.3. CIFAR-10: WRN-10-1 on images averaged down to the side that the command names, crop
with an eighth of it as padding, and flip. SGD with Nesterov momentum 0.9 and cosine rate from 0.05 (CIFAR-10: 0.1),
weight decay 5e-4, batch 64 (CIFAR-10: 128).

```sh
{chr(10).join(commands)}
```

{"; ".join(machines)}.
"""


def main() -> int:
    """Runs what is not yet in the results."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.self_paced")
    for dataset, count, arm in rows(command):
        lines = read_jsonl(command.results)
        if any((line["dataset"], line["examples"], line["arm"]) == (dataset, count, arm) for line in lines):
            continue
        print(f"{dataset}, {count or 'all'} examples, {arm}", flush=True)
        row = cifar_row(command, count or 0, arm) if dataset == "cifar10" else small_row(command, dataset, count, arm)
        steps, seeds = (
            (command.cifar_steps, command.cifar_seeds) if dataset == "cifar10" else (command.steps, command.seeds)
        )
        prefix = "--cifar-" if dataset == "cifar10" else "--"
        made = f"python -m experiments.studies.self_paced {prefix}seeds {seeds} {prefix}steps {steps}"
        made += f" --cifar-side {command.cifar_side} --data-dir DIR" if dataset == "cifar10" else ""
        about = machine(environment())
        lines.append({"dataset": dataset, "examples": count, "arm": arm, **row, "command": made, **about})
        write_jsonl(command.results, lines)
        replace_text(command.results.with_suffix(".md"), page(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
