"""State, step and loop of a run, and its checkpoints."""

from jaxaug.training.checkpoint import Checkpoints
from jaxaug.training.fit import fit
from jaxaug.training.long_tail import log_prior, shots
from jaxaug.training.loop import Hooks, NonFiniteError, Progress
from jaxaug.training.optimizer import make_optimizer, make_schedule
from jaxaug.training.population import fit_population, init_population
from jaxaug.training.restore_trunk import restore_trunk
from jaxaug.training.scoring import Scorer, every, network_scorer, proxy_scorer
from jaxaug.training.sharding import data_mesh, shard_state
from jaxaug.training.state import TrainState, init_state
from jaxaug.training.step import make_eval_step, make_train_step
from jaxaug.training.stream import ReadOptions

__all__ = [
    "Checkpoints",
    "Hooks",
    "NonFiniteError",
    "Progress",
    "ReadOptions",
    "Scorer",
    "TrainState",
    "data_mesh",
    "every",
    "fit",
    "fit_population",
    "init_population",
    "init_state",
    "log_prior",
    "make_eval_step",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "network_scorer",
    "proxy_scorer",
    "restore_trunk",
    "shard_state",
    "shots",
]
