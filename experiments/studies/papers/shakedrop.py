"""ShakeDrop on CIFAR-100 and ImageNet, compared with stochastic depth; its two parameter sets on two kinds of block.

Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019.
"""

import pathlib
import time
from typing import Any

import numpy as np

from experiments.studies.papers.scales import CIFAR_CPU, CIFAR_GPU10, IMAGENET_CPU, IMAGENET_GPU10, SMALL
from experiments.studies.recipe import job_config
from experiments.studies.report import Column
from experiments.studies.study import (
    Arm,
    Block,
    DataPaths,
    Job,
    Lines,
    Measured,
    PublishedError,
    Scale,
    ScaleOverrides,
    Study,
)
from experiments.studies.train_population import errors, train_population, training_metrics
from experiments.studies.view import BlockView

SOURCE = "Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019, figures from secondary sources"


def three_arms(layer: str, plain: float, depth: float, shaken: float) -> tuple[Arm, ...]:
    """Returns the arms of the paper's tables."""
    return (
        Arm("none", ("--regularizer", "None"), published=PublishedError(plain, mark="W")),
        Arm("stochastic depth", ("--regularizer", "StochasticDepth"), published=PublishedError(depth, mark="W")),
        Arm("ShakeDrop", ("--regularizer", layer), published=PublishedError(shaken, mark="W")),
    )


PIXEL = "ShakeDrop.without_final_relu(gate_level='batch', noise_level='pixel')"

SET_A, SET_B = "ShakeDrop.without_final_relu", "ShakeDrop.with_final_relu"


def regularized(name: str, layer: str, published: PublishedError | None = None) -> Arm:
    """Returns the arm of a regularizer of the branches."""
    return Arm(name, ("--regularizer", layer), published=published)


def measure_losses(job: Job) -> Measured:
    """Returns errors, None where training diverged, and the training losses of every epoch."""
    config, began = job_config(job), time.monotonic()
    job.announce(f"{job.seeds} seeds together")
    records = train_population(config, range(job.seeds)).records
    metrics = training_metrics(records) | {"losses": [[record["train_loss"] for record in run] for run in records]}
    return Measured(errors(records, config), metrics, [time.monotonic() - began])


def largest_loss(view: BlockView, arm: Arm) -> str:
    """Returns the largest training loss after the first epoch."""
    runs = [run for run in view.lines[arm.name]["metrics"].get("losses", []) if len(run) > 1]
    return f"{max(max(run[1:]) for run in runs):.2f}" if runs else "-"


def diverged(view: BlockView, arm: Arm) -> str:
    """Returns how many seeds diverged."""
    count = int(np.isnan(view.errors(arm)).sum())
    return str(count) if count else "-"


PAPER_SCALES: dict[Scale, ScaleOverrides] = {
    "full": ScaleOverrides(),
    "gpu10": CIFAR_GPU10._replace(
        epochs=20,
        models={"ResNet-110": "resnet56", "PyramidNet-110-270": "pyramidnet56_84"},
        setup="networks of half the depth, 20 epochs, bfloat16",
    ),
}
SMALL_SCALE = ScaleOverrides(
    epochs=25,
    options=(
        *("--data.name", "cifar10", "--data.num-examples", "5000", "--data.downsample", "16", "--batch-size", "128"),
        *(*SMALL, "--optimizer.learning-rate", "0.1"),
    ),
    models={"ResNet-20 with final ReLU": "resnet20", "ResNet-20 without final ReLU": "resnet20(final_relu=False)"},
    augment=("crop(padding=2)", "flip_left_right"),
    setup="ResNet-20 in place of ResNet-110, 5,000 training images of CIFAR-10 averaged down to 16 x 16, 25 epochs of "
    "a cosine schedule",
)
LOSS_COLUMNS = (
    Column("largest loss after the first epoch", largest_loss),
    Column("diverged", diverged),
)


def small_block(name: str, arms: tuple[Arm, ...]) -> Block:
    """Returns a block of our own small study."""
    config = "cifar100-resnet110-shakedrop"
    return Block(name, config, arms, (), 16, {"cpu": SMALL_SCALE}, measure_losses, LOSS_COLUMNS)


ADDITION_ARMS = (
    *(regularized("none", "None"), regularized("stochastic depth", "StochasticDepth")),
    *(regularized("set A", SET_A), regularized("set B", SET_B)),
    *(regularized(f"set A, {level}", f"{SET_A}(noise_level='{level}')") for level in ("batch", "channel", "pixel")),
    regularized("set A, no switch", "always_shaken"),
    regularized("alpha and beta in [0, 1], no switch", "always_shaken(alpha=(0.0, 1.0))"),
)


def draw_losses(lines: Lines, path: pathlib.Path, paths: DataPaths) -> None:
    """Draws the training losses: mean and range over seeds, one panel for each block that has them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [line for line in lines if any(line["metrics"].get("losses", []))]
    blocks = list(dict.fromkeys(line["block"] for line in shown))
    figure: Any = Figure(figsize=(5 * max(1, len(blocks)), 5), layout="constrained")
    for axes, block in zip(
        figure.subplots(1, max(1, len(blocks)), sharey=True, squeeze=False)[0], blocks, strict=False
    ):
        for line in (line for line in shown if line["block"] == block):
            runs = line["metrics"]["losses"]
            epochs = max(map(len, runs))
            losses = np.array([run + [np.nan] * (epochs - len(run)) for run in runs])
            (drawn,) = axes.plot(np.arange(1, epochs + 1), losses.mean(axis=0), label=line["arm"])
            low, high = losses.min(axis=0), losses.max(axis=0)
            axes.fill_between(np.arange(1, epochs + 1), low, high, alpha=0.2, color=drawn.get_color(), linewidth=0)
        axes.set_title(block)
        axes.set_xlabel("epoch")
        axes.set_ylabel("training loss")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    FigureCanvasAgg(figure).print_png(str(path))


CIFAR = Study(
    "shakedrop_cifar",
    "ShakeDrop on CIFAR-100",
    "Does ShakeDrop lower the error of deep residual networks, more than stochastic depth does?",
    SOURCE,
    (
        Block(
            "ResNet-110", "cifar100-resnet110-shakedrop", three_arms(SET_B, 27.42, 24.07, 23.74), (), 32, PAPER_SCALES
        ),
        Block("PyramidNet-110-270", "cifar100-pyramidnet-shakedrop", three_arms(PIXEL, 18.01, 17.74, 15.78)),
        small_block(
            "ResNet-20 with final ReLU",
            (*three_arms(SET_B, 27.42, 24.07, 23.74), regularized("ShakeDrop, set A", SET_A)),
        ),
        small_block("ResNet-20 without final ReLU", ADDITION_ARMS),
    ),
    {
        **PAPER_SCALES,
        "cpu": CIFAR_CPU._replace(
            options=(*CIFAR_CPU.options, "--data.name", "cifar10"),
            models={"PyramidNet-110-270": "pyramidnet20_16"},
            blocks=("PyramidNet-110-270",),
            setup="PyramidNet-20-16 on 5,000 training images of CIFAR-10 resized to 16 x 16, 15 epochs",
        ),
    },
    notes="Set A is alpha in [-1, 1] and beta in [0, 1], made for blocks that end with the addition; set B is alpha "
    "= 0 and beta in [0, 1], made for blocks with a ReLU after it. Gate and noise are drawn independently for "
    'each example unless a level is named; "no switch" is p = 0 in every block. Keep probabilities fall '
    "linearly to 0.5.",
    pictures={"training_losses.png": draw_losses},
)

IMAGENET = Study(
    "shakedrop_imagenet",
    "ShakeDrop on ImageNet",
    "Does ShakeDrop lower the top-1 error of very deep networks on ImageNet?",
    SOURCE,
    (
        Block("ResNet-152", "imagenet-resnet152-shakedrop", three_arms(SET_B, 21.72, 21.33, 20.88), side=224),
        Block("ResNeXt-152", "imagenet-resnext152-shakedrop", three_arms(SET_B, 20.49, 20.45, 20.34), side=224),
    ),
    {
        "full": ScaleOverrides(seeds=1),
        "gpu10": IMAGENET_GPU10._replace(
            models={"ResNet-152": "resnet50", "ResNeXt-152": "resnext50_32x4d"},
            setup="30 classes of Tiny ImageNet at 64 x 64, ResNet-50 and ResNeXt-50, 60 epochs",
        ),
        "cpu": IMAGENET_CPU._replace(blocks=("ResNet-152",)),
    },
)

STUDIES = (CIFAR, IMAGENET)
