"""Trains a network: `python -m experiments.train [CONFIG] [options]`."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import tyro

from experiments.configs import DEFAULT, config_names, config_summary, named_config
from experiments.figures.curves import draw_curves
from experiments.run import directory as run_directory
from experiments.run.build import Experiment, build_experiment
from experiments.run.config import Config, as_json
from experiments.run.console import Console, error_message, exit_status, silence_orbax, warnings_as_notes
from experiments.run.directory import RunDirectory
from experiments.run.distributed import Processes, init_distributed, is_primary, primary_only, wait_for_all
from experiments.run.lock import check_unlocked, lock_directory
from experiments.run.policy import apply_policy_file
from experiments.run.signals import stop_signals
from experiments.run.trainer import Trainer
from jaxaug.checks import check_size
from jaxaug.training import Checkpoints, NonFiniteError, ReadOptions, complete_steps
from jaxaug.training.integrity import differences


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line: a config, and how and where to run it."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    run_dir: pathlib.Path | None = None
    """Directory of the run, runs/<config>-<time> by default; an existing run is never overwritten."""
    resume: pathlib.Path | None = None
    """Directory of a run to resume, with the config that it was started with."""
    quiet: bool = False
    """Show no progress bar, only one line per epoch: for log files."""
    on_nonfinite: Literal["stop", "rewind"] = "stop"
    """When a loss or an update is NaN or infinite: stop, or rewind to the last checkpoint with a new random key."""
    rewinds: int = 3
    """Maximum number of rewinds."""
    read: ReadOptions = dataclasses.field(default_factory=ReadOptions)
    shard_optimizer: bool = False
    """Shard the optimizer state over the devices instead of replicating it."""
    processes: Processes = dataclasses.field(default_factory=Processes)


def parsed(arguments: Sequence[str]) -> tuple[str, Command]:
    """Returns the config's name, and the command."""
    named = bool(arguments) and not arguments[0].startswith("-")
    name, options = (arguments[0], arguments[1:]) if named else (DEFAULT, arguments)
    run_name, config = resumed_config(options) or (name, named_config(name))
    command = tyro.cli(
        Command,
        prog=f"python -m experiments.train {arguments[0] if named else '[CONFIG]'}",
        description=description(),
        default=Command(config),
        args=list(options),
    )
    command = dataclasses.replace(command, config=apply_policy_file(command.config, config))
    changes = ""
    if named and name != run_name:
        changes = f"the config is {name!r}, not {run_name!r}"
    elif command.resume is not None and command.config != config:
        changes = differences(as_json(command.config), as_json(config))
    if changes:
        raise ValueError(f"--resume continues {command.resume} with its own config, but {changes}; drop the change.")
    return run_name, command


def resumed_config(options: Sequence[str]) -> tuple[str, Config] | None:
    """Returns name and config of the run that --resume names; they are the defaults of the other options."""
    for position, option in enumerate(options):
        name, equals, value = option.partition("=")
        if name == "--resume" and (equals or position + 1 < len(options)):
            return run_directory.read_run(pathlib.Path(value if equals else options[position + 1]))[1:]
    return None


def description() -> str:
    """Returns the text above the options: the list of configs."""
    width = max(map(len, config_names()))
    lines = [f"  {name:{width}}  {config_summary(name)}" for name in config_names()]
    return "\n".join([f"Train a network. CONFIG is one of these ({DEFAULT} by default):", "", *lines])


def run(name: str, command: Command) -> int:
    """Checks the command, trains, and returns the exit status."""
    init_distributed(command.processes)
    resumed, config = command.resume is not None, command.config
    check_size("experiments.train", "--rewinds", command.rewinds)
    if resumed and command.run_dir not in (None, command.resume):
        raise ValueError(f"--resume {command.resume} continues in that directory; remove --run-dir {command.run_dir}.")
    if jax.process_count() > 1 and not (resumed or command.run_dir):
        raise ValueError("training with several processes requires --run-dir: one directory that all of them share.")
    directory = RunDirectory(command.resume or command.run_dir or run_directory.default_path(name))
    if resumed and directory.summary.exists():
        print(f"The run in {directory.path} is already finished; its result is in {directory.summary}.")
        return 0
    check_unlocked(directory.path)
    if not resumed:
        run_directory.check_empty(directory.path)
    # Before the directory is created, so that an invalid config leaves nothing behind.
    with warnings_as_notes():
        experiment = build_experiment(config, resumed=resumed)
    wait_for_all("checked")
    with lock_directory(directory.path) if is_primary() else contextlib.nullcontext():
        if not resumed:
            run_directory.write_run(directory.path, name, config)
        wait_for_all("created")
        try:
            return execute(command, experiment, directory)
        except NonFiniteError as error:
            rewound = f" after {command.rewinds} rewinds" if command.on_nonfinite == "rewind" else ""
            checkpoint = last_checkpoint(directory)
            print(f"error: {error} The run in {directory.path} stopped{rewound}; {checkpoint}.", file=sys.stderr)
        except OSError as error:
            print(
                f"error: {error_message(error)} The run stopped; {last_checkpoint(directory)}. Fix this, then resume "
                f"with:\n  {resume_command(directory)}",
                file=sys.stderr,
            )
        return 1


def execute(command: Command, experiment: Experiment, directory: RunDirectory) -> int:
    """Trains in the directory, and returns the exit status."""
    config, console = command.config, Console(quiet=command.quiet or not is_primary())
    with (
        Checkpoints(directory.checkpoints, keep=config.keep, config=directory.config()) as checkpoints,
        stop_signals() as stop,
    ):
        trainer = Trainer(config, directory, checkpoints, console, stop, command.read, command.shard_optimizer)
        state, totals = experiment.state, None
        if command.resume is not None:
            state, totals = trainer.restore(state)
            if totals is None:
                print_once(f"No checkpoint in {directory.path}: starting from scratch.")
            else:
                print_once(f"Resuming {directory.path} at step {int(state.step)}.")
        rewinds = command.rewinds if command.on_nonfinite == "rewind" else 0
        state = trainer.train(experiment, state, totals, rewinds=rewinds)
    if stop.signal is not None and int(state.step) < experiment.steps:
        print_once(f"Stopped at step {int(state.step)}. Resume with:\n  {resume_command(directory)}")
        return 128 + stop.signal
    if not is_primary():
        return 0
    draw_curves(directory.records(), directory.path / "curves.png")
    summary = directory.write_summary(state.params)
    print(
        f"Test accuracy {summary['last_test_accuracy']:.4f} after {summary['epochs']} epochs and "
        f"{summary['seconds']:.0f} s (best {summary['best_test_accuracy']:.4f}, epoch {summary['best_epoch']}).\n"
        f"Metrics, curves.png and checkpoints are in {directory.path}."
    )
    return 0


@primary_only
def print_once(text: str) -> None:
    """Prints a line in the primary process only."""
    print(text)


def last_checkpoint(directory: RunDirectory) -> str:
    """Returns a phrase that says from which step the run can be resumed."""
    steps = complete_steps(directory.checkpoints)
    return f"the last checkpoint is at step {steps[-1]}" if steps else "there is no checkpoint yet"


def resume_command(directory: RunDirectory) -> str:
    """Returns the command that resumes a run."""
    return f"python -m experiments.train --resume {directory.path}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a user error is printed as one sentence and returns status 2."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        return exit_status(lambda: run(*parsed(arguments)), ValueError, TypeError, OSError)
    except KeyboardInterrupt:
        print("Interrupted; the checkpoints saved so far are kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    silence_orbax()
    sys.exit(main())
