"""The items of the stage: the arms, the most informative first."""

import dataclasses
import functools
from typing import Any

from experiments.accelerator.evidence.arms import BASE, REGIMES, Arm
from experiments.accelerator.evidence.command import train_command
from experiments.accelerator.item import Item, Options

# Estimates for an H100; the runner corrects them by the times of finished items.
SECONDS_PER_EPOCH = 2.2  # of PreActResNet-18 with crop and flip on 50,000 images: 23,000 a second
FIRST_SECONDS = 40.0  # decoding, and compiling the first program while nothing is trained
OTHER_SECONDS = 5.0  # the part of compiling that the training of the previous arm does not hide

PLAIN, FOUR_COPIES = "crop and flip", "one of 4 copies by its loss"

# First RICAP against crop and flip, with few images and with all; then other methods with few images, which are cheap
# and where the network overfits; then other methods and more epochs with all images, then more seeds.
_FIRST = (
    Arm("few", PLAIN),
    Arm("few", "RICAP"),
    Arm("short", PLAIN),
    Arm("short", "RICAP"),
    Arm("few", PLAIN, 1),
    Arm("few", "RICAP", 1),
    Arm("few", "cutout"),
    Arm("few", "ShakeDrop"),
    Arm("few", FOUR_COPIES),
    Arm("few", "loss at least 0.5"),
    Arm("few", "CutMix"),
    Arm("few", "mixup"),
    Arm("short", PLAIN, 1),
    Arm("short", "RICAP", 1),
    Arm("few", PLAIN, 2),
    Arm("few", "RICAP", 2),
    Arm("short", "CutMix"),
    Arm("short", "cutout"),
    Arm("short", "mixup"),
    Arm("long", PLAIN),
    Arm("long", "RICAP"),
    Arm("short", "ShakeDrop"),
    Arm("short", "ShakeDrop + RICAP"),
    Arm("short", "loss at least 0.5"),
    Arm("short", FOUR_COPIES),
    Arm("short", "cutout, one of 4 copies by its loss"),
    Arm("VGG-13", PLAIN),
    Arm("VGG-13", "Gaussian pooling"),
    Arm("few", "ShakeDrop + RICAP"),
    Arm("long", "ShakeDrop + RICAP"),
    Arm("short", PLAIN, 2),
    Arm("short", "RICAP", 2),
)


def arms() -> tuple[Arm, ...]:
    """Returns every arm with each of its three seeds, in the order of running."""
    others = [dataclasses.replace(arm, seed=seed) for seed in (1, 2) for arm in _FIRST if arm.seed == 0]
    return tuple(dict.fromkeys((*_FIRST, *others)))


def rehearsed() -> list[Arm]:
    """Returns the first arm of each method and of each regime, and a second seed, which shares programs."""
    chosen: dict[str, Arm] = {}
    for arm in arms():
        if arm.method not in chosen or arm.regime not in chosen:
            chosen |= {arm.method: chosen.get(arm.method, arm), arm.regime: chosen.get(arm.regime, arm)}
    return [*dict.fromkeys(chosen.values()), Arm("short", PLAIN, 1)]


def items(options: Options, *, seconds_per_epoch: float = SECONDS_PER_EPOCH) -> list[Item]:
    """Returns the items of the stage.

    At scale "tiny" there is at least one arm of each method and regime; without data they are trained on noise.

    Args:
      options: scale and dataset.
      seconds_per_epoch: estimate for crop and flip on all images with PreActResNet-18.
    """
    if options.data is None and options.scale == "full":
        return []
    chosen = arms() if options.scale == "full" else rehearsed()
    return [_item(arm, options, seconds_per_epoch, first=number == 0) for number, arm in enumerate(chosen)]


def _item(arm: Arm, options: Options, seconds_per_epoch: float, *, first: bool) -> Item:
    data, side = (options.data, 32) if options.data else ("synthetic:8x8x3,classes=10,n=200", 8)
    config = arm.config(data, options.scale, side)
    training = arm.epochs_of_all * seconds_per_epoch if options.scale == "full" else 1.0
    settings: dict[str, Any] = {
        "regime": arm.regime,
        "method": arm.method,
        "seed": arm.seed,
        "about": REGIMES[arm.regime].about,
        "data": data,
        "model": config.model,
        "dtype": config.dtype,
        "batch_size": config.batch_size,
        "epochs": config.epochs,
        "epochs_of_all": arm.epochs_of_all,
        "command": train_command(BASE, config),
    }
    return Item(
        stage="evidence",
        name=arm.name,
        seconds=training + (FIRST_SECONDS if first else OTHER_SECONDS),
        run=lambda: _trainer().trained(config),
        settings=settings,
        prepare=lambda: _trainer().prepare(config),
    )


@functools.cache
def _trainer() -> Any:
    """Returns the one trainer of the process; imported late, so that listing the items is cheap."""
    from experiments.accelerator.evidence.training import Trainer

    return Trainer()
