"""A config's parts, made of the library's functions."""

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
from experiments.run.call_syntax import named_function, parse_call
from experiments.run.config import Config
from experiments.run.downsample import downsample
from experiments.run.restore_trunk import with_features
from jaxaug import augment, compose, data, layers, mix, sampling
from jaxaug.checks import check_number
from jaxaug.models import pooling
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

# Thresholds of self_paced that are no numbers.
_THRESHOLDS = {"quantile": lambda *, q: sampling.quantile(q)}


def always_shaken(
    *, keep_prob: float, alpha: Any = (-1.0, 1.0), beta: Any = (0.0, 1.0), noise_level: Any = "example"
) -> nn.Module:
    """Returns a ShakeDrop whose gate never opens, at any depth: Shake-Shake on a single branch."""
    return layers.ShakeDrop(0.0, alpha, beta, noise_level=noise_level)


# Layers that a network can be given, by the part they take.
_LAYERS: dict[str, dict[str, Callable[..., nn.Module]]] = {
    "regularizer": {
        "StochasticDepth": layers.StochasticDepth,
        "ShakeDrop": layers.ShakeDrop,
        "ShakeDrop.without_final_relu": layers.ShakeDrop.without_final_relu,
        "ShakeDrop.with_final_relu": layers.ShakeDrop.with_final_relu,
        "always_shaken": always_shaken,
    },
    "pool": {
        "GaussianPool": layers.GaussianPool,
        "MaxEntropyPool": layers.MaxEntropyPool,
        "MaxPool": pooling.MaxPool,
        "AveragePool": pooling.AveragePool,
    },
    "conv": {"DisentangledConv": layers.DisentangledConv},
    "head": {"RotatedDense": layers.RotatedDense},
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What `fit` needs."""

    dataset: data.Dataset
    model: nn.Module
    state: TrainState
    train_step: TrainStep
    eval_step: EvalStep
    steps: int  # of the whole run


def whole_dataset(config: Config) -> data.Dataset:
    """Returns the dataset with all its training examples."""
    dataset = data.load(
        config.data.name,
        data_dir=config.data.data_dir,
        image_size=config.data.image_size,
        stream=config.data.stream,
        random_crop=config.data.random_crop,
        on_corrupt=config.data.on_corrupt,
    )
    if config.data.downsample is not None:
        dataset = downsample(dataset, config.data.downsample)
    return dataset


def built_dataset(config: Config) -> data.Dataset:
    """Returns the dataset with the validation split and the subset that the config asks for."""
    return thinned(whole_dataset(config), config)


def thinned(dataset: data.Dataset, config: Config) -> data.Dataset:
    """Returns a loaded dataset with the validation split and the subset that the config asks for."""
    if config.data.validation:
        dataset = data.with_validation(dataset, config.data.validation)
    if config.data.num_examples is not None:
        dataset = data.subset(dataset, config.data.num_examples, seed=config.seed)
    if config.data.imbalance is not None:
        dataset = data.long_tailed(dataset, config.data.imbalance, seed=config.seed)
    return dataset


def built_factory(part: str, text: str) -> Callable[..., nn.Module]:
    """Returns the factory of a part of a network that a call names."""
    function, options = named_function(text, _LAYERS[part], part)
    for name in FIXED_ARGS[part]:
        if name in options:
            raise ValueError(f"{name} of a {part} follows from its place in the network; got {text!r}.")
    return functools.partial(function, **options)


def built_model(config: Config, num_classes: int) -> nn.Module:
    """Returns the config's network, with the layers that it names."""
    name, options = parse_call(config.model)
    named = {part: getattr(config, part) for part in _LAYERS}
    factories = {part: built_factory(part, call) for part, call in named.items() if call is not None}
    dtype = jnp.dtype(config.dtype)
    return jaxaug.create_model(name, num_classes, dtype=dtype, remat=config.remat, **factories, **options)


def built_scorer(config: Config, num_classes: int, normalize: Normalize, optimizer: Any) -> Scorer:
    """Returns how the strategy's scores are taken."""
    score = config.score
    dtype = score.dtype or config.dtype
    if score.model is None:
        model = built_model(dataclasses.replace(config, dtype=dtype), num_classes)
        scorer = network_scorer(model, normalize=normalize, resolution=score.resolution)
    elif score.resolution != 1:
        raise ValueError("--score.resolution is for the network itself; got it beside --score.model.")
    else:
        scorer = proxy_scorer(
            built_model(Config(model=score.model, dtype=dtype), num_classes), optimizer, normalize=normalize
        )
    return scorer if score.every == 1 else score_every(scorer, score.every)


def _functions(package: Any, arguments: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    """Returns the package's functions whose first parameters are these."""
    named = {name: getattr(package, name) for name in package.__all__}
    return {
        name: function
        for name, function in named.items()
        if inspect.isfunction(function)
        and tuple(p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY)
        == arguments
    }


def built_augmentation(config: Config, dataset: data.Dataset) -> compose.Augmentation:
    """Returns the chain of the config's augmentations and its mixing."""
    plain = _functions(augment, ("key", "images")) | _functions(augment, ("key", "inputs"))
    fns = []
    for text in config.augment:
        function, options = named_function(text, plain, "augmentation")
        options = {name: jnp.asarray(dataset.mean) if value == "mean" else value for name, value in options.items()}
        fns.append(compose.on_images(function, **options))
    if config.mix is not None:
        function, options = named_function(config.mix, _functions(mix, ("key", "images", "labels")), "mixing")
        fns.append(compose.on_pairs(function, **options))
    return compose.chain(*fns)


def built_strategy(config: Config, augmentation: compose.Augmentation) -> sampling.Strategy:
    """Returns the strategy, around the augmentation where it takes one."""
    strategies = _functions(sampling, ("augment",)) | _functions(sampling, ())
    function, options = named_function(config.strategy, strategies, "strategy")
    if isinstance(options.get("threshold"), str):
        made, its_options = named_function(options["threshold"], _THRESHOLDS, "threshold")
        options["threshold"] = made(**its_options)
    takes_augment = "augment" in inspect.signature(function).parameters
    return function(augmentation, **options) if takes_augment else function(**options)


def built_optimizer(config: Config, num_examples: int) -> optax.GradientTransformation:
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
    """Returns the function that takes the training images' channels to mean 0 and deviation 1."""
    shape = (1,) * len(dataset.shape) + (-1,)
    mean, std = dataset.mean.reshape(shape), dataset.std.reshape(shape)
    return lambda images: (images - mean) / std


def built_logit_adjustment(config: Config, dataset: data.Dataset) -> jax.Array | None:
    """Returns what is added to the logits in the training loss, None where that is nothing."""
    check_number("experiments.train", "--logit-adjustment", config.logit_adjustment, 0.0)
    if config.logit_adjustment == 0:
        return None
    return config.logit_adjustment * log_prior(np.bincount(dataset.train.labels, minlength=dataset.num_classes))


class Parts(NamedTuple):
    """What an experiment is made of, whatever its seed."""

    model: nn.Module
    init: Callable[[jax.Array], TrainState]  # from the key to the state at step 0
    train_step: TrainStep
    eval_step: EvalStep


def built_parts(
    config: Config, dataset: data.Dataset, train: data.Dataset | None = None, *, trained: Literal["all", "head"] = "all"
) -> Parts:
    """Returns the parts of an experiment.

    Args:
      config: the recipe.
      dataset: whose training images the images are normalized by.
      train: whose training examples are trained on; None is `dataset`.
      trained: "all", or "head" for a new classifier on the features of a trained network.
    """
    train = dataset if train is None else train
    num_examples = len(train.train.labels)
    check_batch_size(config.batch_size, num_examples)
    model = built_model(config, dataset.num_classes)
    strategy = built_strategy(config, built_augmentation(config, dataset))
    optimizer = built_optimizer(config, num_examples)
    normalize = normalization(dataset)
    scorer = built_scorer(config, dataset.num_classes, normalize, optimizer)
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
        logit_adjustment=built_logit_adjustment(config, train),
        trained=trained,
    )
    return Parts(model, init, train_step, make_eval_step(model, normalize=normalize))


def built(config: Config, *, dataset: data.Dataset | None = None, resumed: bool = False) -> Experiment:
    """Returns the experiment, its state at step 0, once its step has been traced: what does not fit fails here.

    `dataset` is the result of `built_dataset`, if the caller already has it. The state of an experiment that is resumed
    has only the form of one: the run that its features are from may be gone.
    """
    dataset = built_dataset(config) if dataset is None else dataset
    parts = built_parts(config, dataset, trained="all" if config.features_from is None else "head")
    state = parts.init(jax.random.key(config.seed))
    batch = {
        "image": jax.ShapeDtypeStruct((config.batch_size, *dataset.shape), jnp.float32),
        "label": jax.ShapeDtypeStruct((config.batch_size, dataset.num_classes), jnp.float32),
        "index": jax.ShapeDtypeStruct((config.batch_size,), jnp.int32),
    }
    jax.eval_shape(parts.train_step, state, batch)
    state = state if resumed else with_features(state, config)
    steps = config.epochs * math.ceil(len(dataset.train.labels) / config.batch_size)
    return Experiment(dataset, parts.model, state, parts.train_step, parts.eval_step, steps)
