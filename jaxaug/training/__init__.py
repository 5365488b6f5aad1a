"""Training: the state, the step, the loop, its data, and checkpoints."""

import warnings
from typing import Any

from jaxaug.training.checkpoint import Checkpoints, SaveError, complete_steps
from jaxaug.training.evaluation import in_memory_evaluators
from jaxaug.training.fit import fit
from jaxaug.training.hooks import Hooks, Progress
from jaxaug.training.in_memory import DeviceSplit, InMemoryRunner, device_split, gathered_batch
from jaxaug.training.load_weights import SavedVariables, load_variables
from jaxaug.training.long_tail import log_prior, shots
from jaxaug.training.optimizer import DecayedKind, OptimizerKind, ScheduleKind, make_optimizer, make_schedule
from jaxaug.training.order import class_balanced_order, epoch_order
from jaxaug.training.population import fit_population, init_population
from jaxaug.training.restore_trunk import restore_trunk
from jaxaug.training.runner import NonFiniteError, Runner, check_batch_size
from jaxaug.training.scoring import Scorer, network_scorer, proxy_scorer, score_every
from jaxaug.training.sharding import cpu_count, data_mesh, shard_batch, shard_state
from jaxaug.training.state import TrainState, init_state
from jaxaug.training.step import EvalStep, TrainStep, make_eval_step, make_train_step
from jaxaug.training.stream import ReadOptions
from jaxaug.training.types import (
    TIMES,
    Batch,
    Engine,
    Metrics,
    PopulationEngine,
    Record,
    Sampling,
    Totals,
    TrainablePart,
)
from jaxaug.training.variables import HEAD, abstract_variables

__all__ = [
    "HEAD",
    "TIMES",
    "Batch",
    "Checkpoints",
    "DecayedKind",
    "DeviceSplit",
    "Engine",
    "EvalStep",
    "Hooks",
    "InMemoryRunner",
    "Metrics",
    "NonFiniteError",
    "OptimizerKind",
    "PopulationEngine",
    "Progress",
    "ReadOptions",
    "Record",
    "Runner",
    "Sampling",
    "SaveError",
    "SavedVariables",
    "ScheduleKind",
    "Scorer",
    "Totals",
    "TrainState",
    "TrainStep",
    "TrainablePart",
    "abstract_variables",
    "check_batch_size",
    "class_balanced_order",
    "complete_steps",
    "cpu_count",
    "data_mesh",
    "device_split",
    "epoch_order",
    "fit",
    "fit_population",
    "gathered_batch",
    "in_memory_evaluators",
    "init_population",
    "init_state",
    "load_variables",
    "log_prior",
    "make_eval_step",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "network_scorer",
    "proxy_scorer",
    "restore_trunk",
    "score_every",
    "shard_batch",
    "shard_state",
    "shots",
]

_RENAMED = {
    "Reading": "ReadOptions",
    "every": "score_every",
    "spread_state": "shard_state",
    "with_trunk": "restore_trunk",
}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"jaxaug.training.{name} is now called {_RENAMED[name]}; the old name will be removed in the next version.",
        DeprecationWarning,
        stacklevel=2,
    )
    globals()[name] = globals()[_RENAMED[name]]  # so that it warns once
    return globals()[name]
