"""Batches, states and compiled training steps for the benchmarks."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxaug import create_model, never
from jaxaug.data import Dataset
from jaxaug.sampling import Strategy
from jaxaug.training import Scorer, TrainState, init_state, make_eval_step, make_optimizer, make_train_step


def random_batch(size: int, *, classes: int) -> dict[str, jax.Array]:
    """Returns a batch of 32 x 32 noise images."""
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.random((size, 32, 32, 3), np.float32)),
        "label": jax.nn.one_hot(jnp.asarray(rng.integers(0, classes, size)), classes),
        "index": jnp.arange(size),
    }


def initial_state(name: str, dataset: Dataset) -> tuple[TrainState, tuple[Any, Any]]:
    """Returns a state at step 0, and the training and the evaluation step."""
    model, optimizer = create_model(name, dataset.num_classes), make_optimizer(learning_rate=0.01)
    sizes = {"shape": dataset.shape, "num_examples": len(dataset.train.labels)}
    state = init_state(jax.random.key(0), model, optimizer, never(), **sizes)
    return state, (make_train_step(model, optimizer, never()), make_eval_step(model))


def abstract_state(model: nn.Module, optimizer: Any, strategy: Strategy, num_examples: int) -> Any:
    """Returns shapes and dtypes of a state for 32 x 32 images, to compile a step without running it."""

    def initial(key: jax.Array) -> TrainState:
        return init_state(key, model, optimizer, strategy, shape=(32, 32, 3), num_examples=num_examples)

    return jax.eval_shape(initial, jax.random.key(0))


def step_call(model: nn.Module, strategy: Strategy, scorer: Scorer | None, batch: Any) -> Callable[[], Any]:
    """Returns a call of one compiled training step; each call continues from the last."""
    optimizer = make_optimizer(learning_rate=0.01, weight_decay=5e-4)
    shape, examples = batch["image"].shape[1:], batch["index"].shape[0]
    state = init_state(jax.random.key(0), model, optimizer, strategy, shape=shape, num_examples=examples, scorer=scorer)
    step = jax.jit(make_train_step(model, optimizer, strategy, scorer=scorer), donate_argnums=0)

    def call() -> Any:
        nonlocal state
        state, metrics = step(state, batch)
        return state.params, metrics  # both: the loss is ready before the update is

    return call


def counted_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Returns the floating-point operations of a function, as XLA counts them before it optimizes.

    The CPU's compiler counts them: that of a GPU does not count programs that it has not compiled.
    """
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        analysis: Any = jax.jit(function).lower(*abstract).cost_analysis()
    return float(analysis["flops"]) if analysis else float("nan")
