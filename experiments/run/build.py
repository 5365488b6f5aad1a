"""Builds what a config describes: dataset, network, strategy, optimizer and training step."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxaug
from experiments.run.call_syntax import parse_call, resolve_call
from experiments.run.components import AUGMENTATIONS, LAYERS, MIXINGS, STRATEGIES, THRESHOLDS
from experiments.run.config import Config
from experiments.run.downsample import downsample
from experiments.run.restore_trunk import restore_trunk_of_run
from jaxaug import compose, data, sampling
from jaxaug.checks import check_number
from jaxaug.models.registry import FIXED_ARGS
from jaxaug.training import (
    EvalStep,
    Scorer,
    TrainState,
    TrainStep,
    check_batch_size,
    init_state,
    log_prior,
    make_eval_step,
    make_optimizer,
    make_schedule,
    make_train_step,
    network_scorer,
    proxy_scorer,
    score_every,
)

Normalize = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that `fit` needs."""

    dataset: data.Dataset
    model: nn.Module
    state: TrainState
    train_step: TrainStep
    eval_step: EvalStep
    steps: int  # of the whole run


def load_dataset(config: Config) -> data.Dataset:
    """Returns the dataset with all its training examples."""
    dataset = data.load(
        config.data.name,
        data_dir=config.data.data_dir,
        image_size=config.data.image_size,
        stream=config.data.stream,
        random_crop=config.data.random_crop,
        on_corrupt=config.data.on_corrupt,
    )
    return dataset if config.data.downsample is None else downsample(dataset, config.data.downsample)


def build_dataset(config: Config) -> data.Dataset:
    """Returns the dataset with the validation split and the subset that the config asks for."""
    return subsample(load_dataset(config), config)


def subsample(dataset: data.Dataset, config: Config) -> data.Dataset:
    """Returns a loaded dataset with the validation split and the subset that the config asks for."""
    if config.data.validation:
        dataset = data.with_validation(dataset, config.data.validation)
    if config.data.num_examples is not None:
        dataset = data.subset(dataset, config.data.num_examples, seed=config.seed)
    if config.data.imbalance is not None:
        dataset = data.long_tailed(dataset, config.data.imbalance, seed=config.seed)
    return dataset


def layer_factory(part: str, text: str) -> Callable[..., nn.Module]:
    """Returns the factory that a call names for a part of a network."""
    factory, options = resolve_call(text, LAYERS[part], part)
    for name in FIXED_ARGS[part]:
        if name in options:
            raise ValueError(f"the {name} of a {part} is set by the network; remove it from {text!r}.")
    return functools.partial(factory, **options)


def build_model(config: Config, num_classes: int) -> nn.Module:
    """Returns the config's network, with the layers that it names."""
    name, options = parse_call(config.model)
    calls = {part: getattr(config, part) for part in LAYERS}
    factories = {part: layer_factory(part, call) for part, call in calls.items() if call is not None}
    dtype = jnp.dtype(config.dtype)
    return jaxaug.create_model(name, num_classes, dtype=dtype, remat=config.remat, **factories, **options)


def build_scorer(config: Config, num_classes: int, normalize: Normalize, optimizer: Any) -> Scorer:
    """Returns the scorer of the strategy."""
    score = config.score
    dtype = score.dtype or config.dtype
    if score.model is None:
        model = build_model(dataclasses.replace(config, dtype=dtype), num_classes)
        scorer = network_scorer(model, normalize=normalize, resolution=score.resolution)
    elif score.resolution != 1:
        raise ValueError("--score.resolution applies to the trained network only; remove it, or --score.model.")
    else:
        proxy = build_model(Config(model=score.model, dtype=dtype), num_classes)
        scorer = proxy_scorer(proxy, optimizer, normalize=normalize)
    return scorer if score.every == 1 else score_every(scorer, score.every)


def build_augmentation(config: Config, dataset: data.Dataset) -> compose.Augmentation:
    """Returns the chain of the config's augmentations and its mixing."""
    fns = []
    for text in config.augment:
        function, options = resolve_call(text, AUGMENTATIONS, "augmentation")
        options = {name: jnp.asarray(dataset.mean) if value == "mean" else value for name, value in options.items()}
        fns.append(compose.on_images(function, **options))
    if config.mix is not None:
        function, options = resolve_call(config.mix, MIXINGS, "mixing")
        fns.append(compose.on_pairs(function, **options))
    return compose.chain(*fns)


def build_strategy(config: Config, augmentation: compose.Augmentation) -> sampling.Strategy:
    """Returns the strategy, applied to the augmentation where it takes one."""
    strategy, options = resolve_call(config.strategy, STRATEGIES, "strategy")
    if isinstance(options.get("threshold"), str):
        threshold, threshold_options = resolve_call(options["threshold"], THRESHOLDS, "threshold")
        options["threshold"] = threshold(**threshold_options)
    takes_augment = "augment" in inspect.signature(strategy).parameters
    return strategy(augmentation, **options) if takes_augment else strategy(**options)


def build_optimizer(config: Config, num_examples: int) -> optax.GradientTransformation:
    """Returns the optimizer with its schedule."""
    o = config.optimizer
    schedule = make_schedule(
        o.schedule,
        learning_rate=o.learning_rate,
        epochs=config.epochs,
        steps_per_epoch=math.ceil(num_examples / config.batch_size),
        milestones=o.milestones,
        factor=o.factor,
        warmup_epochs=o.warmup_epochs,
    )
    return make_optimizer(
        o.kind,
        learning_rate=schedule,
        momentum=o.momentum,
        nesterov=o.nesterov,
        weight_decay=o.weight_decay,
        decayed=o.decayed,
        clip_norm=o.clip_norm,
    )


def normalization(dataset: data.Dataset) -> Normalize:
    """Returns the function that normalizes each channel by the training images' mean and standard deviation."""
    shape = (1,) * len(dataset.shape) + (-1,)
    mean, std = dataset.mean.reshape(shape), dataset.std.reshape(shape)
    return lambda images: (images - mean) / std


def build_logit_adjustment(config: Config, dataset: data.Dataset) -> jax.Array | None:
    """Returns the term added to the logits in the training loss, or None."""
    check_number("experiments.train", "--logit-adjustment", config.logit_adjustment, 0.0)
    if config.logit_adjustment == 0:
        return None
    return config.logit_adjustment * log_prior(np.bincount(dataset.train.labels, minlength=dataset.num_classes))


class Parts(NamedTuple):
    """The parts of an experiment that do not depend on its seed."""

    model: nn.Module
    init: Callable[[jax.Array], TrainState]  # from the key to the state at step 0
    train_step: TrainStep
    eval_step: EvalStep


def build_parts(
    config: Config, dataset: data.Dataset, train: data.Dataset | None = None, *, trained: Literal["all", "head"] = "all"
) -> Parts:
    """Returns the parts of an experiment.

    Args:
      config: the recipe.
      dataset: its training images give the mean and standard deviation for normalization.
      train: its training examples are trained on; None is `dataset`.
      trained: "all", or "head" for a new classifier on the features of a trained network.
    """
    train = dataset if train is None else train
    num_examples = len(train.train.labels)
    check_batch_size(config.batch_size, num_examples)
    model = build_model(config, dataset.num_classes)
    strategy = build_strategy(config, build_augmentation(config, dataset))
    optimizer = build_optimizer(config, num_examples)
    normalize = normalization(dataset)
    scorer = build_scorer(config, dataset.num_classes, normalize, optimizer)
    average_decay = config.optimizer.average_decay

    def init(key: jax.Array) -> TrainState:
        return init_state(
            key,
            model,
            optimizer,
            strategy,
            shape=dataset.shape,
            num_examples=num_examples,
            average=average_decay is not None,
            scorer=scorer,
            trained=trained,
        )

    train_step = make_train_step(
        model,
        optimizer,
        strategy,
        normalize=normalize,
        label_smoothing=config.label_smoothing,
        average_decay=average_decay,
        scorer=scorer,
        logit_adjustment=build_logit_adjustment(config, train),
        trained=trained,
    )
    return Parts(model, init, train_step, make_eval_step(model, normalize=normalize))


def build_experiment(config: Config, *, dataset: data.Dataset | None = None, resumed: bool = False) -> Experiment:
    """Returns the experiment with its state at step 0, after tracing the training step to catch mistakes early.

    Args:
      config: of the experiment.
      dataset: the result of `build_dataset`, if the caller already has it.
      resumed: whether a checkpoint will replace the state, so that the run of --features-from is not read.
    """
    dataset = build_dataset(config) if dataset is None else dataset
    parts = build_parts(config, dataset, trained="all" if config.features_from is None else "head")
    state = parts.init(jax.random.key(config.seed))
    batch = {
        "image": jax.ShapeDtypeStruct((config.batch_size, *dataset.shape), jnp.float32),
        "label": jax.ShapeDtypeStruct((config.batch_size, dataset.num_classes), jnp.float32),
        "index": jax.ShapeDtypeStruct((config.batch_size,), jnp.int32),
    }
    jax.eval_shape(parts.train_step, state, batch)
    state = state if resumed else restore_trunk_of_run(state, config)
    steps = config.epochs * math.ceil(len(dataset.train.labels) / config.batch_size)
    return Experiment(dataset, parts.model, state, parts.train_step, parts.eval_step, steps)
