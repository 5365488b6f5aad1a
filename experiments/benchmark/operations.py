"""Our functions with the options of the benchmarks, and the names of their operations in `peers`."""

import functools
from collections.abc import Callable
from typing import Any

from experiments.benchmark.torch_batched import DEGREES, HOLE, HUE, JITTER, PADDING
from jaxaug import augment, mix

# Options that make our functions do the same work as the peers'; the others run with their defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "crop": {"padding": PADDING},
    "rotate": {"degrees": DEGREES},
    "color_jitter": {"brightness": JITTER, "contrast": JITTER, "saturation": JITTER, "hue": HUE},
    "brightness": {"strength": JITTER},
    "contrast": {"strength": JITTER},
    "saturation": {"strength": JITTER},
    "hue": {"strength": HUE},
    "sharpness": {"strength": JITTER},
}
# The names of our functions' operations in `peers`.
OPERATIONS = {
    "flip_left_right": "flip",
    "crop": "crop",
    "cutout": "cutout",
    "random_erasing": "random erasing",
    "resized_crop": "resized crop",
    "rotate": "rotate",
    "color_jitter": "color jitter",
    "mixup": "mixup",
    "cutmix": "cutmix",
    "ricap": "ricap",
    "rand_augment": "rand_augment",
    "trivial_augment": "trivial_augment",
}
NOT_MEASURED = {"RicapPlan", "ricap_plan", "apply_ricap", "mix_labels"}


def function_names() -> list[str]:
    """Returns the names of all measured functions, those with peers first."""
    names = [name for name in (*augment.__all__, *mix.__all__) if name not in NOT_MEASURED]
    order = {name: place for place, name in enumerate(OPERATIONS)}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def mixes(name: str) -> bool:
    """Returns whether the function takes and returns labels, too."""
    return name in mix.__all__


def function(name: str, side: int) -> Callable[..., Any]:
    """Returns our function of `(key, images)`, or `(key, images, labels)`, for images of this side."""
    options = {"size": int(HOLE * side)} if name == "cutout" else OPTIONS.get(name, {})
    return functools.partial(getattr(mix if mixes(name) else augment, name), **options)
