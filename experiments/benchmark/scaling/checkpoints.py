"""Epochs with a checkpoint beside epochs without."""

import statistics
import tempfile
import time

import jax

from experiments.benchmark.scaling.command import Command
from experiments.benchmark.steps import first_state
from experiments.benchmark.timing import header, ratio_row
from jaxaug import data
from jaxaug.training import Checkpoints, Hooks, Record, Totals, TrainState, fit


def checkpoints(command: Command) -> list[str]:
    """Returns the row of epochs with a checkpoint beside epochs without, one after the other."""
    batch_size = command.saved_batch_size
    examples = command.saved_steps * batch_size
    dataset = data.load(f"synthetic:32x32x3,10,{examples}")
    state, steps = first_state(command.saved_model, dataset)
    megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    seconds: dict[bool, list[float]] = {True: [], False: []}
    waited: list[float] = []
    epochs = 2 * command.turns + 3

    with tempfile.TemporaryDirectory() as directory, Checkpoints(directory) as kept:

        class Turns(Hooks):
            began = 0.0

            def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
                # The writing belongs to the epoch that it runs beside, also what of it is left at the end.
                kept.wait()
                saved = record["epoch"] % 2 == 0
                if record["epoch"] > 2:
                    seconds[saved].append(time.perf_counter() - self.began)
                self.began = time.perf_counter()
                if not saved:
                    kept.save(state, totals)
                    waited.append(time.perf_counter() - self.began)

        fit(state, *steps, dataset, epochs=epochs, batch_size=batch_size, eval_every=epochs, hooks=Turns())
    # The first two compile, the last is evaluated.
    without, saving = seconds[False][: command.turns], seconds[True][: command.turns]
    return [
        header("time of an epoch with an asynchronous checkpoint to one without"),
        ratio_row(f"{command.saved_model}, a state of {megabytes:.0f} MB", saving, without, "at most 1.05"),
        "",
        f"An epoch without takes {statistics.median(without):.1f} s, {command.saved_steps} steps of {batch_size}; "
        f"`save` returns after {statistics.median(waited):.2f} s, the rest is written beside the training.",
    ]
