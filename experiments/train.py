"""Trains a network as a config says: `python -m experiments.train [CONFIG] [options]`."""

import contextlib
import dataclasses
import pathlib
import signal
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated

import tyro

from experiments import run_directory
from experiments.build import built
from experiments.config import Config, as_json
from experiments.configs import DEFAULT, config_names, config_summary, named_config
from experiments.curves import draw_curves
from experiments.policy import with_policy_of_file
from experiments.run_directory import RunDirectory
from experiments.second_stage import with_features
from experiments.terminal import Terminal, exit_status
from jaxaug.training import Checkpoints, Hooks, NonFiniteError, TrainState, fit
from jaxaug.training.engine import Sums
from jaxaug.training.integrity import differences
from jaxaug.training.loop import Progress, Record


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line: a config, and where the run lives."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    run_dir: pathlib.Path | None = None
    """Directory of the run; runs/<config>-<time> by default. One that holds a run is never overwritten."""
    resume: pathlib.Path | None = None
    """Directory of a run to continue, with the config it was begun with."""
    quiet: bool = False
    """No progress bar: a line per epoch, for logs."""


def parsed(arguments: Sequence[str]) -> tuple[str, Command]:
    """Returns the config's name, and the command."""
    named = bool(arguments) and not arguments[0].startswith("-")
    name, options = (arguments[0], arguments[1:]) if named else (DEFAULT, arguments)
    stored_name, config = stored(options) or (name, named_config(name))
    command = tyro.cli(
        Command,
        prog=f"python -m experiments.train {arguments[0] if named else '[CONFIG]'}",
        description=description(),
        default=Command(config),
        args=list(options),
    )
    command = dataclasses.replace(command, config=with_policy_of_file(command.config, config))
    if (named and name != stored_name) or (command.config != config and command.resume is not None):
        changed = f"the config is {name!r}, not {stored_name!r}" if named and name != stored_name else ""
        changed = changed or differences(as_json(command.config), as_json(config))
        raise ValueError(f"--resume continues the run in {command.resume} as it was begun, but {changed}.")
    return stored_name, command


def stored(options: Sequence[str]) -> tuple[str, Config] | None:
    """Returns name and config of the run that --resume names: they are the defaults of the other options."""
    for position, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name == "--resume" and (equals or position + 1 < len(options)):
            return run_directory.stored_run(pathlib.Path(value if equals else options[position + 1]))[1:]
    return None


def description() -> str:
    """Returns the text above the options: what there is to train."""
    width = max(map(len, config_names()))
    lines = [f"  {name:{width}}  {config_summary(name)}" for name in config_names()]
    return "\n".join([f"Train a network. CONFIG is one of these ({DEFAULT} by default):", "", *lines])


class Interrupts:
    """Notes SIGINT and SIGTERM while a run is under way; a second one ends it at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __enter__(self) -> "Interrupts":
        self._former = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        print(f"\n{self.signal.name}: saving after this step; once more to leave at once.", file=sys.stderr, flush=True)


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
        return self.stop.signal is not None

    def on_progress(self, progress: Progress) -> None:
        """Moves the bar."""
        self.terminal.progress(progress)

    def on_epoch(self, record: Record, state: TrainState, sums: Sums) -> None:
        """Writes the epoch down, then begins its checkpoint."""
        self.directory.append_record(record)
        self.terminal.epoch(record, self.config.epochs)
        epoch, best = record["epoch"], _validation(record) > self.best_validation
        if best or epoch % self.config.checkpoint_every == 0 or epoch == self.config.epochs:
            self.checkpoints.save(state, sums, validation_accuracy=record.get("validation_accuracy"))
        self.best_validation = max(self.best_validation, _validation(record))

    def on_stop(self, state: TrainState, sums: Sums) -> None:
        """Keeps what the stopped epoch has done."""
        self.terminal.clear()
        self.checkpoints.save(state, sums)


def _validation(record: Record) -> float:
    """Returns the epoch's validation accuracy, -1 where it was not taken."""
    accuracy = record.get("validation_accuracy")
    return -1.0 if accuracy is None else accuracy


@contextlib.contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Prints warnings as plain sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)


def run(name: str, command: Command) -> int:
    """Trains, and returns the exit status."""
    config = command.config
    if command.resume is not None and command.run_dir not in (None, command.resume):
        raise ValueError(
            f"--resume {command.resume} goes on in that directory; --run-dir {command.run_dir} is another."
        )
    if command.resume is not None and RunDirectory(command.resume).summary.exists():
        print(f"The run in {command.resume} has ended; its result is in {RunDirectory(command.resume).summary}.")
        return 0
    path = command.run_dir or run_directory.default_path(name)
    if command.resume is None:
        run_directory.check_unused(path)
    # Before the directory is made: a config that cannot be built leaves nothing behind.
    with warnings_as_notes():
        experiment = built(config, resumed=command.resume is not None)
    directory = run_directory.new_run(path, name, config) if command.resume is None else RunDirectory(command.resume)
    terminal = Terminal(quiet=command.quiet)

    with (
        Checkpoints(directory.checkpoints, keep=config.keep, config=directory.config()) as checkpoints,
        Interrupts() as interrupts,
    ):
        state, sums = experiment.state, None
        if command.resume is not None:
            try:
                with warnings_as_notes():
                    state, sums = checkpoints.restore(state)
                print(f"Resuming {directory.path} at step {int(state.step)}.")
            except FileNotFoundError:
                state = with_features(experiment.state, config)
                print(f"No checkpoint was written in {directory.path}: the run begins anew.")
            # What was measured after the checkpoint is measured again, to the same bits.
            directory.write_records([r for r in directory.records() if r["step"] <= int(state.step)])
        try:
            state, _ = fit(
                state,
                experiment.train_step,
                experiment.eval_step,
                experiment.dataset,
                epochs=config.epochs,
                batch_size=config.batch_size,
                engine=config.engine,
                sampling=config.data.sampling,
                eval_every=config.eval_every,
                sums=sums,
                hooks=RunHooks(config, directory, checkpoints, terminal, interrupts),
            )
        except NonFiniteError as error:
            terminal.clear()
            checkpoints.wait()
            good = f"the last good checkpoint is of step {checkpoints.steps()[-1]}" if checkpoints.steps() else ""
            print(
                f"error: {error} The run stopped; {good or 'there is no checkpoint yet'}, in {directory.path}.",
                file=sys.stderr,
            )
            return 1
        if interrupts.signal is not None and len(directory.records()) < config.epochs:
            print(
                f"Stopped at step {int(state.step)}. To go on:\n  python -m experiments.train --resume {directory.path}"
            )
            return 128 + interrupts.signal
    draw_curves(directory.records(), directory.path / "curves.png")
    summary = directory.write_summary(state.params)
    print(
        f"Test accuracy {summary['last_test_accuracy']:.4f} after {summary['epochs']} epochs and "
        f"{summary['seconds']:.0f} s (best {summary['best_test_accuracy']:.4f}, epoch {summary['best_epoch']}).\n"
        f"Metrics, curves.png and checkpoints are in {directory.path}."
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a mistake in it is one sentence and exit status 2."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        return exit_status(lambda: run(*parsed(arguments)), ValueError, TypeError, FileNotFoundError)
    except KeyboardInterrupt:
        print("Interrupted; what was saved before stays.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
