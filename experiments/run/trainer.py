"""A run under way: written down as it goes, stopped when it is asked to, and rewound where it went astray."""

import dataclasses
import sys

import jax

from experiments.run.build import Experiment, built
from experiments.run.config import Config
from experiments.run.console import Terminal, warnings_as_notes
from experiments.run.directory import RunDirectory
from experiments.run.distributed import leave_if_others_are_lost, wait_for_all
from experiments.run.restore_trunk import with_features
from experiments.run.signals import Interrupts
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

# fold_in's number for the keys after rewinding; a state's key has others for steps, orders and the scorer.
_REWIND = 2**31 - 3


class RunHooks(Hooks):
    """Shows a run, writes it down, and stops it when it is asked to."""

    def __init__(
        self, config: Config, directory: RunDirectory, checkpoints: Checkpoints, terminal: Terminal, stop: Interrupts
    ):
        self.config, self.directory, self.checkpoints = config, directory, checkpoints
        self.terminal, self.stop = terminal, stop
        self.best_validation = max(map(_validation, directory.records()), default=-1.0)

    def should_stop(self) -> bool:
        """True once a signal has come."""
        return self.stop.asked()

    def on_progress(self, progress: Progress) -> None:
        """Moves the bar."""
        self.terminal.progress(progress)

    def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
        """Writes the epoch down, then begins its checkpoint."""
        self.directory.append_record(record)
        self.terminal.epoch(record, self.config.epochs)
        epoch, best = record["epoch"], _validation(record) > self.best_validation
        if best or epoch % self.config.checkpoint_every == 0 or epoch == self.config.epochs:
            self.checkpoints.save(state, totals, validation_accuracy=record.get("validation_accuracy"))
        self.best_validation = max(self.best_validation, _validation(record))

    def on_stop(self, state: TrainState, totals: Totals) -> None:
        """Keeps what the stopped epoch has done."""
        self.terminal.clear()
        self.checkpoints.save(state, totals)


def _validation(record: Record) -> float:
    """Returns the epoch's validation accuracy, -1 where it was not taken."""
    accuracy = record.get("validation_accuracy")
    return -1.0 if accuracy is None else accuracy


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run is made of while it is under way."""

    config: Config
    directory: RunDirectory
    checkpoints: Checkpoints
    terminal: Terminal
    stop: Interrupts
    reading: ReadOptions = dataclasses.field(default_factory=ReadOptions)
    shard_optimizer: bool = False

    def restore(self, state: TrainState) -> tuple[TrainState, Totals | None]:
        """Returns state and totals of the newest checkpoint; where there is none, the beginning, without totals.

        What was measured after it is dropped: it is measured again, to the same bits where the key is the same.
        """
        totals = None
        try:
            with warnings_as_notes():
                state = shard_state(state, shard_optimizer=self.shard_optimizer)
                state, totals = self.checkpoints.restore(state)
        except FileNotFoundError:
            state = with_features(state, self.config)
        self.directory.write_records([r for r in self.directory.records() if r["step"] <= int(state.step)])
        wait_for_all("records")  # what is best so far is read from them
        return state, totals

    def trained(self, experiment: Experiment, state: TrainState, totals: Totals | None, *, rewinds: int) -> TrainState:
        """Returns the state at the end, or where a signal stopped it; after so many rewinds `NonFiniteError` is raised.

        Every rewind takes up the newest checkpoint with a key of its own, so that orders and draws are others.
        """
        count = 0
        while True:
            try:
                return self._fitted(experiment, state, totals)
            except NonFiniteError as error:
                self.terminal.clear()
                if count == rewinds:
                    raise
                what = str(error)
            except (jax.errors.JaxRuntimeError, SaveError) as error:
                leave_if_others_are_lost(error)
                raise
            count += 1
            # Built anew: training has given the state away.
            state, totals = self.restore(built(self.config, resumed=True).state)
            state = dataclasses.replace(state, key=jax.random.fold_in(jax.random.fold_in(state.key, _REWIND), count))
            where = "Begun anew" if totals is None else f"Rewound to step {int(state.step)}"
            print(f"{what} {where}, with other draws ({count} of at most {rewinds} times).", file=sys.stderr)

    def _fitted(self, experiment: Experiment, state: TrainState, totals: Totals | None) -> TrainState:
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
            hooks=RunHooks(self.config, self.directory, self.checkpoints, self.terminal, self.stop),
        )
        return state
