"""How an epoch is run: `lax.scan` over the step, or a Python loop over the same compiled step.

XLA's CPU backend runs the backward pass of a convolution about 20 times slower inside a loop body (jax issue 12868),
so there "auto" takes the Python loop for networks with convolutions, and the scan everywhere else.
"""

import copy
import math
from collections.abc import Callable, Generator, Iterator
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_choice, check_size
from jaxaug.training.device_data import DeviceSplit, epoch_order, gathered_batch
from jaxaug.training.long_tail import class_balanced_order
from jaxaug.training.sharding import shard_batch
from jaxaug.training.state import TrainState
from jaxaug.training.step import TrainStep

Engine = Literal["auto", "scan", "loop"]
Sampling = Literal["shuffled", "class_balanced"]
Sums = dict[str, jax.Array]
Program = Callable[[TrainState, Sums, DeviceSplit, jax.Array], tuple[TrainState, Sums, jax.Array]]
Call = Callable[[TrainState, Sums], tuple[TrainState, Sums, jax.Array]]

# A scan should keep a device busy for about a second: long enough to hide the dispatch, short enough for a progress
# bar. The length follows from the program alone, never from a clock, so that a resumed run takes the same programs.
_FLOPS_PER_CHUNK = {"cpu": 1e11}
_FLOPS_PER_CHUNK_ON_ACCELERATOR = 1e13
_MOST_STEPS_PER_CHUNK = 64


def chosen_engine(engine: Engine, jaxpr: Any) -> Literal["scan", "loop"]:
    """Returns "scan" or "loop", deciding "auto" from the backend and the step's jaxpr."""
    if engine != "auto":
        return engine
    return "loop" if jax.default_backend() == "cpu" and holds_convolution(jaxpr) else "scan"


def holds_convolution(jaxpr: Any) -> bool:
    """Returns whether a jaxpr, inner ones included, has a convolution."""
    return "conv_general_dilated" in str(jaxpr)


def check_batch_size(batch_size: int, num_examples: int) -> None:
    """Raises unless a batch can be cut from so many examples."""
    check_size("fit", "batch_size", batch_size, 1)
    if batch_size > num_examples:
        raise ValueError(f"fit takes a batch size of at most the {num_examples} training examples; got {batch_size}.")


def sampled_order(
    sampling: Sampling, key: jax.Array, epoch: jax.Array, labels: jax.Array, num_classes: int
) -> jax.Array:
    """Returns the order of the examples in an epoch, int32 `[N]`, by how it is sampled."""
    if sampling == "shuffled":
        return epoch_order(key, epoch, labels.shape[0])
    return class_balanced_order(key, epoch, labels, num_classes)


class EpochRunner:
    """The compiled programs that take a state through an epoch of one split.

    An epoch has ceil(N / B) steps; the last one takes the N mod B examples that are left, as a program of its own.
    It is N draws by either sampling: every example once, or every class equally often.

    Over a population, states, sums and orders have a leading axis of members, and so has the data where each member has
    its own; one program takes all members a step. With a mesh, under which it has to be called, batches are shared out
    among the devices, and the state stays where its leaves lie.
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
        data_axis = 0 if data.labels.ndim == 2 else None
        given = state
        # From here on, the forms of one member's.
        state = _form(state, 0 if population else None)
        data = _form(data, data_axis)
        check_batch_size(batch_size, data.size)
        self.full_steps, self.rest = divmod(data.size, batch_size)
        self.steps_per_epoch = self.full_steps + bool(self.rest)
        self.batch_size = batch_size

        def advanced(state: TrainState, sums: Sums, data: DeviceSplit, index: jax.Array) -> tuple[TrainState, Sums]:
            step = state.step
            state, metrics = train_step(state, shard_batch(gathered_batch(data, index, num_classes)))
            return state, added(sums, metrics, step, index.shape[0])

        def one_step(state: TrainState, sums: Sums, data: DeviceSplit, order: jax.Array) -> tuple[TrainState, Sums]:
            start = (state.step % self.steps_per_epoch) * batch_size
            return advanced(state, sums, data, jax.lax.dynamic_slice(order, (start,), (batch_size,)))

        def last_step(state: TrainState, sums: Sums, data: DeviceSplit, order: jax.Array) -> tuple[TrainState, Sums]:
            return advanced(state, sums, data, order[self.full_steps * batch_size :])

        def epoch_start(state: TrainState, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
            epoch = state.step // self.steps_per_epoch
            order = sampled_order(sampling, state.key, epoch, labels, num_classes)
            return order, state.step % self.steps_per_epoch

        def of_all(function: Callable[..., Any], axes: tuple[int | None, ...]) -> Callable[..., Any]:
            return jax.vmap(function, axes) if population else function

        self._epoch_start = jax.jit(of_all(epoch_start, (0, data_axis)))
        self._one_step = of_all(one_step, (0, 0, data_axis, 0))
        shardings = None if mesh is None else jax.tree.map(lambda leaf: leaf.sharding, given)
        self._shardings = shardings
        self._last = compiled_program(of_all(last_step, (0, 0, data_axis, 0)), shardings)
        self._chunks: dict[int, Program] = {}

        batch = jax.eval_shape(lambda d: gathered_batch(d, jnp.zeros(batch_size, jnp.int32), num_classes), data)
        jaxpr, (_, metrics) = jax.make_jaxpr(train_step, return_shape=True)(state, batch)
        self._metrics = metrics
        self.engine = chosen_engine(engine, jaxpr)
        self.chunk_length = 1
        if self.engine == "scan":
            order = jax.eval_shape(epoch_start, state, data.labels)[0]
            cost = jax.jit(one_step).lower(state, zero_sums(metrics), data, order).cost_analysis() or {}
            self.chunk_length = self._scanned_steps(float(cost.get("flops", 0.0)) * (self._members or 1))

    def epoch_start(self, state: TrainState) -> tuple[jax.Array, jax.Array]:
        """Returns the order of the examples in the state's epoch, int32 `[N]`, and the steps of it that are done."""
        return self._epoch_start(state, self.data.labels)

    def epoch(self, state: TrainState) -> tuple[int, Generator[tuple[int, Call], None, None]]:
        """Returns how many steps of the state's epoch are done, and (steps, call) for the rest of it."""
        order, start = self.epoch_start(state)
        position = int(np.ravel(jax.device_get(start))[0])  # the same for all members of a population

        def calls() -> Generator[tuple[int, Call], None, None]:
            for steps, program in self.programs(position):
                yield steps, lambda state, sums, program=program: program(state, sums, self.data, order)

        return position, calls()

    def with_data(self, data: DeviceSplit) -> "EpochRunner":
        """Returns a runner of the same programs on another split of the same shapes."""
        other = copy.copy(self)
        other.data = data
        return other

    def zero_sums(self) -> Sums:
        """Returns the sums of an epoch that has not begun."""
        sums, members = zero_sums(self._metrics), self._members
        return sums if members is None else jax.tree.map(lambda x: jnp.stack([x] * members), sums)

    def _scanned_steps(self, flops: float) -> int:
        """Returns how many steps of so many operations one scan takes, an even share of the epoch."""
        budget = _FLOPS_PER_CHUNK.get(jax.default_backend(), _FLOPS_PER_CHUNK_ON_ACCELERATOR)
        most = max(1, min(_MOST_STEPS_PER_CHUNK, int(budget / max(flops, 1.0))))
        return math.ceil(self.full_steps / math.ceil(self.full_steps / most))

    def programs(self, position: int) -> Iterator[tuple[int, Program]]:
        """Yields (steps, program) from a position in the epoch to its end."""
        while position < self.full_steps:
            length = min(self.chunk_length, self.full_steps - position)
            yield length, self._chunk(length)
            position += length
        if self.rest:
            yield 1, self._last

    def _chunk(self, length: int) -> Program:
        one_step = self._one_step  # and nothing else of this runner, whose data the program would keep

        def chunk(state: TrainState, sums: Sums, data: DeviceSplit, order: jax.Array) -> tuple[TrainState, Sums]:
            def body(carry: tuple[TrainState, Sums], _: None) -> tuple[tuple[TrainState, Sums], None]:
                return one_step(*carry, data, order), None

            return jax.lax.scan(body, (state, sums), length=length)[0]

        if length not in self._chunks:
            program = compiled_program(one_step if self.engine == "loop" else chunk, self._shardings)
            self._chunks.setdefault(length, program)  # threads that come here together take the same
        return self._chunks[length]


def _form(tree: Any, axis: int | None) -> Any:
    """Returns shapes and dtypes, without the leading axis where there is one."""
    return jax.eval_shape(lambda t: t if axis is None else jax.tree.map(lambda x: x[0], t), tree)


def compiled_program(
    steps: Callable[..., tuple[TrainState, Sums]], shardings: Any = None
) -> Callable[..., tuple[TrainState, Sums, jax.Array]]:
    """Returns the compiled steps, with a third result that is ready when they are done and belongs to nobody.

    State and sums are given away to the next program, so neither can be waited for. Once a program is compiled, its
    arguments are all on the device: a transfer that nobody asked for is then a mistake, and raises.
    """
    compiled = False

    def program(state: TrainState, sums: Sums, *inputs: Any) -> tuple[TrainState, Sums, jax.Array]:
        state, sums = steps(state, sums, *inputs)
        return state, sums, sums["examples"]

    # A state that came back elsewhere would not fit the program that it came from.
    where = None if shardings is None else (shardings, shardings.step, shardings.step)
    jitted = jax.jit(program, donate_argnums=(0, 1), out_shardings=where)

    def guarded(state: TrainState, sums: Sums, *inputs: Any) -> tuple[TrainState, Sums, jax.Array]:
        nonlocal compiled
        with jax.transfer_guard("disallow" if compiled else "allow"):
            result = jitted(state, sums, *inputs)
        compiled = True
        return result

    return guarded


def zero_sums(metrics: dict[str, Any]) -> Sums:
    """Returns the sums of an epoch that has not begun, of metrics of these shapes."""
    zeros = {name: jnp.zeros(value.shape, jnp.float32) for name, value in metrics.items() if name != "finite"}
    return {**zeros, "examples": jnp.zeros((), jnp.int32), "bad_step": jnp.full((), -1, jnp.int32)}


def added(sums: Sums, metrics: dict[str, jax.Array], step: jax.Array, examples: int) -> Sums:
    """Returns the sums with one batch's means added, weighted by its examples, and the first bad step noted."""
    means = {
        name: sums[name] + jnp.asarray(value, jnp.float32) * examples
        for name, value in metrics.items()
        if name != "finite"
    }
    first_bad = (sums["bad_step"] < 0) & ~metrics["finite"]
    return {
        **means,
        "examples": sums["examples"] + examples,
        "bad_step": jnp.where(first_bad, step, sums["bad_step"]),
    }
