"""The training machinery on the accelerator: engines, donation, transfers, populations, checkpoints."""

import functools
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxaug
from experiments.accelerator.check.functions import differences
from experiments.accelerator.item import Item, ItemError, Options, Scale
from jaxaug import compose, create_model
from jaxaug.data import Dataset
from jaxaug.training import (
    Checkpoints,
    EvalStep,
    Hooks,
    Progress,
    TrainState,
    TrainStep,
    fit,
    fit_population,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
)

EPOCHS = 2

# Of parameters after two epochs, relative to the largest: what programs that sum in another order differ by.
TOLERANCE = 1e-3

_DATA = {"full": ("synthetic:32x32x3,classes=10,n=1024", 128), "tiny": ("synthetic:8x8x3,classes=4,n=32", 8)}


class Setup(NamedTuple):
    """One small run, whose compiled programs the items share."""

    dataset: Dataset
    batch_size: int
    train_step: TrainStep
    eval_step: EvalStep
    fresh_state: Callable[[int], TrainState]
    """Returns the state of a seed before the first step, in buffers of its own."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of `fit` and `fit_population`."""
        return {"epochs": EPOCHS, "batch_size": self.batch_size, "eval_every": EPOCHS, "eval_batch_size": 256}


@functools.cache
def setup(scale: Scale) -> Setup:
    """Returns the run of a scale: a small convolutional network, half of whose examples are flipped and cropped."""
    name, batch_size = _DATA[scale]
    dataset = jaxaug.load(name)
    model, optimizer = create_model("cnn", dataset.num_classes, width=8), make_optimizer(learning_rate=0.02)
    strategy = jaxaug.always(compose.chain(compose.on_images(jaxaug.crop), compose.on_images(jaxaug.flip_left_right)))

    @jax.jit
    def initial(key: jax.Array) -> TrainState:
        size = len(dataset.train.labels)
        return init_state(key, model, optimizer, strategy, shape=dataset.shape, num_examples=size)

    return Setup(
        dataset,
        batch_size,
        make_train_step(model, optimizer, strategy),
        make_eval_step(model),
        lambda seed: initial(jax.random.key(seed)),
    )


def items(options: Options) -> list[Item]:
    """Returns the items in the order in which they share programs."""
    checks: tuple[tuple[str, float, Callable[[Scale], dict[str, Any]]], ...] = (
        ("scan against loop", 10.0, scan_and_loop),
        ("donation", 2.0, donation),
        ("no transfer in an epoch", 2.0, transfers),
        ("population by vmap", 8.0, population),
        ("checkpoint", 3.0, checkpoint),
    )
    return [Item("check", name, seconds, functools.partial(f, options.scale)) for name, seconds, f in checks]


def trained(scale: Scale, *, engine: Any, seed: int = 0, hooks: Hooks | None = None) -> TrainState:
    """Returns the state after the run, computed in full float32."""
    run = setup(scale)
    with jax.default_matmul_precision("highest"):
        state, _ = fit(
            run.fresh_state(seed), run.train_step, run.eval_step, run.dataset, engine=engine, hooks=hooks, **run.options
        )
    return state


def scan_and_loop(scale: Scale) -> dict[str, Any]:
    """Returns how far the parameters of the two engines are apart."""
    scan, loop = (trained(scale, engine=engine) for engine in ("scan", "loop"))
    return close_enough("scan and loop", [scan.params], [loop.params])


def population(scale: Scale) -> dict[str, Any]:
    """Returns how far members trained by one vmapped program are from each trained alone."""
    run, seeds = setup(scale), range(3)
    with jax.default_matmul_precision("highest"):
        states, _ = fit_population(
            [run.fresh_state(seed) for seed in seeds],
            run.train_step,
            run.eval_step,
            run.dataset,
            engine="vmap",
            **run.options,
        )
    alone = [trained(scale, engine="scan", seed=seed).params for seed in seeds]
    return close_enough("a population and its members", [state.params for state in states if state], alone)


def close_enough(what: str, found: list[Any], expected: list[Any]) -> dict[str, Any]:
    """Returns the deviation, or raises `ItemError` where it is beyond the tolerance."""
    if len(found) != len(expected):
        raise ItemError(f"{what}: {len(expected) - len(found)} members failed.", {})
    deviation, beyond = differences(jax.device_get(found), jax.device_get(expected), TOLERANCE)
    result = {"deviation": deviation, "tolerance": TOLERANCE}
    if beyond:
        raise ItemError(f"{what} differ by {deviation:.2g}.", result)
    return result


def donation(scale: Scale) -> dict[str, Any]:
    """Returns how many arrays of a state one step takes over, which is all of them."""
    run = setup(scale)
    state = run.fresh_state(0)
    batch = example_batch(run)
    step = jax.jit(run.train_step, donate_argnums=0).lower(state, batch).compile()
    memory = step.memory_analysis()
    jax.block_until_ready(step(state, batch))
    leaves = jax.tree.leaves(state)
    kept = [leaf for leaf in leaves if not leaf.is_deleted()]
    result = {"arrays": len(leaves), "kept": len(kept), "bytes_reused": memory and memory.alias_size_in_bytes}
    if kept:
        raise ItemError(f"A step copies {len(kept)} of the {len(leaves)} arrays it was given to reuse.", result)
    return result


def example_batch(run: Setup) -> dict[str, jax.Array]:
    """Returns the first batch of the training split."""
    size, split = run.batch_size, run.dataset.train
    images = np.asarray(split.images[:size], np.float32) / 255
    return jax.device_put(
        {
            "image": images,
            "label": np.eye(run.dataset.num_classes, dtype=np.float32)[split.labels[:size]],
            "index": np.arange(size, dtype=np.int32),
        }
    )


class _GuardedEpochs(Hooks):
    """Forbids every transfer that nobody asked for, from shuffling to the last step of each epoch but the first."""

    seconds_between_progress = 0.0
    guarded_steps = 0

    def on_epoch(self, record: Any, state: Any, totals: Any) -> None:
        jax.config.update("jax_transfer_guard", "disallow")

    def on_progress(self, progress: Progress) -> None:
        if progress.epoch > 1 and progress.step == progress.steps:
            self.guarded_steps += progress.steps
            jax.config.update("jax_transfer_guard", "allow")


def transfers(scale: Scale) -> dict[str, Any]:
    """Returns how many steps each engine took under a guard that raises at an implicit transfer."""
    steps = {}
    for engine in ("scan", "loop"):
        hooks = _GuardedEpochs()
        try:
            trained(scale, engine=engine, hooks=hooks)
        finally:
            jax.config.update("jax_transfer_guard", "allow")
        steps[f"guarded_steps_{engine}"] = hooks.guarded_steps
    if not all(steps.values()):
        raise ItemError("No step was taken under the guard.", steps)
    return steps


def checkpoint(scale: Scale) -> dict[str, Any]:
    """Returns the bytes of a state that was saved and restored to the same bits."""
    state = trained(scale, engine="scan")
    with tempfile.TemporaryDirectory() as directory, Checkpoints(directory) as checkpoints:
        totals = {"examples": jax.numpy.zeros((), "int32"), "loss": jax.numpy.zeros(())}
        checkpoints.save(state, totals)
        restored, _ = checkpoints.restore(setup(scale).fresh_state(1))
    before, after = ([bits(leaf) for leaf in jax.tree.leaves(tree)] for tree in (state, restored))
    different = sum(one != other for one, other in zip(before, after, strict=True))
    result = {"arrays": len(before), "bytes": sum(map(len, before)), "different": different}
    if different:
        raise ItemError(f"{different} of {len(before)} arrays were not restored to the bits that were saved.", result)
    return result


def bits(leaf: jax.Array) -> bytes:
    """Returns the bits of an array, of keys too."""
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(jax.device_get(leaf)).tobytes()
