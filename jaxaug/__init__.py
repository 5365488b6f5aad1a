"""Data augmentation for JAX: what to augment, which examples, where and how much, compiled into the training step.

The functions of `augment`, `mix`, `compose`, `sampling`, `layers`, `models`, `search`, `explain` and `data` are also
names of `jaxaug`. So are the main names of `jaxaug.training`, which are loaded on first use, so that `import jaxaug`
loads only jax, flax and numpy.
"""

import warnings
from typing import TYPE_CHECKING, Any

from jaxaug import augment as augment
from jaxaug import compose as compose
from jaxaug import data as data
from jaxaug import explain as explain
from jaxaug import layers as layers
from jaxaug import mix as mix
from jaxaug import models as models
from jaxaug import sampling as sampling
from jaxaug import search as search
from jaxaug.augment import (
    autocontrast,
    brightness,
    color_jitter,
    contrast,
    crop,
    cutout,
    equalize,
    flip_left_right,
    flip_up_down,
    gaussian_blur,
    gaussian_noise,
    grayscale,
    hue,
    invert,
    posterize,
    rand_augment,
    random_erasing,
    resized_crop,
    rotate,
    saturation,
    sharpness,
    shear,
    solarize,
    translate,
    trivial_augment,
    zoom,
)
from jaxaug.compose import (
    Augmentation,
    chain,
    on_images,
    on_pairs,
    one_of,
    sometimes,
)
from jaxaug.data import (
    Dataset,
    EncodedImages,
    Split,
    load,
    long_tailed,
    subset,
    with_validation,
)
from jaxaug.explain import (
    bounding_box,
    cam,
    effective_receptive_field,
    features_and_head,
    grad_cam,
    guided_grad_cam,
    guided_gradients,
    map_area,
    map_entropy,
    overlay,
    receptive_field_size,
    receptive_field_spread,
)
from jaxaug.layers import (
    DisentangledConv,
    GaussianPool,
    MaxEntropyPool,
    RotatedDense,
    ShakeDrop,
    ShakeShake,
    StochasticDepth,
    gaussian_filter,
    gaussian_kernel,
    gaussian_pool,
    linear_decay,
    local_statistics,
    max_entropy_pool,
    rotated_logits,
    shake_drop,
    shake_drop_expected,
    shake_shake,
    stochastic_depth,
)
from jaxaug.mix import (
    RicapPlan,
    apply_ricap,
    cutmix,
    mix_labels,
    mixup,
    ricap,
    ricap_plan,
)
from jaxaug.models import (
    create_model,
)
from jaxaug.sampling import (
    Score,
    Strategy,
    always,
    batch_augmented,
    importance_sampled,
    importance_weights,
    max_loss,
    never,
    quantile,
    self_paced,
    slow_start,
    stop_after,
)
from jaxaug.search import (
    affinity,
    diversity,
    entropy_diversity,
    pareto_front,
    rank_correlation,
    regret,
)
from jaxaug.version import __version__

if TYPE_CHECKING:
    from jaxaug.training import TrainState, fit, init_state, make_eval_step, make_optimizer, make_train_step

_TRAINING = ("TrainState", "fit", "init_state", "make_eval_step", "make_optimizer", "make_train_step")
_RENAMED = {"late_off": "stop_after"}

__all__ = [
    "Augmentation",
    "Dataset",
    "DisentangledConv",
    "EncodedImages",
    "GaussianPool",
    "MaxEntropyPool",
    "RicapPlan",
    "RotatedDense",
    "Score",
    "ShakeDrop",
    "ShakeShake",
    "Split",
    "StochasticDepth",
    "Strategy",
    "TrainState",
    "__version__",
    "affinity",
    "always",
    "apply_ricap",
    "autocontrast",
    "batch_augmented",
    "bounding_box",
    "brightness",
    "cam",
    "chain",
    "color_jitter",
    "contrast",
    "create_model",
    "crop",
    "cutmix",
    "cutout",
    "diversity",
    "effective_receptive_field",
    "entropy_diversity",
    "equalize",
    "features_and_head",
    "fit",
    "flip_left_right",
    "flip_up_down",
    "gaussian_blur",
    "gaussian_filter",
    "gaussian_kernel",
    "gaussian_noise",
    "gaussian_pool",
    "grad_cam",
    "grayscale",
    "guided_grad_cam",
    "guided_gradients",
    "hue",
    "importance_sampled",
    "importance_weights",
    "init_state",
    "invert",
    "linear_decay",
    "load",
    "local_statistics",
    "long_tailed",
    "make_eval_step",
    "make_optimizer",
    "make_train_step",
    "map_area",
    "map_entropy",
    "max_entropy_pool",
    "max_loss",
    "mix_labels",
    "mixup",
    "never",
    "on_images",
    "on_pairs",
    "one_of",
    "overlay",
    "pareto_front",
    "posterize",
    "quantile",
    "rand_augment",
    "random_erasing",
    "rank_correlation",
    "receptive_field_size",
    "receptive_field_spread",
    "regret",
    "resized_crop",
    "ricap",
    "ricap_plan",
    "rotate",
    "rotated_logits",
    "saturation",
    "self_paced",
    "shake_drop",
    "shake_drop_expected",
    "shake_shake",
    "sharpness",
    "shear",
    "slow_start",
    "solarize",
    "sometimes",
    "stochastic_depth",
    "stop_after",
    "subset",
    "translate",
    "trivial_augment",
    "with_validation",
    "zoom",
]


def __getattr__(name: str) -> Any:
    if name in _TRAINING:
        from jaxaug import training

        return getattr(training, name)
    if name in _RENAMED:
        warnings.warn(f"jaxaug.{name} is deprecated; use jaxaug.{_RENAMED[name]}.", DeprecationWarning, stacklevel=2)
        return globals()[_RENAMED[name]]
    raise AttributeError(f"module 'jaxaug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
