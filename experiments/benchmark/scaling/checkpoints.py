"""The cost of checkpoints."""

import statistics
import tempfile
import time

import jax

from experiments.benchmark.scaling.command import Command
from experiments.benchmark.steps import initial_state
from experiments.benchmark.timing import header, ratio_row
from jaxaug import data
from jaxaug.training import Checkpoints, Hooks, Record, Totals, TrainState, fit


def checkpoints(command: Command) -> list[str]:
    """Returns the row of alternating epochs with and without a checkpoint."""
    batch_size = command.saved_batch_size
    examples = command.saved_steps * batch_size
    dataset = data.load(f"synthetic:32x32x3,10,{examples}")
    state, steps = initial_state(command.saved_model, dataset)
    megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    seconds: dict[bool, list[float]] = {True: [], False: []}
    save_seconds: list[float] = []
    epochs = 2 * command.turns + 3

    with tempfile.TemporaryDirectory() as directory, Checkpoints(directory) as manager:

        class Turns(Hooks):
            started = 0.0

            def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
                # Writing counts towards the epoch that it overlaps, including what remains at its end.
                manager.wait()
                saved = record["epoch"] % 2 == 0
                if record["epoch"] > 2:
                    seconds[saved].append(time.perf_counter() - self.started)
                self.started = time.perf_counter()
                if not saved:
                    manager.save(state, totals)
                    save_seconds.append(time.perf_counter() - self.started)

        fit(state, *steps, dataset, epochs=epochs, batch_size=batch_size, eval_every=epochs, hooks=Turns())
    # The first two epochs compile, and the last one includes evaluation.
    without, saving = seconds[False][: command.turns], seconds[True][: command.turns]
    return [
        header("time of an epoch with an asynchronous checkpoint / without"),
        ratio_row(f"{command.saved_model}, a state of {megabytes:.0f} MB", saving, without, "at most 1.05"),
        "",
        f"An epoch without one takes {statistics.median(without):.1f} s, {command.saved_steps} steps of {batch_size}; "
        f"`save` returns after {statistics.median(save_seconds):.2f} s, the rest is written during training.",
    ]
