"""Trains a network as a config says: `python -m experiments.train [CONFIG] [options]`."""

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
from experiments.run.build import Experiment, built
from experiments.run.config import Config, as_json
from experiments.run.console import Terminal, exit_status, sentence, silence_writers, warnings_as_notes
from experiments.run.directory import RunDirectory
from experiments.run.distributed import Processes, by_the_first, is_first, join, wait_for_all
from experiments.run.lock import check_no_run_under_way, sole_run
from experiments.run.policy import with_policy_of_file
from experiments.run.signals import interrupts
from experiments.run.trainer import Run
from jaxaug.checks import check_size
from jaxaug.training import Checkpoints, NonFiniteError, ReadOptions, complete_steps
from jaxaug.training.integrity import differences


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
    on_nonfinite: Literal["stop", "rewind"] = "stop"
    """When a loss or an update is not finite: stop, or rewind to the last checkpoint and go on with other draws."""
    rewinds: int = 3
    """How many times a run is rewound at most."""
    read: ReadOptions = dataclasses.field(default_factory=ReadOptions)
    shard_optimizer: bool = False
    """Keep a part only of the optimizer's state on each device, not the whole."""
    processes: Processes = dataclasses.field(default_factory=Processes)


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


def run(name: str, command: Command) -> int:
    """Trains, and returns the exit status."""
    join(command.processes)
    resumed, config = command.resume is not None, command.config
    check_size("experiments.train", "--rewinds", command.rewinds)
    if resumed and command.run_dir not in (None, command.resume):
        raise ValueError(
            f"--resume {command.resume} goes on in that directory; --run-dir {command.run_dir} is another."
        )
    if jax.process_count() > 1 and not (resumed or command.run_dir):
        raise ValueError("several processes take --run-dir, the same for all, on a file system that they share.")
    directory = RunDirectory(command.resume or command.run_dir or run_directory.default_path(name))
    if resumed and directory.summary.exists():
        print(f"The run in {directory.path} has ended; its result is in {directory.summary}.")
        return 0
    check_no_run_under_way(directory.path)
    if not resumed:
        run_directory.check_unused(directory.path)
    # Before the directory is made: a config that cannot be built leaves nothing behind.
    with warnings_as_notes():
        experiment = built(config, resumed=resumed)
    wait_for_all("checked")
    with sole_run(directory.path) if is_first() else contextlib.nullcontext():
        if not resumed:
            run_directory.write_down(directory.path, name, config)
        wait_for_all("begun")
        try:
            return execute(command, experiment, directory)
        except NonFiniteError as error:
            rewound = f" after {command.rewinds} rewinds" if command.on_nonfinite == "rewind" else ""
            print(
                f"error: {error} The run stopped{rewound}; {last_checkpoint(directory)}, in {directory.path}.",
                file=sys.stderr,
            )
        except OSError as error:
            print(
                f"error: {sentence(error)} The run stopped; {last_checkpoint(directory)}. Once that is mended, go on "
                f"with:\n  {resuming(directory)}",
                file=sys.stderr,
            )
        return 1


def execute(command: Command, experiment: Experiment, directory: RunDirectory) -> int:
    """Trains in the directory, and returns the exit status."""
    config, terminal = command.config, Terminal(quiet=command.quiet or not is_first())
    with (
        Checkpoints(directory.checkpoints, keep=config.keep, config=directory.config()) as checkpoints,
        interrupts() as stop,
    ):
        under_way = Run(config, directory, checkpoints, terminal, stop, command.read, command.shard_optimizer)
        state, totals = experiment.state, None
        if command.resume is not None:
            state, totals = under_way.restore(state)
            if totals is None:
                say(f"No checkpoint was written in {directory.path}: the run begins anew.")
            else:
                say(f"Resuming {directory.path} at step {int(state.step)}.")
        rewinds = command.rewinds if command.on_nonfinite == "rewind" else 0
        state = under_way.trained(experiment, state, totals, rewinds=rewinds)
    if stop.signal is not None and int(state.step) < experiment.steps:
        say(f"Stopped at step {int(state.step)}. To go on:\n  {resuming(directory)}")
        return 128 + stop.signal
    if not is_first():
        return 0
    draw_curves(directory.records(), directory.path / "curves.png")
    summary = directory.write_summary(state.params)
    print(
        f"Test accuracy {summary['last_test_accuracy']:.4f} after {summary['epochs']} epochs and "
        f"{summary['seconds']:.0f} s (best {summary['best_test_accuracy']:.4f}, epoch {summary['best_epoch']}).\n"
        f"Metrics, curves.png and checkpoints are in {directory.path}."
    )
    return 0


@by_the_first
def say(text: str) -> None:
    """Prints a line, once for all processes."""
    print(text)


def last_checkpoint(directory: RunDirectory) -> str:
    """Returns a phrase that says where the run can be taken up."""
    steps = complete_steps(directory.checkpoints)
    return f"the last good checkpoint is of step {steps[-1]}" if steps else "there is no checkpoint yet"


def resuming(directory: RunDirectory) -> str:
    """Returns the command that goes on with a run."""
    return f"python -m experiments.train --resume {directory.path}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a mistake in it is one sentence and exit status 2."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        return exit_status(lambda: run(*parsed(arguments)), ValueError, TypeError, OSError)
    except KeyboardInterrupt:
        print("Interrupted; what was saved before stays.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    silence_writers()
    sys.exit(main())
