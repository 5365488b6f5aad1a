"""Importance-sampled augmentation: a copy of each example is drawn by its loss in the network being trained.

Okadome, Ide, Kwansei Gakuin University.
"""

import dataclasses

from experiments.studies.papers.scales import CIFAR_GPU10, SMALL
from experiments.studies.recipe import job_config, without_replaced
from experiments.studies.report import Column
from experiments.studies.step_ratios import measure_timed, ratio_metrics
from experiments.studies.study import Arm, Block, Job, Measured, PublishedError, ScaleOverrides, Study
from experiments.studies.train_population import measure_config
from experiments.studies.view import BlockView

RECIPE = ("--mix", "None", "--optimizer.weight-decay", "5e-4")
CIFAR100 = ("--data.name", "cifar100")
CUTOUT = ("cutout(size={half}, fill='mean')",)
EQUAL_TIME = ", equal time"

SMALL_SCALE = ScaleOverrides(
    epochs=50,
    options=(
        *("--model", "wrn_10_1", "--data.num-examples", "1024", "--data.downsample", "16", "--batch-size", "128"),
        *(*SMALL, "--optimizer.learning-rate", "0.1"),
    ),
    augment=("crop(padding=2)", "flip_left_right"),
    side=16,
    setup="WRN-10-1 on 1,024 training images of CIFAR-10 averaged down to 16 x 16, 50 epochs of a cosine schedule",
)


def paper_arms(before: float, after: float, augment: tuple[str, ...] = ()) -> tuple[Arm, ...]:
    """Returns the arms of the source's table, and two that separate the effect of the loss from that of the copies."""
    return (
        Arm("conventional", augment=augment, published=PublishedError(before)),
        _drawn("one of 4 copies by its loss", "importance_sampled(num_candidates=4)", augment, PublishedError(after)),
        _drawn("one of 4 copies, uniformly", "importance_sampled(importance='uniform')", augment),
        _drawn("the hardest of 4 copies", "max_loss(num_candidates=4)", augment),
    )


def small_arms(before: float, after: float, augment: tuple[str, ...] = ()) -> tuple[Arm, ...]:
    """Returns these arms, other numbers of copies, sharper draws, and training on all copies."""
    sharply = "importance_sampled(importance='softmax', temperature=0.1{})"
    return (
        *paper_arms(before, after, augment),
        *(_drawn(f"one of {m} copies by its loss", f"importance_sampled(num_candidates={m})", augment) for m in (2, 8)),
        _drawn("one of 4 copies, sharply", sharply.format(""), augment),
        _drawn("one of 4 copies, sharply, a quarter scored", sharply.format(", scored=0.25"), augment),
        _drawn("both of 2 copies", "batch_augmented", augment),
    )


def _drawn(name: str, strategy: str, augment: tuple[str, ...], published: PublishedError | None = None) -> Arm:
    return Arm(name, ("--strategy", strategy), augment, published)


def measure_at_equal_time(job: Job) -> Measured:
    """Returns what an arm reaches in the epochs that fit the time of ordinary training, by the cost of its steps.

    Raises:
      ValueError: the block at equal epochs is not recorded yet.
    """
    base = job.block.name.removesuffix(EQUAL_TIME)
    line = next((one for one in job.lines if (one["block"], one["arm"]) == (base, job.arm.name)), None)
    if line is None:
        raise ValueError(f"block {job.block.name!r} needs the step costs of block {base!r}; run that block first.")
    config, ratios = job_config(job), line["metrics"]["step_ratios"]
    epochs = max(1, round(config.epochs / ratios[job.arm.name]))
    if epochs == config.epochs and line["seeds"] >= job.seeds:
        found = Measured(line["errors"], line["metrics"], line["seconds"])  # the same training
    else:
        found = measure_config(job, dataclasses.replace(config, epochs=epochs))
    options = without_replaced([*job.options, "--epochs", str(epochs)])
    return found._replace(metrics=found.metrics | ratio_metrics(job, ratios), options=options)


def time_spent(view: BlockView, arm: Arm) -> str:
    """Returns the time of an arm's training, relative to ordinary training."""
    metrics, base = (view.lines.get(one.name, {}).get("metrics") for one in (arm, view.block.arms[0]))
    if not metrics or not base or "step_ratio" not in metrics:
        return "-"
    return f"{metrics['step_ratio'] * metrics['epochs'] / base['epochs']:.2f}"


COLUMNS = (
    Column("epochs", lambda view, arm: str(view.lines[arm.name]["metrics"]["epochs"])),
    Column("time in all", time_spent),
)


def small_blocks() -> tuple[Block, ...]:
    """Returns the blocks of our own small study: at equal epochs, and at equal time."""
    found = []
    for name, before, after, augment in (
        ("CIFAR-10, crop and flip", 5.37, 4.75, ()),
        ("CIFAR-10, crop, flip and cutout", 3.86, 3.81, ("cutout(size={half})",)),
    ):
        arms = small_arms(before, after, augment)
        equal_epochs = Block(
            name, "cifar10-preact-mixup", arms, RECIPE, 32, {"cpu": SMALL_SCALE}, measure_timed, COLUMNS
        )
        found += [equal_epochs, equal_epochs._replace(name=name + EQUAL_TIME, measure=measure_at_equal_time)]
    return tuple(found)


IMPORTANCE = Study(
    "importance_cifar",
    "Importance-sampled augmentation on CIFAR",
    "Does a copy drawn by its loss in the network in training lower the error?",
    "Okadome, Ide, Kwansei Gakuin University; M and the weights are not published, ours are 4 and the loss",
    (
        Block("CIFAR-10, crop and flip", "cifar10-preact-mixup", paper_arms(5.37, 4.75), RECIPE),
        Block("CIFAR-10, crop, flip and cutout", "cifar10-preact-mixup", paper_arms(3.86, 3.81, CUTOUT), RECIPE),
        Block("CIFAR-100, crop and flip", "cifar10-preact-mixup", paper_arms(24.3, 23.4), (*RECIPE, *CIFAR100)),
        Block(
            "CIFAR-100, crop, flip and cutout",
            "cifar10-preact-mixup",
            paper_arms(23.6, 22.6, ("cutout(size=8, fill='mean')",)),
            (*RECIPE, *CIFAR100),
        ),
        *small_blocks(),
    ),
    {
        "full": ScaleOverrides(),
        "gpu10": CIFAR_GPU10._replace(epochs=60, setup="the paper's network, 60 epochs, bfloat16"),
    },
    notes='"Sharply" draws by softmax(loss / 0.1); "a quarter scored" scores the quarter of the batch whose last '
    "observed loss was largest. The training loss is that of the copies trained on. At equal time, every arm "
    "has as many epochs as fit, and a schedule of that length. Relative time is that of a step, measured in "
    "turns.",
)

STUDIES = (IMPORTANCE,)
