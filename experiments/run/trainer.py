"""Trains in a run directory: records epochs, saves checkpoints, stops on signals, rewinds after non-finite values."""

import dataclasses
import sys

import jax

from experiments.run.build import Experiment, build_experiment
from experiments.run.config import Config
from experiments.run.console import Console, warnings_as_notes
from experiments.run.directory import RunDirectory
from experiments.run.distributed import exit_if_process_lost, wait_for_all
from experiments.run.restore_trunk import restore_trunk_of_run
from experiments.run.signals import StopSignals
from jaxaug.training import (
    Checkpoints,
    Hooks,
    NonFiniteError,
    Progress,
    ReadOptions,
    Record,
    SaveError,
    Totals,
    TrainState,
    fit,
    shard_state,
)

# fold_in's number for the keys after a rewind; the numbers of steps, orders and scorers are different ones.
_REWIND = 2**31 - 3


class RunHooks(Hooks):
    """Shows and records a run, and stops it on a signal."""

    def __init__(
        self, config: Config, directory: RunDirectory, checkpoints: Checkpoints, console: Console, stop: StopSignals
    ):
        self.config, self.directory, self.checkpoints = config, directory, checkpoints
        self.console, self.stop = console, stop
        self.best_validation = max(map(_validation, directory.records()), default=-1.0)

    def should_stop(self) -> bool:
        """Returns whether a signal was received."""
        return self.stop.received()

    def on_progress(self, progress: Progress) -> None:
        """Updates the progress bar."""
        self.console.progress(progress)

    def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
        """Records the epoch, then starts saving its checkpoint if one is due."""
        self.directory.append_record(record)
        self.console.epoch(record, self.config.epochs)
        epoch, best = record["epoch"], _validation(record) > self.best_validation
        if best or epoch % self.config.checkpoint_every == 0 or epoch == self.config.epochs:
            self.checkpoints.save(state, totals, validation_accuracy=record.get("validation_accuracy"))
        self.best_validation = max(self.best_validation, _validation(record))

    def on_stop(self, state: TrainState, totals: Totals) -> None:
        """Saves a checkpoint in the middle of an epoch."""
        self.console.clear()
        self.checkpoints.save(state, totals)


def _validation(record: Record) -> float:
    """Returns the epoch's validation accuracy, -1 if there is none."""
    accuracy = record.get("validation_accuracy")
    return -1.0 if accuracy is None else accuracy


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Trains and restores the run in a directory."""

    config: Config
    directory: RunDirectory
    checkpoints: Checkpoints
    console: Console
    stop: StopSignals
    reading: ReadOptions = dataclasses.field(default_factory=ReadOptions)
    shard_optimizer: bool = False

    def restore(self, state: TrainState) -> tuple[TrainState, Totals | None]:
        """Returns state and totals of the newest checkpoint; without one, the initial state and None.

        Records after the checkpoint are dropped: those epochs are trained again.
        """
        totals = None
        try:
            with warnings_as_notes():
                state = shard_state(state, shard_optimizer=self.shard_optimizer)
                state, totals = self.checkpoints.restore(state)
        except FileNotFoundError:
            state = restore_trunk_of_run(state, self.config)
        self.directory.write_records([r for r in self.directory.records() if r["step"] <= int(state.step)])
        wait_for_all("records")  # all processes read the best epoch from them
        return state, totals

    def train(self, experiment: Experiment, state: TrainState, totals: Totals | None, *, rewinds: int) -> TrainState:
        """Trains, and returns the state at the end or where a signal stopped the run.

        After non-finite values, restores the newest checkpoint with a new key, which changes orders and draws;
        `NonFiniteError` is raised after that many `rewinds`.
        """
        count = 0
        while True:
            try:
                return self._fit(experiment, state, totals)
            except NonFiniteError as error:
                self.console.clear()
                if count == rewinds:
                    raise
                message = str(error)
            except (jax.errors.JaxRuntimeError, SaveError) as error:
                exit_if_process_lost(error)
                raise
            count += 1
            # Built again, since training has donated the state.
            state, totals = self.restore(build_experiment(self.config, resumed=True).state)
            state = dataclasses.replace(state, key=jax.random.fold_in(jax.random.fold_in(state.key, _REWIND), count))
            rewound = "Restarted from scratch" if totals is None else f"Rewound to step {int(state.step)}"
            print(f"{message} {rewound} with a new random key (rewind {count} of at most {rewinds}).", file=sys.stderr)

    def _fit(self, experiment: Experiment, state: TrainState, totals: Totals | None) -> TrainState:
        state, _ = fit(
            state,
            experiment.train_step,
            experiment.eval_step,
            experiment.dataset,
            epochs=self.config.epochs,
            batch_size=self.config.batch_size,
            engine=self.config.engine,
            sampling=self.config.data.sampling,
            eval_every=self.config.eval_every,
            totals=totals,
            reading=self.reading,
            shard_optimizer=self.shard_optimizer,
            hooks=RunHooks(self.config, self.directory, self.checkpoints, self.console, self.stop),
        )
        return state
