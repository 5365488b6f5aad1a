"""The config of an experiment: frozen dataclasses that tyro turns into command-line options."""

import dataclasses
import math
import pathlib
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

from jaxaug.checks import one_line
from jaxaug.data import OnCorrupt
from jaxaug.training import DecayedKind, Engine, OptimizerKind, Sampling, ScheduleKind


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The dataset."""

    name: str = "digits"
    """digits, breast_cancer, wine, iris, any TFDS name, folder:PATH, or synthetic:HxWxC[,classes,n]."""
    data_dir: pathlib.Path | None = None
    """Directory of the TFDS datasets."""
    image_size: int | None = None
    """Side length to which images of mixed sizes are resized."""
    downsample: int | None = None
    """Downsample images in memory to this side length by averaging squares of pixels."""
    stream: bool = False
    """Read image files and TFDS datasets from disk batch by batch: for datasets larger than memory."""
    random_crop: bool = False
    """With --data.stream: decode a random box of each training image, and the central 7/8 of the others."""
    on_corrupt: OnCorrupt = "stop"
    """When an image cannot be read: stop and name it, or skip and count it."""
    num_examples: int | None = None
    """Train on a class-balanced subset of this many examples."""
    imbalance: float | None = None
    """Train on a long-tailed version whose largest class has this many times the examples of its smallest."""
    validation: float = 0.0
    """Fraction of the training split held out for validation."""
    sampling: Sampling = "shuffled"
    """How an epoch is drawn: shuffled, every example once; class_balanced, every class equally often."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer and its schedule."""

    kind: OptimizerKind = "sgd"
    """sgd (momentum, coupled weight decay) or adam (decoupled)."""
    learning_rate: float = 0.1
    """Peak learning rate."""
    schedule: ScheduleKind = "cosine"
    """cosine, step or constant."""
    milestones: tuple[float, ...] = ()
    """Epochs after which the step schedule multiplies the learning rate by --optimizer.factor."""
    factor: float = 0.1
    """Factor of the step schedule."""
    warmup_epochs: float = 0.0
    """Epochs of linear warm-up."""
    momentum: float = 0.9
    """Momentum of SGD."""
    nesterov: bool = True
    """Use Nesterov momentum."""
    weight_decay: float = 5e-4
    """Weight decay."""
    decayed: DecayedKind = "kernels"
    """Which parameters decay: kernels (not biases, scales or prior parameters), or all."""
    clip_norm: float | None = None
    """Clip the gradient to this global norm."""
    average_decay: float | None = None
    """Evaluate a moving average of the weights with this decay; None evaluates the weights."""


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """How a strategy scores examples: exactly by default."""

    dtype: Literal["float32", "bfloat16"] | None = None
    """Compute dtype of the network while scoring; None is that of training."""
    resolution: int = 1
    """Downsample images by this factor before scoring."""
    model: str | None = None
    """A small proxy network, trained alongside, that scores in place of the large one: "cnn"."""
    every: int = 1
    """Steps between scorings; in between, the last observed loss of an example is used for all its copies."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment."""

    data: DataConfig = DataConfig()
    model: str = "cnn"
    """A network of jaxaug.create_model, with its options: "wrn_28_10(dropout=0.3)"."""
    regularizer: str | None = None
    """A layer on the residual branches, with its options: StochasticDepth, ShakeDrop.with_final_relu,
    "ShakeDrop.without_final_relu(noise_level='pixel')"."""
    pool: str | None = None
    """A pooling layer that replaces the network's, with its options: GaussianPool, "GaussianPool(prior='half')",
    "MaxEntropyPool(parameters='learned')", MaxPool, AveragePool."""
    conv: str | None = None
    """A layer that replaces the network's spatial convolutions: DisentangledConv, "DisentangledConv(radius=3)"."""
    head: str | None = None
    """A classifier that replaces the network's: RotatedDense, "RotatedDense(degrees=30)"."""
    remat: bool = False
    """Rematerialize the network's blocks in the backward pass, which saves memory and takes longer."""
    augment: tuple[str, ...] = ()
    """Functions of jaxaug.augment in order, with their options: "crop(padding=4)" flip_left_right. The value "mean"
    is the mean color of the training images: "cutout(size=8, fill='mean')". A policy file of experiments.search
    sets both augmentations and mixing: search.json."""
    mix: str | None = None
    """A function of jaxaug.mix, with its options: "ricap(beta=0.3)"; None is no mixing."""
    strategy: str = "always"
    """A strategy of jaxaug.sampling, with its options: always, never, "self_paced(threshold=0.5)",
    "self_paced(threshold='quantile(q=0.5)')", "importance_sampled(num_candidates=4)"."""
    score: ScoreConfig = ScoreConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    epochs: int = 200
    """Number of epochs."""
    batch_size: int = 128
    """Examples per step."""
    label_smoothing: float = 0.0
    """Label smoothing of the training loss."""
    logit_adjustment: float = 0.0
    """Add this multiple of the classes' log prior to the logits in the training loss; usually 1, 0 is off."""
    features_from: pathlib.Path | None = None
    """Directory of a run whose trunk is loaded and frozen, to train a new classifier on its features; images are
    normalized by the statistics of the new run."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype of the network; parameters, statistics and logits stay float32."""
    engine: Engine = "auto"
    """How an epoch runs: scan, loop, or auto."""
    eval_every: int = 1
    """Evaluate after every this many epochs, and after the last."""
    checkpoint_every: int = 1
    """Save a checkpoint after every this many epochs, and after the last."""
    keep: int = 2
    """How many of the last checkpoints to keep, in addition to the best by validation accuracy."""
    seed: int = 0
    """Seed of everything random."""


def as_json(config: Config) -> dict[str, Any]:
    """Returns the config as JSON data."""
    data = dataclasses.asdict(config)
    data["data"]["data_dir"] = None if config.data.data_dir is None else str(config.data.data_dir)
    data["features_from"] = None if config.features_from is None else str(config.features_from)
    data["augment"] = list(config.augment)
    data["optimizer"]["milestones"] = list(config.optimizer.milestones)
    return data


def from_json(data: dict[str, Any]) -> Config:
    """Returns the config of `as_json`; an unknown, missing or mistyped entry raises `ValueError`."""
    try:
        nested = dict(data)
        inner = dict(nested.pop("data"))
        optimizer = dict(nested.pop("optimizer"))
        data_dir, features_from = inner.pop("data_dir"), nested.pop("features_from", None)
        score = ScoreConfig(**nested.pop("score"))
        milestones, augment = _as_tuple(optimizer.pop("milestones")), _as_tuple(nested.pop("augment"))
        config = Config(
            data=DataConfig(data_dir=None if data_dir is None else pathlib.Path(data_dir), **inner),
            optimizer=OptimizerConfig(milestones=milestones, **optimizer),
            augment=augment,
            score=score,
            features_from=None if features_from is None else pathlib.Path(features_from),
            **nested,
        )
        if mistyped := next(_mistyped(config), None):
            raise TypeError(mistyped)
        return config
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a valid config for this version ({one_line(str(error))}).") from None


def _as_tuple(entries: Any) -> Any:
    """Returns a list as a tuple, and anything else, which is a mistake, unchanged."""
    return tuple(entries) if isinstance(entries, list) else entries


def _mistyped(part: Any, prefix: str = "") -> Iterator[str]:
    """Yields a phrase for every entry of a wrong type."""
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if dataclasses.is_dataclass(value):
            yield from _mistyped(value, f"{prefix}{field.name}.")
        elif not _fits(value, field.type):
            kind = field.type.__name__ if isinstance(field.type, type) else str(field.type).replace("typing.", "")
            yield f"{prefix}{field.name} is {one_line(repr(value), limit=60)}, expected {kind}"


def _fits(value: Any, kind: Any) -> bool:
    """Returns whether a value has an entry's type; a number has to be finite."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        return any(_fits(value, each) for each in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(entry, get_args(kind)[0]) for entry in value)
    if kind in (int, float):
        # In Python, True is an int; an int of any size is also a valid float.
        number = isinstance(value, int | kind) and not isinstance(value, bool)
        return number and -math.inf < value < math.inf
    return isinstance(value, kind)
