"""Self-paced augmentation: only what the network finds hard is augmented.

Takase, Karakida, Asoh, Neurocomputing 442, 2021.
"""

import math

from experiments.studies.papers.scales import CIFAR_CPU, CIFAR_GPU10, CPU_SCHEDULE, SMALL
from experiments.studies.report import Column
from experiments.studies.study import Arm, Block, Scale, ScaleOverrides, Study
from experiments.studies.train_population import measure_population
from experiments.studies.view import BlockView

THRESHOLDS = (0.1, 0.5, 1.0)
HARDER_HALF = Arm("harder half", ("--strategy", "self_paced(threshold='quantile(q=0.5)')"))


def paced(threshold: float, *, stored: bool = False, below: bool = False) -> Arm:
    """Returns the arm of a threshold."""
    options = ", score='stored'" * stored + ", direction='below'" * below
    name = f"{'stored ' * stored}loss {'below' if below else 'at least'} {threshold}"
    return Arm(name, ("--strategy", f"self_paced(threshold={threshold}{options})"))


ALL, NONE = Arm("all"), Arm("none", ("--strategy", "never"))
PAPER_ARMS = (
    *(ALL, NONE, *map(paced, THRESHOLDS), paced(0.5, stored=True), paced(0.5, below=True)),
    Arm("RandAugment for all", augment=("rand_augment(num_ops=2, magnitude=5.0)",)),
)
SMALL_ARMS = (
    *(ALL, NONE, *map(paced, THRESHOLDS), *(paced(tau, below=True) for tau in THRESHOLDS)),
    *(*(paced(tau, stored=True) for tau in THRESHOLDS), HARDER_HALF),
)
WRN_ARMS = (ALL, NONE, paced(0.5), paced(0.5, below=True), paced(0.5, stored=True), HARDER_HALF)


def share_augmented(view: BlockView, arm: Arm) -> str:
    """Returns the mean share of the examples that were augmented, at first and at last."""
    first, last = (view.values(arm.name, f"augmented_{end}") for end in ("first", "last"))
    return "-" if first is None or last is None else f"{first.mean():.2f} to {last.mean():.2f}"


COLUMNS = (Column("share augmented, first to last tenth", share_augmented),)


def by_size(network: str, model: str, scales: bool) -> tuple[Block, ...]:
    """Returns the blocks of one network: few training examples, more, all; scaled down as the study says, or not."""
    sizes = {"1,000": ("--data.num-examples", "1000"), "5,000": ("--data.num-examples", "5000"), "50,000": ()}
    schedule = ("--optimizer.schedule", "cosine", "--optimizer.milestones", "--optimizer.warmup-epochs", "4")
    recipe = ("--model", model, *schedule)
    own: dict[Scale, ScaleOverrides] = {"full": ScaleOverrides(), "gpu10": CIFAR_GPU10}
    return tuple(
        Block(
            f"{network}, {size} examples", "cifar10-wrn", PAPER_ARMS, (*recipe, *options), 32, None if scales else own
        )
        for size, options in sizes.items()
    )


def small_wrn(examples: int) -> Block:
    """Returns the block of WRN-10-1 on CIFAR-10 at the scale of a CPU, trained for 800 steps."""
    epochs = round(800 * 128 / examples)
    scale = ScaleOverrides(
        epochs=epochs,
        seeds=5,
        options=(
            *("--model", "wrn_10_1", "--data.num-examples", str(examples), "--data.downsample", "16"),
            *("--batch-size", "128", *SMALL, "--optimizer.learning-rate", "0.1"),
        ),
        augment=("crop(padding=2)", "flip_left_right"),
        setup=f"WRN-10-1 on {examples:,} training images of CIFAR-10 averaged down to 16 x 16, 800 steps",
    )
    name = f"WRN-28-10, {examples:,} examples"
    return Block(name, "cifar10-wrn", WRN_ARMS, (), 16, {"cpu": scale}, measure_population, COLUMNS)


def small_mlp(dataset: str, examples: int | None, size: int, *augment: str) -> Block:
    """Returns the block of an MLP on a small dataset, trained for 2,000 steps; `size` counts the training examples."""
    batch_size = min(64, examples or size)
    epochs = round(2000 / math.ceil((examples or size) / batch_size))
    scale = ScaleOverrides(
        seeds=20,
        options=(
            *("--data.name", dataset, *(("--data.num-examples", str(examples)) if examples else ())),
            *("--model", "mlp", "--batch-size", str(batch_size), *SMALL, "--optimizer.learning-rate", "0.05"),
            *("--epochs", str(epochs)),
        ),
        augment=augment,
        setup=f"an MLP with two hidden layers of 100, 2,000 steps of a cosine schedule, {' and '.join(augment)}",
    )
    name = f"{dataset}, {'all' if examples is None else examples} examples"
    return Block(name, "digits", SMALL_ARMS, (), 8, {"cpu": scale}, measure_population, COLUMNS)


PIXELS = ("crop(padding=1)", "rotate(degrees=15.0)")

SELF_PACED = Study(
    "self_paced",
    "Self-paced augmentation by network and number of examples",
    "Does augmenting only what the network finds hard lower the error, above all with few training examples?",
    "Takase, Karakida, Asoh, Neurocomputing 442, 2021; its tables were not available",
    (
        *by_size("small CNN", "cnn", scales=True),
        *by_size("WRN-28-10", "wrn_28_10(dropout=0.3)", scales=False),
        *(small_wrn(examples) for examples in (1000, 5000)),
        *(small_mlp("digits", examples, 1438, *PIXELS) for examples in (100, 300, 1000, None)),
        small_mlp("breast_cancer", None, 455, "gaussian_noise(stddev=0.3)"),
        small_mlp("wine", None, 142, "gaussian_noise(stddev=0.3)"),
    ),
    {
        "full": ScaleOverrides(),
        "gpu10": CIFAR_GPU10,
        "cpu": CIFAR_CPU._replace(
            options=("--data.image-size", "16", *CPU_SCHEDULE),
            blocks=("small CNN, 1,000 examples", "small CNN, 5,000 examples"),
            setup="the small CNN on images resized to 16 x 16; 15 epochs",
        ),
    },
    notes='"Loss at least 0.5" augments the examples whose clean loss is at least 0.5, "loss below 0.5" the others; '
    '"stored" takes the last observed loss instead of a forward pass, "harder half" the median of the batch as '
    "threshold. P values are unadjusted, and each table compares many arms.",
)

STUDIES = (SELF_PACED,)
