"""What the training loop needs from a runner, and what the runners share: batches, totals and compiled programs.

A runner trains a state through an epoch of one split: `jaxaug.training.in_memory` of a split that is on the device,
`jaxaug.training.stream` of a split that is decoded from disk.
"""

from collections.abc import Callable, Generator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.checks import check_size
from jaxaug.training.state import TrainState
from jaxaug.training.types import Batch, Metrics, Totals

Program = Callable[..., tuple[TrainState, Totals]]
"""`program(state, totals, *inputs)` takes one or more steps, and returns the state and the totals after them."""


@runtime_checkable
class Runner(Protocol):
    """Runs the steps of an epoch as compiled programs."""

    steps_per_epoch: int
    called: set[Program]  # the programs that were called before, and so are compiled

    def zero_totals(self) -> Totals:
        """Returns the totals before the first step of an epoch."""
        ...

    def programs(self, state: TrainState) -> Generator[tuple[int, Program, tuple[Any, ...]], None, None]:
        """Yields (step, program, inputs) for the rest of the state's epoch, to be called in this order.

        `step` is how many steps of the epoch are done after this program.
        """
        ...


class NonFiniteError(RuntimeError):
    """A loss, an update or a metric of the strategy was NaN or infinite; `step` is the first such step."""

    def __init__(self, step: int, what: str = "A loss, an update or a metric of the strategy"):
        super().__init__(f"{what} became non-finite at step {step}.")
        self.step = step


def make_batch(images: jax.Array, labels: jax.Array, index: jax.Array, num_classes: int) -> Batch:
    """Returns stored examples as a step takes them: images in [0, 1] (or feature vectors) and one-hot labels."""
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32) / 255.0
    return {"image": images, "label": jax.nn.one_hot(labels, num_classes), "index": index}


def check_batch_size(batch_size: int, num_examples: int) -> None:
    """Raises `ValueError` unless this many examples fill at least one batch.

    Example:
      >>> check_batch_size(32, 150)
    """
    check_size("fit", "batch_size", batch_size, 1)
    if batch_size > num_examples:
        raise ValueError(f"fit takes a batch size of at most the {num_examples} training examples; got {batch_size}.")


def zero_totals(metrics: dict[str, Any]) -> Totals:
    """Returns the totals before the first step, for a step whose metrics have these shapes."""
    zeros = {name: jnp.zeros(value.shape, jnp.float32) for name, value in metrics.items() if name != "finite"}
    return {**zeros, "examples": jnp.zeros((), jnp.int32), "bad_step": jnp.full((), -1, jnp.int32)}


def accumulate(totals: Totals, metrics: Metrics, step: jax.Array, examples: int) -> Totals:
    """Returns the totals after one more batch.

    The batch's means are weighted by its number of examples; "bad_step" is the first step that was not finite.
    """
    sums = {
        name: totals[name] + jnp.asarray(value, jnp.float32) * examples
        for name, value in metrics.items()
        if name != "finite"
    }
    first_bad = (totals["bad_step"] < 0) & ~metrics["finite"]
    return {
        **sums,
        "examples": totals["examples"] + examples,
        "bad_step": jnp.where(first_bad, step, totals["bad_step"]),
    }


def means(host_totals: dict[str, Any]) -> dict[str, Any]:
    """Returns the means over the examples so far: numbers, and lists where a metric is a vector.

    An infinite metric of a strategy becomes None, since JSON has no infinity.
    """
    examples = max(int(host_totals["examples"]), 1)
    sums = {name: value for name, value in host_totals.items() if name not in ("examples", "bad_step", "skipped")}
    averages = {name: np.asarray(value, np.float64) / examples for name, value in sums.items()}
    return {name: mean.tolist() if np.isfinite(mean).all() else None for name, mean in averages.items()}


def check_finite(host_totals: dict[str, Any]) -> None:
    """Raises `NonFiniteError` if a step was not finite."""
    if host_totals["bad_step"] >= 0:
        raise NonFiniteError(int(host_totals["bad_step"]))


def compile_program(steps: Program, shardings: Any = None) -> Program:
    """Returns the steps as a compiled function to which the state is donated.

    Args:
      steps: pure function.
      shardings: of the state; None leaves them to the compiler.
    """
    # With other shardings, the resulting state would not fit the program that made it.
    out_shardings = None if shardings is None else (shardings, shardings.step)
    # The totals are not donated: they are small, and waiting for those of a program is waiting for its steps.
    return jax.jit(steps, donate_argnums=0, out_shardings=out_shardings)
