"""ShakeDrop's two parameter sets on two endings of a block: `python -m experiments.studies.shakedrop --data-dir DIR`.

Every arm has the same seeds, so also the same images, initial weights and order. A finished row is one line in
results/shakedrop.jsonl; the page beside it, .md, and the picture of the loss curves, .png, are made from those lines
alone; what is there already is not run again.
"""

import dataclasses
import functools
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np
import tyro

from experiments.run.build import normalization
from experiments.run.directory import environment, environment_in_words, replace_text
from experiments.studies.downsample import downsample
from experiments.studies.jsonl import machine, mean_text, read_jsonl, sample_deviation, write_jsonl
from experiments.studies.train_seeds import train_seeds
from jaxaug import ShakeDrop, StochasticDepth, chain, create_model, crop, data, flip_left_right, on_images
from jaxaug.data import Dataset
from jaxaug.sampling import always


@dataclasses.dataclass(frozen=True)
class Command:
    """How much to run."""

    data_dir: pathlib.Path
    """Where the TFDS dataset cifar10 lies."""
    model: str = "resnet20"
    """A network that takes final_relu."""
    examples: int = 5000
    """Training examples."""
    side: int = 16
    """Images are averaged down to this side: 32, 16 or 8."""
    epochs: int = 25
    """Epochs of every arm."""
    seeds: int = 3
    """Seeds of every row."""
    results: pathlib.Path = pathlib.Path("results/shakedrop.jsonl")
    """One line per finished row; page and picture are written beside it, as .md and .png."""


Factory = Callable[..., nn.Module]
SET_A, SET_B = ShakeDrop.without_final_relu, ShakeDrop.with_final_relu
ENDINGS = {"addition": False, "ReLU": True}


def always_dropped(*, keep_prob: float, **options: Any) -> ShakeDrop:
    """Returns a ShakeDrop whose gate never opens, whatever the depth: Shake-Shake on a single branch."""
    return ShakeDrop(0.0, **options)


def arms() -> dict[tuple[str, str], Factory | None]:
    """Returns what regularizes the branches, by ending and name: on both endings first, then levels and the switch."""
    found: dict[tuple[str, str], Factory | None] = {}
    for ending in ENDINGS:
        found[ending, "none"] = None
        found[ending, "stochastic depth"] = StochasticDepth
        found[ending, "set A"] = SET_A
        found[ending, "set B"] = SET_B
    for level in ("batch", "channel", "pixel"):
        found["addition", f"set A, {level}"] = functools.partial(SET_A, noise_level=level)
    found["addition", "set A, no switch"] = always_dropped
    found["addition", "alpha and beta in [0, 1], no switch"] = functools.partial(always_dropped, alpha=(0.0, 1.0))
    return found


def row(command: Command, full: Dataset, ending: str, factory: Factory | None) -> dict[str, Any]:
    """Returns test accuracies after training, None where a run ceased to be finite, and the losses of every epoch."""
    seeds = range(command.seeds)
    with warnings.catch_warnings():
        # That a set does not suit an ending is what is measured.
        warnings.simplefilter("ignore", UserWarning)
        model = create_model(command.model, full.num_classes, regularizer=factory, final_relu=ENDINGS[ending])
    _, runs = train_seeds(
        [data.subset(full, command.examples, seed=seed) for seed in seeds],
        model,
        always(chain(on_images(crop, padding=command.side // 8), on_images(flip_left_right))),
        seeds=seeds,
        epochs=command.epochs,
        batch_size=128,
        learning_rate=0.1,
        normalize=normalization(full),
    )
    return {
        "accuracies": [run[-1]["test_accuracy"] if len(run) == command.epochs else None for run in runs],
        "losses": [[record["train_loss"] for record in run] for run in runs],
    }


def table(lines: list[dict[str, Any]], ending: str) -> str:
    """Returns the Markdown table of one ending."""
    out = [
        f"\n## Blocks end with {'a ReLU after the addition' if ending == 'ReLU' else 'the addition'}\n",
        "| regularizer | test error, % | training loss, last epoch | largest after the first epoch | not finite |",
        "|---|---|---|---|---|",
    ]
    for line in (line for line in lines if line["ending"] == ending):
        error = [100 * (1 - accuracy) for accuracy in line["accuracies"] if accuracy is not None]
        losses = [run for run in line["losses"] if len(run) > 1]
        last = [run[-1] for run in losses]
        said = mean_text(np.array(error), sample_deviation) if len(error) > 1 else "-"
        ended = mean_text(np.array(last), sample_deviation, digits=3) if len(last) > 1 else "-"
        largest = f"{max(max(run[1:]) for run in losses):.2f}" if losses else "-"
        out.append(f"| {line['arm']} | {said} | {ended} | {largest} | {line['accuracies'].count(None)} |")
    return "\n".join(out) + "\n"


def page(lines: list[dict[str, Any]], picture: str) -> str:
    """Returns the Markdown page."""
    machines = sorted({environment_in_words(line) for line in lines})
    commands = sorted({line["command"] for line in lines})
    return f"""# ShakeDrop on two endings of a residual block

Written by `python -m experiments.studies.shakedrop --data-dir DIR` from the lines of [shakedrop.jsonl](shakedrop.jsonl):
{lines[0]["about"]}.
Set A is alpha in [-1, 1] and beta in [0, 1], made for blocks that end with the addition; set B is alpha = 0 and beta in
[0, 1], made for blocks with a ReLU after it. Gate and noise are drawn for each example unless a level is named; "no
switch" is p = 0 in every block. Test error of the last epoch, mean ± sample deviation over
{len(lines[0]["accuracies"])} seeds, which fix images, weights and order.
{"".join(table(lines, ending) for ending in ENDINGS)}
![Training losses of both endings]({picture})

Crop and flip, SGD with Nesterov momentum 0.9, cosine rate from 0.1, weight decay 5e-4, batch 128; keep probabilities
fall linearly to 0.5.

```sh
{chr(10).join(commands)}
```

{"; ".join(machines)}.
"""


def draw(lines: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Draws the training losses to a PNG: mean and range over seeds, one panel for each ending."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, ending in zip(figure.subplots(1, 2, sharey=True), ENDINGS, strict=True):
        for line in (line for line in lines if line["ending"] == ending):
            epochs = max(map(len, line["losses"]))
            if not epochs:
                continue
            losses = np.array([run + [np.nan] * (epochs - len(run)) for run in line["losses"]])
            (drawn,) = axes.plot(np.arange(1, epochs + 1), losses.mean(axis=0), label=line["arm"])
            low, high = losses.min(axis=0), losses.max(axis=0)
            axes.fill_between(np.arange(1, epochs + 1), low, high, alpha=0.2, color=drawn.get_color(), linewidth=0)
        axes.set_title("blocks end with the addition" if ending == "addition" else "a ReLU follows the addition")
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    FigureCanvasAgg(figure).print_png(str(path))


def main() -> int:
    """Runs what is not yet in the results."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.shakedrop")
    full = downsample(data.load("cifar10", data_dir=command.data_dir), command.side)
    said = " ".join(f"--{name} {getattr(command, name)}" for name in ("model", "examples", "side", "epochs", "seeds"))
    about = {
        "about": f"{command.model} on {command.examples:,} training images of CIFAR-10 of side {command.side}, "
        f"{command.epochs} epochs",
        "command": f"python -m experiments.studies.shakedrop --data-dir DIR {said}",
        **machine(environment()),
    }
    picture = command.results.with_suffix(".png")
    for (ending, arm), factory in arms().items():
        lines = read_jsonl(command.results)
        if any((line["ending"], line["arm"]) == (ending, arm) for line in lines):
            continue
        print(f"blocks end with {ending}, {arm}", flush=True)
        lines.append({"ending": ending, "arm": arm, **row(command, full, ending, factory), **about})
        write_jsonl(command.results, lines)
        draw(lines, picture)
        replace_text(command.results.with_suffix(".md"), page(lines, picture.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
