"""One training step of each network family, at the smallest size that has all of its kinds of layers."""

import concurrent.futures
import functools
import math
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.accelerator.item import Item, ItemError, Options
from jaxaug.models import create_model
from jaxaug.sampling import never
from jaxaug.training import TrainState, init_state, make_train_step

CLASSES = 10

# A name for each way that networks are built, with what keeps it small.
SMALL: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"hidden": (16,)},
    "cnn": {"width": 8},
    "resnet20": {},
    "wrn_10_1": {},
    "preact_resnet18": {},
    "resnet10": {},
    "vgg13": {"head_size": 1},
    "mobilenet": {"width": 0.25, "total_stride": 8},
    "pyramidnet8_12": {},
    "shake_shake_8_2x8d": {},
    "shake_shake_11_2x2x4d": {},
    "densenet_bc_10_4": {},
    "resnext29_2x4d": {},
    "vgg16_mod": {},
    "resnext50_2x4d": {},
    "densenet121": {},
}

# Compiled side by side, with an estimate for each group.
_GROUPS = (
    (("mlp", "cnn", "resnet20", "wrn_10_1"), 8.0),
    (("preact_resnet18", "resnet10", "vgg13", "mobilenet"), 8.0),
    (("pyramidnet8_12", "shake_shake_8_2x8d", "shake_shake_11_2x2x4d", "densenet_bc_10_4"), 8.0),
    (("resnext29_2x4d", "vgg16_mod"), 8.0),
    (("resnext50_2x4d", "densenet121"), 15.0),
)

# Autotuning a GPU's convolutions takes most of a compilation, and one step is not worth it.
_QUICK: dict[str, str | bool] = {"xla_gpu_autotune_level": "0"}


def items(options: Options) -> list[Item]:
    """Returns an item for each group of networks, which are compiled side by side."""
    batch, side = (64, 32) if options.scale == "full" else (2, 32)
    return [
        Item(
            "check",
            f"networks: {', '.join(names)}",
            seconds,
            functools.partial(trained_networks, names, batch=batch, side=side),
            settings={"batch": batch, "side": side, "dtype": "bfloat16", "autotuned": False},
        )
        for names, seconds in _GROUPS
    ]


def trained_networks(names: tuple[str, ...], *, batch: int, side: int) -> dict[str, Any]:
    """Returns the loss of one step of each network, and the seconds that compiling it took.

    Raises:
      ItemError: a network failed, or its loss or update is not finite.
    """
    found = {}
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        running = {name: pool.submit(trained_network, name, batch=batch, side=side) for name in names}
    for name, future in running.items():
        error = future.exception()
        found[name] = future.result() if error is None else {"error": f"{type(error).__name__}: {error}"[:500]}
    result = {"count": len(names), "networks": found}
    if failed := [name for name, entry in found.items() if not entry.get("finite")]:
        raise ItemError(f"One training step failed: {', '.join(failed)}.", result)
    return result


def trained_network(name: str, *, batch: int, side: int) -> dict[str, Any]:
    """Returns the loss of one step of a network, whether loss and update are finite, and seconds of compilation."""
    began = time.perf_counter()
    key = jax.random.key(0)
    images = np.random.default_rng(0).uniform(0.0, 1.0, (batch, side, side, 3)).astype(np.float32)
    lowered = jax.jit(first_step(name, jnp.bfloat16)).lower(key, images)
    compiled = lowered.compile(compiler_options=_QUICK if jax.default_backend() == "gpu" else None)
    seconds = time.perf_counter() - began
    loss, finite = jax.device_get(compiled(key, images))
    return {
        "loss": float(loss) if math.isfinite(loss) else None,
        "finite": bool(finite),
        "compile_seconds": round(seconds, 2),
    }


def first_step(name: str, dtype: Any) -> Any:
    """Returns a function (key, images) -> (loss, finite): a network is drawn, and takes its first training step."""
    model, optimizer, strategy = create_model(name, CLASSES, dtype=dtype, **SMALL[name]), optax.sgd(0.01), never()
    step = make_train_step(model, optimizer, strategy)

    def stepped(key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        count = images.shape[0]
        state: TrainState = init_state(key, model, optimizer, strategy, shape=images.shape[1:], num_examples=count)
        index = jnp.arange(count)
        batch = {"image": images, "label": jax.nn.one_hot(index % CLASSES, CLASSES), "index": index}
        _, metrics = step(state, batch)
        return metrics["loss"], metrics["finite"]

    return stepped
