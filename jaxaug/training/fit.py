"""Training of one network."""

import jax

from jaxaug.data import Dataset
from jaxaug.training.engine import Engine, Sampling, Sums
from jaxaug.training.loop import Hooks, Record, compiled_programs, fitted
from jaxaug.training.sharding import data_mesh, placed, replicated, shard_state
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep, TrainStep
from jaxaug.training.stream import ReadOptions


def fit(
    state: TrainState,
    train_step: TrainStep,
    eval_step: EvalStep,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    engine: Engine = "auto",
    sampling: Sampling = "shuffled",
    eval_batch_size: int = 500,
    eval_every: int = 1,
    sums: Sums | None = None,
    hooks: Hooks | None = None,
    shard_optimizer: bool = False,
    reading: ReadOptions | None = None,
) -> tuple[TrainState, list[Record]]:
    """The state after training up to `epochs` epochs, and one record per epoch.

    A dataset in memory lives on the device; shuffling, gathering, augmenting, selecting and training are one compiled
    program. One that is streamed is decoded on the host ahead of the step, in the same order. The order of epoch e and
    the draws of step t follow from the state's key alone, so a run continued from any of its states ends bit for bit
    as one that never stopped. `state` is given away (its buffers are reused).

    All devices of all processes take part, each in a share of every batch; batch statistics, mixing partners and what
    a strategy remembers are those of the whole, so that their number does not change what is computed beyond the
    rounding of sums. With several processes (`jax.distributed`) each calls `fit` with the same arguments.

    Args:
      state: of `init_state`, or a later one: training goes on from `state.step`.
      train_step: of `make_train_step`. A second call with the same steps and shapes, in memory, compiles nothing.
      eval_step: of `make_eval_step`.
      dataset: of `jaxaug.data.load`.
      epochs: length of the whole run, counted from step 0.
      batch_size: at most the training examples; the last batch of an epoch may be smaller.
      engine: "scan" runs an epoch as `lax.scan`, "loop" calls the compiled step from Python, "auto" decides.
      sampling: what an epoch of N draws is made of: "shuffled", every example once, or "class_balanced", every class
        equally often (`jaxaug.training.long_tail.class_balanced_order`).
      eval_batch_size: examples in one inference batch.
      eval_every: epochs between evaluations; the last epoch is always evaluated.
      sums: of `Hooks.on_stop`, to go on inside an epoch.
      hooks: progress, records, stopping.
      reading: who decodes a streamed dataset, and how far ahead; None: a thread per core.
      shard_optimizer: keep a part alone of the optimizer's state on each device, not the whole.

    Returns:
      The state, and the records of the epochs trained here: `epoch`, `step`, `train_*`, `validation_*` (where there
      is such a split) and `test_*` means of loss, accuracy and top5 (None where not evaluated), the strategy's
      metrics, `examples_per_second` (of training) and `seconds` (evaluation included). Where the training counts of
      the classes fall into more than one of the groups of `jaxaug.training.shots`, also the mean of the class
      accuracies in each: `test_many_shot`, `test_medium_shot`, `test_few_shot`, and so for validation.

    Raises:
      ValueError: the batch is larger than the training split.
      NonFiniteError: a loss, an update or a metric of the strategy was NaN or infinite.

    Example:
      >>> import jax
      >>> from jaxaug import create_model, load, make_eval_step, make_train_step, never
      >>> from jaxaug.training import init_state, make_optimizer
      >>> data = load("iris")
      >>> model, optimizer = create_model("mlp", data.num_classes), make_optimizer(learning_rate=0.1)
      >>> state = init_state(
      ...     jax.random.key(0), model, optimizer, never(), shape=data.shape, num_examples=len(data.train.labels))
      >>> train_step, eval_step = make_train_step(model, optimizer, never()), make_eval_step(model)
      >>> state, records = fit(state, train_step, eval_step, data, epochs=20, batch_size=32)
      >>> records[-1]["train_accuracy"] > 0.95
      True
    """
    mesh = data_mesh()
    with jax.set_mesh(mesh):
        state = shard_state(state, shard_optimizer=shard_optimizer)
        programs = compiled_programs(
            state,
            train_step,
            eval_step,
            dataset,
            batch_size=batch_size,
            engine=engine,
            sampling=sampling,
            eval_batch_size=eval_batch_size,
            mesh=mesh,
            reading=reading or ReadOptions(),
        )
        sums = None if sums is None else placed(sums, replicated(mesh))
        return fitted(programs, state, epochs=epochs, eval_every=eval_every, sums=sums, hooks=hooks or Hooks())
