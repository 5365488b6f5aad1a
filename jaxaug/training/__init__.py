"""State, step and loop of a run, and its checkpoints."""

from jaxaug.training.checkpoint import Checkpoints
from jaxaug.training.fit import fit
from jaxaug.training.long_tail import log_prior, shots
from jaxaug.training.loop import Hooks, NonFiniteError, Progress
from jaxaug.training.mesh import data_mesh, spread_state
from jaxaug.training.optimizer import make_optimizer, make_schedule
from jaxaug.training.population import fit_population, init_population
from jaxaug.training.scoring import Scorer, every, network_scorer, proxy_scorer
from jaxaug.training.second_stage import with_trunk
from jaxaug.training.state import TrainState, init_state
from jaxaug.training.step import make_eval_step, make_train_step
from jaxaug.training.stream import Reading

__all__ = [
    "Checkpoints",
    "Hooks",
    "NonFiniteError",
    "Progress",
    "Reading",
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
    "shots",
    "spread_state",
    "with_trunk",
]
