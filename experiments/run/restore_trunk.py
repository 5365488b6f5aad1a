"""Training a new classifier on the features of an earlier run."""

from experiments.run.config import Config, as_json
from experiments.run.directory import read_run
from jaxaug.training import TrainState, restore_trunk
from jaxaug.training.integrity import differences

# The options that define the trunk; some of them leave no trace in its parameters.
_TRUNK = ("model", "regularizer", "pool", "conv")


def restore_trunk_of_run(state: TrainState, config: Config) -> TrainState:
    """Returns the state with the trunk of the run that --features-from names, if any; that run is only read."""
    path = config.features_from
    if path is None:
        return state
    directory, _, other = read_run(path)
    theirs, ours = ({name: as_json(c).get(name) for name in _TRUNK} for c in (other, config))
    if difference := differences(theirs, ours):
        raise ValueError(f"--features-from expects a run with the same trunk; in {path}, {difference}.")
    try:
        return restore_trunk(state, directory.checkpoints)
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"--features-from expects a run with a checkpoint of the same trunk; {error}") from None
