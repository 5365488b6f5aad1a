"""What is measured at full scale, and the rehearsal of it."""

import dataclasses

from experiments.accelerator.item import Scale
from experiments.benchmark.operations import OPERATIONS, function_names

POLICIES = ("rand_augment", "trivial_augment")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of everything in the stage."""

    turns: int = 11
    turn_seconds: float = 0.005
    """Of augmentations."""
    step_turn_seconds: float = 0.06
    """Of training steps and large products: many of them, since waiting leaves the device idle for a moment."""
    batches: tuple[tuple[int, int], ...] = ((1024, 32), (256, 224))
    """Batch and side of the images that are augmented."""
    repeats: tuple[int, ...] = (64, 8)
    """Operations in one program or CUDA graph, by size."""
    functions: tuple[str, ...] = tuple(function_names())
    compared: tuple[str, ...] = tuple(name for name in OPERATIONS if name not in POLICIES)
    """With plain PyTorch and the libraries that have it."""
    compiled: tuple[str, ...] = ("flip_left_right", "crop", "cutout", "color_jitter", "mixup", "cutmix", "ricap")
    """With torch.compile: what it can fuse."""
    policies: tuple[str, ...] = POLICIES
    policy_images: int = 64
    """Of a batch, that torchvision's policies are timed on: image by image, a batch takes seconds."""
    copied: int = 2**28
    """Numbers in the array whose copy gives the bandwidth."""
    matrix: int = 8192
    models: tuple[str, str] = ("preact_resnet18", "wrn_16_4")
    batch_sizes: tuple[int, int] = (512, 1024)
    side: int = 32
    deep_fit: str = "preact_resnet18"
    strategy_model: str = "wrn_10_4"
    """A network that compiles fast, and is still bound by its convolutions."""
    strategy_batch: int = 512
    steps_per_epoch: int = 100
    epochs: int = 7
    population_model: str = "cnn"
    members: int = 16
    population_batch: int = 100
    population_examples: int = 5000
    photographs: int = 512
    photograph_size: tuple[int, int] = (375, 500)
    decoded: int = 20000
    """Images of a folder that are decoded, at most."""


TINY = Sizes(
    turns=2,
    turn_seconds=0.0,
    step_turn_seconds=0.0,
    batches=((8, 8), (4, 12)),
    repeats=(2, 2),
    functions=("flip_left_right", "mixup"),
    compared=("flip_left_right", "mixup"),
    compiled=("mixup",),
    policies=("trivial_augment",),
    policy_images=2,
    copied=2**10,
    matrix=16,
    models=("wrn_10_1", "wrn_10_1"),
    batch_sizes=(8, 8),
    side=8,
    deep_fit="cnn",
    strategy_model="cnn",
    strategy_batch=8,
    steps_per_epoch=2,
    epochs=2,
    members=2,
    population_batch=4,
    population_examples=8,
    photographs=4,
    photograph_size=(24, 32),
    decoded=64,
)


def sizes(scale: Scale) -> Sizes:
    """Returns the sizes of a scale."""
    return Sizes() if scale == "full" else TINY
