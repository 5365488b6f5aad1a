"""Importance-sampled augmentation beside its relatives on CIFAR-10: `python -m experiments.studies.importance`.

Setting A is crop and flip, B adds cutout. Every arm is trained for the same epochs, and again for the epochs that fit
the time of ordinary training, by the ratio of their steps, measured in turns before. A finished row is one line in
results/importance_sampled.jsonl, and the page beside it, .md, is made from those lines alone; what is there already is
not run again.
"""

import dataclasses
import pathlib
import statistics
import sys
from typing import Any, Literal

import jax
import tyro

from experiments.benchmark.steps import step_call
from experiments.benchmark.timing import keep_freed_memory, seconds_in_turns
from experiments.run.build import normalization
from experiments.run.directory import environment, environment_in_words, replace_text
from experiments.studies.downsample import downsample
from experiments.studies.jsonl import (
    error_percent,
    machine,
    mean_text,
    paired_texts,
    read_jsonl,
    sample_deviation,
    write_jsonl,
)
from experiments.studies.train_seeds import train_seeds
from jaxaug import chain, create_model, crop, cutout, data, flip_left_right, on_images
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.sampling import Strategy, always, batch_augmented, importance_sampled, max_loss
from jaxaug.training import device_split, gathered_batch

Budget = Literal["epochs", "time"]


@dataclasses.dataclass(frozen=True)
class Command:
    """How much to run."""

    data_dir: pathlib.Path
    """Where the TFDS dataset cifar10 lies."""
    model: str = "wrn_10_1"
    """The network."""
    examples: int = 2000
    """Training examples."""
    side: int = 16
    """Images are averaged down to this side: 32, 16 or 8."""
    epochs: int = 40
    """Epochs of every arm, and of ordinary training at equal time."""
    seeds: int = 3
    """Seeds of every row."""
    turns: int = 15
    """Turns in which the time of a step is measured."""
    results: pathlib.Path = pathlib.Path("results/importance_sampled.jsonl")
    """One line per finished row; the page is written beside it, as .md."""


BATCH_SIZE = 128


def settings(side: int) -> dict[str, Augmentation]:
    """Returns the augmentations of the two settings; crop and cutout keep their share of the side."""
    standard = on_images(crop, padding=side // 8), on_images(flip_left_right)
    return {"A": chain(*standard), "B": chain(*standard, on_images(cutout, size=side // 2))}


def arms(augment: Augmentation) -> dict[str, Strategy]:
    """Returns every strategy that is compared, by name."""
    sharp: dict[str, Any] = {"importance": "softmax", "temperature": 0.1}
    return {
        "ordinary": always(augment),
        "uniform, M = 4": importance_sampled(augment, importance="uniform"),
        **{f"by the loss, M = {m}": importance_sampled(augment, num_candidates=m) for m in (2, 4, 8)},
        "sharply, M = 4": importance_sampled(augment, **sharp),
        "sharply, M = 4, a quarter scored": importance_sampled(augment, **sharp, scored=0.25),
        "max_loss, M = 4": max_loss(augment),
        "batch_augmented, 2 copies": batch_augmented(augment),
    }


def time_ratios(command: Command, full: Dataset, setting: str) -> dict[str, float]:
    """Returns the time of a step of each arm to that of ordinary training, medians of calls in turns."""
    batch = gathered_batch(device_split(full.train), jax.numpy.arange(BATCH_SIZE), full.num_classes)
    found = arms(settings(command.side)[setting])
    model = create_model(command.model, full.num_classes)
    calls = {name: step_call(model, strategy, None, batch) for name, strategy in found.items()}
    seconds = seconds_in_turns(calls, command.turns)
    ordinary = seconds["ordinary"]
    return {
        name: statistics.median(a / b for a, b in zip(each, ordinary, strict=True)) for name, each in seconds.items()
    }


def row(command: Command, full: Dataset, setting: str, arm: str, epochs: int) -> dict[str, Any]:
    """Returns the accuracies of one arm over the seeds, and the mean training loss of the last epoch."""
    seeds = range(command.seeds)
    _, runs = train_seeds(
        [data.subset(full, command.examples, seed=seed) for seed in seeds],
        create_model(command.model, full.num_classes),
        arms(settings(command.side)[setting])[arm],
        seeds=seeds,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=0.1,
        normalize=normalization(full),
    )
    last = [records[-1] for records in runs]
    return {
        "epochs": epochs,
        "accuracies": [record["test_accuracy"] for record in last],
        "train_loss": statistics.mean(record["train_loss"] for record in last),
    }


def table(lines: list[dict[str, Any]], setting: str, budget: Budget) -> str:
    """Returns the Markdown table of one setting at equal epochs or equal time."""
    here = {line["arm"]: line for line in lines if (line["setting"], line["budget"]) == (setting, budget)}
    if "ordinary" not in here:
        return ""
    base = error_percent(here["ordinary"])
    out = [
        f"\n## Setting {setting}, equal {budget}\n",
        "| trained on | test error, % | difference to ordinary | p | training loss | time of a step | epochs | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, line in here.items():
        error = error_percent(line)
        difference, p = ("-", "-") if arm == "ordinary" else paired_texts(error, base, sample_deviation)
        time = line["ratio"] * line["epochs"] / here["ordinary"]["epochs"]
        out.append(
            f"| {arm} | {mean_text(error, sample_deviation)} | {difference} | {p} | {line['train_loss']:.2f} "
            f"| {line['ratio']:.2f} | {line['epochs']} | {time:.2f} |"
        )
    return "\n".join(out) + "\n"


def page(lines: list[dict[str, Any]]) -> str:
    """Returns the Markdown page."""
    machines = sorted({environment_in_words(line) for line in lines})
    commands = sorted({line["command"] for line in lines})
    about = lines[0]["about"]
    tables = "".join(table(lines, setting, budget) for budget in ("epochs", "time") for setting in ("A", "B"))
    return f"""# Importance-sampled augmentation on CIFAR-10

Written by `python -m experiments.studies.importance --data-dir DIR` from the lines of
[importance_sampled.jsonl](importance_sampled.jsonl): {about}. Setting A is crop and flip, B adds cutout. Test error of
the last step, mean ± sample deviation over {len(lines[0]["accuracies"])} seeds, which fix images, weights and order;
differences seed by seed, with the p value of the paired t test (unadjusted). "By the loss" draws one of M copies in
proportion to its loss, "sharply" by softmax(loss / 0.1), "a quarter scored" scores the quarter of the batch whose last
loss was the largest. The training loss is that of the copies trained on. Times are in units of ordinary training, by
steps measured in turns in one process. At equal time every arm has as many epochs as fit, scheduled for that length.
{tables}
SGD with Nesterov momentum 0.9, cosine rate from 0.1, weight decay 5e-4, batch {BATCH_SIZE}.

```sh
{chr(10).join(commands)}
```

{"; ".join(machines)}.
"""


def main() -> int:
    """Runs what is not yet in the results."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.importance")
    keep_freed_memory()
    full = downsample(data.load("cifar10", data_dir=command.data_dir), command.side)
    options = ("model", "examples", "side", "epochs", "seeds")
    said = " ".join(f"--{name} {getattr(command, name)}" for name in options)
    about = {
        "about": f"{command.model} on {command.examples:,} training images of side {command.side}",
        "command": f"python -m experiments.studies.importance --data-dir DIR {said}",
        **machine(environment()),
    }
    for setting in settings(command.side):
        ratios: dict[str, float] = {}
        for budget in ("epochs", "time"):
            for arm in arms(settings(command.side)[setting]):
                lines = read_jsonl(command.results)
                of_arm = [line for line in lines if (line["setting"], line["arm"]) == (setting, arm)]
                if any(line["budget"] == budget for line in of_arm):
                    continue
                if of_arm:
                    ratio = of_arm[0]["ratio"]
                else:
                    ratios = ratios or time_ratios(command, full, setting)
                    ratio = ratios[arm]
                epochs = command.epochs if budget == "epochs" else max(1, round(command.epochs / ratio))
                print(f"setting {setting}, {arm}, {epochs} epochs", flush=True)
                # At equal time ordinary training is what it is at equal epochs.
                same = next((line for line in of_arm if line["epochs"] == epochs), None)
                keep = ("epochs", "accuracies", "train_loss")
                found = {name: same[name] for name in keep} if same else row(command, full, setting, arm, epochs)
                line = {"setting": setting, "budget": budget, "arm": arm, "ratio": ratio, **found, **about}
                write_jsonl(command.results, [*lines, line])
                replace_text(command.results.with_suffix(".md"), page([*lines, line]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
