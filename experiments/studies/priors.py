"""Layers with a prior on small images: poolings, convolutions, and classifiers on a long tail."""

import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.typing import ArrayLike

from experiments.figures.attention_maps import make_field, spread_evenly
from experiments.studies.papers.scales import SMALL
from experiments.studies.recipe import job_config
from experiments.studies.report import Column, metric
from experiments.studies.step_ratios import measure_timed, ratio_metrics, step_ratios
from experiments.studies.study import Arm, Block, DataPaths, Job, Lines, Measured, ScaleOverrides, Study
from experiments.studies.train_population import errors, train_population
from experiments.studies.view import BlockView
from jaxaug.explain import receptive_field_spread

LAYER = "trunk/stage2_block1"
IMAGES = 256
SECOND_EPOCHS = 2
SHOTS = ("many_shot", "medium_shot", "few_shot")


def measure_widths(job: Job) -> Measured:
    """Returns errors, learned widths and receptive fields of a convolution, seed by seed."""
    ratios = step_ratios(job)
    job.announce(f"{job.seeds} seeds together")
    config, began = job_config(job), time.monotonic()
    trained = train_population(config, range(job.seeds))
    seconds, states, dataset = time.monotonic() - began, trained.finite_states, trained.dataset
    images = dataset.test.images[spread_evenly(IMAGES, len(dataset.test.labels))] / np.float32(255)
    field = make_field(trained.parts.model, dataset, LAYER)
    fields = [np.asarray(field(state.inference_variables, images)) for state in states]
    untrained = [trained.parts.init(jax.random.key(seed)) for seed in range(job.seeds)]
    metrics = {
        "sigmas": [learned_sigmas(state.params) for state in states],
        "initial_field_spread": [spread(field(state.inference_variables, images)) for state in untrained],
        "field_spread": [spread(each) for each in fields],
        "field": np.round(np.mean([each / each.max() for each in fields], axis=0), 4).tolist(),
    }
    return Measured(errors(trained.records, config), metrics | ratio_metrics(job, ratios), [seconds])


def learned_sigmas(params: Any) -> dict[str, float]:
    """Returns the width of every layer in the order of the network, the mean where channels have their own."""
    leaves: Any = traverse_util.flatten_dict(params["trunk"])
    found = {"/".join(path[:-1]): float(jnp.abs(leaf).mean()) for path, leaf in leaves.items() if path[-1] == "sigma"}
    return dict(sorted(found.items(), key=lambda item: (item[0] != "stem/conv", item[0])))


def spread(field: ArrayLike) -> float:
    """Returns the spread of a receptive field in pixels, the mean of both axes."""
    return np.asarray(receptive_field_spread(jnp.asarray(field))).mean().item()


def sigma_range(view: BlockView, arm: Arm) -> str:
    """Returns the smallest and the largest learned width of the layers."""
    runs = view.lines[arm.name]["metrics"].get("sigmas", [])
    widths = [width for run in runs for width in run.values()]
    return f"{min(widths):.2f} to {max(widths):.2f}" if widths else "-"


def measure_two_stages(job: Job) -> Measured:
    """Returns the errors after a second stage, a plain classifier on frozen features, and of both stages by shots."""
    job.announce(f"{job.seeds} seeds together")
    config, began = job_config(job), time.monotonic()
    seeds = range(job.seeds)
    first = train_population(config, seeds)
    data = dataclasses.replace(config.data, sampling="class_balanced")
    second = dataclasses.replace(config, data=data, epochs=SECOND_EPOCHS, head=None, logit_adjustment=0.0)
    records = train_population(second, seeds, trunks=first.finite_states).records
    metrics: dict[str, Any] = {"first_stage": errors(first.records, config)}
    for shot in SHOTS:
        metrics |= {shot: errors(records, second, shot), f"first_stage_{shot}": errors(first.records, config, shot)}
    return Measured(errors(records, second), metrics, [time.monotonic() - began])


def recipe(epochs: int, *options: str, setup: str, examples: int | None = 2000) -> ScaleOverrides:
    """Returns the recipe of a block; from a rate of 0.1, short runs with pooling are unstable."""
    return ScaleOverrides(
        options=(
            *(*SMALL, "--optimizer.learning-rate", "0.02", "--batch-size", "64", "--epochs", str(epochs)),
            *(("--data.num-examples", str(examples)) if examples else ("--data.num-examples", "None")),
            *("--data.downsample", "16", *options),
        ),
        augment=("crop(padding=2)", "flip_left_right"),
        setup=f"{setup}, {epochs} epochs of a cosine schedule",
    )


TINY = ("--data.name", "folder:{tiny_imagenet}", "--data.image-size", "64")
CIFAR = "2,000 images of CIFAR-10 averaged down to 16 x 16"
TINY_WORDS = "5,000 images of 30 classes of Tiny ImageNet averaged down to 16 x 16"
RESNET, MOBILENET = ("--model", "resnet20"), ("--model", "mobilenet(width=0.25, total_stride=8)")

POOLINGS = (
    Arm("strided convolution"),
    Arm("maximum", ("--pool", "MaxPool")),
    Arm("average", ("--pool", "AveragePool")),
    Arm("Gaussian, fixed", ("--pool", "GaussianPool(parameters='fixed', prior='gaussian')")),
    Arm("half-Gaussian, fixed", ("--pool", "GaussianPool(parameters='fixed', prior='half')")),
    Arm("iSP-Gaussian, fixed", ("--pool", "GaussianPool(parameters='fixed')")),
    Arm("iSP-Gaussian, learned", ("--pool", "GaussianPool(parameters='learned')")),
    Arm("iSP-Gaussian, adaptive", ("--pool", "GaussianPool")),
    Arm("maximum entropy, adaptive", ("--pool", "MaxEntropyPool")),
)
CONVOLUTIONS = (
    Arm("plain"),
    Arm("fixed blur", ("--conv", "DisentangledConv(learn_sigma=False)")),
    Arm("disentangled", ("--conv", "DisentangledConv")),
    Arm("disentangled, a sigma per channel", ("--conv", "DisentangledConv(per_channel=True)")),
)
# The dimension D of the noise is the smaller of 64 features and the classes, as in the author's code.
ROTATED, ADJUSTED = ("--head", "RotatedDense(dimension=10)"), ("--logit-adjustment", "1")
CLASSIFIERS = (
    Arm("plain"),
    Arm("rotated", ROTATED),
    Arm("logit adjustment", ADJUSTED),
    Arm("rotated, logit adjustment", (*ROTATED, *ADJUSTED)),
)
WIDTH_COLUMNS = (
    metric("initial_field_spread", "spread of the receptive field before training, pixels"),
    metric("field_spread", "after it"),
    Column("sigma, smallest to largest of the layers", sigma_range),
)
SHOT_COLUMNS = (
    *(metric(name, f"{name.replace('_', '-')} classes, %") for name in SHOTS),
    metric("first_stage", "first stage: test error, %"),
    *(metric(f"first_stage_{name}", f"first stage: {name.replace('_', '-')} classes, %") for name in SHOTS),
)


def small_block(name: str, arms: tuple[Arm, ...], scale: ScaleOverrides, measure: Any, columns: Any = ()) -> Block:
    """Returns a block of this study."""
    return Block(name, "cifar10-small", arms, scales={"cpu": scale}, measure=measure, columns=columns)


def blocks() -> tuple[Block, ...]:
    """Returns all blocks."""
    pooled = functools.partial(small_block, arms=POOLINGS, measure=measure_timed)
    convolved = functools.partial(small_block, arms=CONVOLUTIONS, measure=measure_widths, columns=WIDTH_COLUMNS)
    tiny = functools.partial(recipe, 10, *TINY, setup=TINY_WORDS, examples=5000)
    return (
        pooled("Pooling in ResNet-20, CIFAR-10", scale=recipe(15, *RESNET, setup=CIFAR)),
        pooled("Pooling in MobileNet, CIFAR-10", scale=recipe(8, *MOBILENET, setup=CIFAR)),
        pooled("Pooling in ResNet-20, Tiny ImageNet", scale=tiny(*RESNET)),
        pooled("Pooling in MobileNet, Tiny ImageNet", scale=tiny(*MOBILENET)),
        convolved("Convolution in ResNet-20, CIFAR-10", scale=recipe(15, *RESNET, setup=CIFAR)),
        convolved("Convolution in ResNet-20, Tiny ImageNet", scale=tiny(*RESNET)),
        small_block(
            "Long tail of CIFAR-10",
            CLASSIFIERS,
            recipe(
                *(8, *RESNET, "--data.imbalance", "100"),
                setup="12,406 images of CIFAR-10 averaged down to 16 x 16, imbalance 100, "
                f"{SECOND_EPOCHS} epochs of a plain classifier, every class equally often, after",
                examples=None,
            ),
            measure_two_stages,
            SHOT_COLUMNS,
        ),
    )


def draw_widths(lines: Lines, path: pathlib.Path, paths: DataPaths) -> None:
    """Draws widths and receptive fields of the convolutions, block by block."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [line for line in lines if "field" in line["metrics"]]
    names = list(dict.fromkeys((line["block"], line["scale"]) for line in lines))
    figure: Any = Figure(figsize=(11, 6.5 * max(1, len(names))), layout="constrained")
    sheets = figure.subfigures(len(names), 1, squeeze=False).flat if names else []
    for (block, scale), sheet in zip(names, sheets, strict=True):
        _draw_block([line for line in lines if (line["block"], line["scale"]) == (block, scale)], sheet)
        sheet.suptitle(block)
    FigureCanvasAgg(figure).print_png(str(path))


def _draw_block(lines: Lines, sheet: Any) -> None:
    """Draws the widths of each arm, layer by layer, and its receptive field below them."""
    upper, lower = sheet.subfigures(2, 1)
    axes = upper.subplots()
    for line in lines:
        sigmas = line["metrics"]["sigmas"]
        names = list(sigmas[0])
        if not names:
            continue
        values = np.array([[run[name] for name in names] for run in sigmas])
        axes.errorbar(names, values.mean(axis=0), values.std(axis=0), marker="o", capsize=3, label=line["arm"])
    axes.set_ylabel("learned sigma, pixels")
    axes.tick_params(axis="x", rotation=60, labelsize="x-small")
    axes.grid(alpha=0.3)
    if axes.containers:
        axes.legend(fontsize="small")
    panels = np.atleast_1d(lower.subplots(1, len(lines)))
    for panel, line in zip(panels, lines, strict=True):
        panel.imshow(np.sqrt(np.array(line["metrics"]["field"])), cmap="viridis", vmin=0, vmax=1)
        panel.set_title(line["arm"], fontsize="small")
        panel.set_axis_off()
    lower.suptitle("effective receptive field of the center of stage 2 (root of the mean gradient)", fontsize="small")


PRIORS = Study(
    "priors",
    "Layers with a prior on small images",
    "Which pooling, which convolution and which classifier on a long tail have the least error in small networks?",
    "Kobayashi, NeurIPS 2019; Pattern Recognition Letters 169, 2023; ECCV 2022",
    blocks(),
    {},
    notes="Relative time is that of a step, measured in turns in one process.",
    pictures={"widths.png": draw_widths},
)

STUDIES = (PRIORS,)
