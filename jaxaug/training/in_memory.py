"""A split that is in the device's memory, and the runner that trains on it.

The steps of an epoch run as `lax.scan` or as a Python loop over the compiled step. XLA's CPU backend runs the backward
pass of a convolution about 20 times slower inside a scan (jax issue 12868), so there "auto" takes the Python loop for
networks with convolutions. In all other cases it takes the scan.
"""

import copy
import math
from collections.abc import Callable, Generator
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_choice
from jaxaug.data import Split
from jaxaug.data.encoded import EncodedImages
from jaxaug.training.jaxprs import count_flops, has_convolution
from jaxaug.training.order import sampled_order
from jaxaug.training.program_cache import abstract, cached, signature
from jaxaug.training.runner import (
    Program,
    accumulate,
    check_batch_size,
    compile_program,
    make_batch,
    zero_totals,
)
from jaxaug.training.sharding import device_put_global, replicated, shard_batch
from jaxaug.training.state import TrainState
from jaxaug.training.step import TrainStep
from jaxaug.training.types import Batch, Engine, Sampling, Totals

# A scan should keep the device busy for about a second: long enough to hide the dispatch, short enough for a progress
# bar. Its length follows from the program, never from a clock, so that a resumed run calls the same programs.
_FLOPS_PER_SCAN = {"cpu": 1e11}
_FLOPS_PER_SCAN_ON_ACCELERATOR = 1e13
_MAX_STEPS_PER_SCAN = 64


class DeviceSplit(NamedTuple):
    """The arrays of a split as they are stored: uint8 images or float32 feature vectors."""

    images: jax.Array  # [N, ...]
    labels: jax.Array  # int32 [N]

    @property
    def size(self) -> int:
        """The number of examples."""
        return self.labels.shape[0]


def device_split(split: Split, mesh: Mesh | None = None) -> DeviceSplit:
    """The split on the default device, or on each device of a mesh.

    Args:
      split: of a `Dataset` in memory.
      mesh: of `data_mesh`, or None.

    Returns:
      Its images as they are stored, and its labels.

    Raises:
      ValueError: the split is streamed from disk.

    Example:
      >>> from jaxaug import load
      >>> device_split(load("iris").train).images.shape
      (120, 4)
    """
    if isinstance(split.images, EncodedImages):
        raise ValueError(
            "device_split takes a split in memory; got one that is streamed from disk. Load the dataset without "
            "stream=True, or train with fit, which also takes streams."
        )
    if mesh is None:
        return DeviceSplit(jax.device_put(split.images), jax.device_put(split.labels))
    return DeviceSplit(*device_put_global(tuple(split), replicated(mesh)))


def gathered_batch(data: DeviceSplit, index: jax.Array, num_classes: int) -> Batch:
    """The batch of the examples in `index`, as a step takes it.

    Args:
      data: of `device_split`.
      index: int32 `[B]`.
      num_classes: K; fixes a shape.

    Returns:
      {"image", "label", "index"}: images in [0, 1] (or feature vectors), one-hot labels `[B, K]`, and the index.

    Example:
      >>> from jaxaug import load
      >>> batch = gathered_batch(device_split(load("iris").train), jnp.array([5, 0]), 3)
      >>> batch["image"].shape, batch["label"].shape
      ((2, 4), (2, 3))
    """
    return make_batch(data.images[index], data.labels[index], index, num_classes)


def in_memory_runner(train_step: TrainStep, state: TrainState, data: DeviceSplit, **options: Any) -> "InMemoryRunner":
    """Returns `InMemoryRunner(train_step, state, data, **options)`, with the programs of an earlier one if they fit."""
    key = (InMemoryRunner, signature(state), signature(data), *sorted(options.items()))
    runner = cached(train_step, key, lambda: InMemoryRunner(train_step, state, abstract(data), **options))
    return runner.with_data(data)


class InMemoryRunner:
    """The `Runner` of a split in memory.

    An epoch has ceil(N / B) steps; the last one takes the remaining N mod B examples, as a program of its own.

    For a population, state, totals and orders have a leading axis of members, and so has the data if each member has
    its own; one program steps all members. With a mesh, the runner must be called under it; batches are sharded over
    the devices, and the state keeps its sharding.

    Args:
      train_step: of `make_train_step`.
      state: a state of the run; only its structure, shapes and shardings matter.
      data: the training split, or its shapes: see `with_data`.
      batch_size: B, at most N.
      num_classes: K.
      engine: "scan", "loop", or "auto", which decides from the backend and the step.
      sampling: see `fit`.
      population: whether the state has a leading axis of members.
      mesh: the devices to train on; None for the default device.
    """

    def __init__(
        self,
        train_step: TrainStep,
        state: TrainState,
        data: DeviceSplit,
        *,
        batch_size: int,
        num_classes: int,
        engine: Engine = "auto",
        sampling: Sampling = "shuffled",
        population: bool = False,
        mesh: Mesh | None = None,
    ):
        check_choice("fit", "engine", engine, get_args(Engine))
        check_choice("fit", "sampling", sampling, get_args(Sampling))
        self.data = data
        self._members = len(state.step) if population else None
        self._shardings = None if mesh is None else jax.tree.map(lambda leaf: leaf.sharding, state)
        data_axis = 0 if data.labels.ndim == 2 else None
        # From here on, the shapes of one member.
        state, data = _abstract_member(state, 0 if population else None), _abstract_member(data, data_axis)
        check_batch_size(batch_size, data.size)
        self.full_steps, self.remainder = divmod(data.size, batch_size)
        self.steps_per_epoch = steps_per_epoch = self.full_steps + bool(self.remainder)

        def vmapped(function: Callable[..., Any], axes: tuple[int | None, ...]) -> Callable[..., Any]:
            return jax.vmap(function, axes) if population else function

        def epoch_start(state: TrainState, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
            epoch, position = jnp.divmod(state.step, steps_per_epoch)
            return sampled_order(sampling, state.key, epoch, labels, num_classes), position

        def steps_of(size: int, length: int | None) -> Program:
            """Returns one step on `size` examples, or a scan over `length` such steps."""

            def steps(
                state: TrainState, totals: Totals, data: DeviceSplit, order: jax.Array
            ) -> tuple[TrainState, Totals]:
                def one_step(carry: tuple[TrainState, Totals], _: None) -> tuple[tuple[TrainState, Totals], None]:
                    state, totals = carry
                    start = (state.step % steps_per_epoch) * batch_size
                    index = jax.lax.dynamic_slice(order, (start,), (size,))
                    batch = make_batch(data.images[index], data.labels[index], index, num_classes)
                    after, metrics = train_step(state, shard_batch(batch))
                    return (after, accumulate(totals, metrics, state.step, size)), None

                if length is None:
                    return one_step((state, totals), None)[0]
                return jax.lax.scan(one_step, (state, totals), length=length)[0]

            return steps

        batch = jax.eval_shape(lambda d: gathered_batch(d, jnp.zeros(batch_size, jnp.int32), num_classes), data)
        jaxpr, (_, self._metrics) = jax.make_jaxpr(train_step, return_shape=True)(state, batch)
        self.engine = choose_engine(engine, jaxpr)
        self.steps_per_scan = 1
        if self.engine == "scan":
            self.steps_per_scan = self._scan_length(count_flops(jaxpr.jaxpr) * (self._members or 1))

        axes = (0, 0, data_axis, 0)
        self._epoch_start = jax.jit(vmapped(epoch_start, (0, data_axis)))
        # These two hold no reference to this runner, so that the cached programs keep no data alive.
        scan = self.engine == "scan"
        self._steps = lambda length: vmapped(steps_of(batch_size, length if scan else None), axes)
        self._last_step = compile_program(vmapped(steps_of(self.remainder, None), axes), self._shardings)
        self._scans: dict[int, Program] = {}
        self.called: set[Program] = set()

    def zero_totals(self) -> Totals:
        """Returns the totals before the first step of an epoch."""
        totals, members = zero_totals(self._metrics), self._members
        return totals if members is None else jax.tree.map(lambda x: jnp.stack([x] * members), totals)

    def programs(self, state: TrainState) -> Generator[tuple[int, Program, tuple[Any, ...]], None, None]:
        """Yields (step, program, inputs) for the rest of the state's epoch; `step` are done after the program."""
        order, position = self._epoch_start(state, self.data.labels)
        step = int(np.ravel(jax.device_get(position))[0])  # the same for all members of a population
        inputs = (self.data, order)
        while step < self.full_steps:
            length = min(self.steps_per_scan, self.full_steps - step)
            if length not in self._scans:
                # Two threads that arrive here together get the same program.
                self._scans.setdefault(length, compile_program(self._steps(length), self._shardings))
            step += length
            yield step, self._scans[length], inputs
        if self.remainder:
            yield self.steps_per_epoch, self._last_step, inputs

    def with_data(self, data: DeviceSplit) -> "InMemoryRunner":
        """Returns a runner with the same programs, for another split of the same shapes."""
        other = copy.copy(self)
        other.data = data
        return other

    def _scan_length(self, flops: float) -> int:
        """Returns how many steps of this cost one scan takes; all scans of an epoch are about equally long."""
        budget = _FLOPS_PER_SCAN.get(jax.default_backend(), _FLOPS_PER_SCAN_ON_ACCELERATOR)
        longest = max(1, min(_MAX_STEPS_PER_SCAN, int(budget / max(flops, 1.0))))
        return math.ceil(self.full_steps / math.ceil(self.full_steps / longest))


def choose_engine(engine: Engine, jaxpr: Any) -> Literal["scan", "loop"]:
    """Returns the engine, with "auto" decided from the backend and the step's jaxpr."""
    if engine != "auto":
        return engine
    return "loop" if jax.default_backend() == "cpu" and has_convolution(jaxpr) else "scan"


def _abstract_member(tree: Any, axis: int | None) -> Any:
    """Returns shapes and dtypes of a tree without its leading axis of members, if it has one."""
    return jax.eval_shape(lambda t: t if axis is None else jax.tree.map(lambda x: x[0], t), tree)
